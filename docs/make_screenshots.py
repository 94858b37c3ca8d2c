"""Make the pictures in docs/images: the dock on a bundled sample, and each panel.

    python docs/make_screenshots.py [--train MINUTES]

Needs a display (``xvfb-run -a -s "-screen 0 1600x1000x24"`` will do). With ``--train`` a network
is trained first, so that Train and Predict show a result; without a GPU give it ten minutes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
SAMPLE = "textures"
PANELS = ("Paint", "Spectrum", "Train", "Predict")


def main() -> None:
    """Open the sample, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=float, default=0, metavar="MINUTES", help="train first")
    parser.add_argument("--theme", default="dark", choices=["dark", "light"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        os.environ["XDG_DATA_HOME"] = data  # leave the user's own projects alone
        take_pictures(chosen.theme, chosen.train)


def take_pictures(theme: str, minutes: float) -> None:
    """Save dock.png and one picture a panel."""
    import napari

    from napari_blockseg.ui.contributions import PLUGIN, dock_of

    IMAGES.mkdir(exist_ok=True)
    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(1500, 960)
    viewer.open_sample(PLUGIN, SAMPLE)
    wait(0.5)
    dock = dock_of(viewer)
    dock.session.flush()
    wait(2.0)
    viewer.reset_view()
    rest_brush_on_image(viewer, dock)
    viewer.screenshot(str(IMAGES / "dock.png"), canvas_only=False, flash=False)
    if minutes:
        train_and_preview(dock, minutes)
        viewer.screenshot(str(IMAGES / "prediction.png"), canvas_only=False, flash=False)
        find_next_blocks(dock)
    for name in PANELS:
        grab_panel(dock, name)
    viewer.close()


def rest_brush_on_image(viewer, dock) -> None:
    """Show the outline of a brush of 3 x 3 blocks, as if the mouse were over the image."""
    dock.paint.brush.setValue(3)
    row, col = (size // 2 for size in dock.session.labels().grid.image_shape)
    viewer.mouse_over_canvas = True
    viewer.cursor.position = dock.session.image_layer().data_to_world((row, col))
    wait(0.3)


def train_and_preview(dock, minutes: float) -> None:
    """Train for some minutes and show the prediction of the whole image, without the blocks."""
    settings = dock.train.value()
    config = settings.train.model_copy(update={"minutes": minutes, "steps": None})
    dock.train.set_value(type(settings)(settings.network, config, "full"))
    dock.train.start_requested.emit()
    wait_until(lambda: dock.train.state != "idle", 60)
    wait_until(lambda: dock.train.state == "idle", 60 * minutes + 120)
    wait_until(lambda: dock.predict.value().model not in ("", "live"), 60)
    dock.predict.image_requested.emit()
    wait_until(lambda: dock.session.prediction_layer() is not None, 120)
    measure_loss(dock)
    dock.session.labels_layer().visible = False
    for title, section in dock.sections.items():
        section.set_expanded(title in ("Train", "Predict"))
    wait(1.0)


def find_next_blocks(dock) -> None:
    """Ask what to label next, and go to the first of it as the key N does."""
    dock.jobs.suggestions.find(12)
    wait_until(lambda: dock.jobs.suggestions.blocks, 120)
    dock.jobs.suggestions.go_to_next()
    wait_until(lambda: not dock.jobs.suggestions.busy, 60)


def measure_loss(dock) -> None:
    """Lay the loss of the trained model over the label spectrum."""
    dock.spectrum.overlay.model.setCurrentIndex(1)
    dock.spectrum.overlay.measure.click()
    wait_until(lambda: "loss" in dock.spectrum.overlay.words.text(), 300)
    wait(1.0)


def grab_panel(dock, name: str) -> None:
    """Save one panel with its header, the others folded."""
    for title, section in dock.sections.items():
        section.set_expanded(title == name)
    wait(0.5)
    dock.sections[name].grab().save(str(IMAGES / f"panel_{name.lower()}.png"))


def wait_until(done, seconds: float) -> None:
    """Let the window work until something is the case, or the time is up."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        wait(0.2)


def wait(seconds: float) -> None:
    """Let the window work."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(1000 * seconds))


if __name__ == "__main__":
    main()
