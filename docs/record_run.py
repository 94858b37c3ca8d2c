"""Record a run in real napari: open, 20 strokes, preview, 10 strokes where it is wrong, preview.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/record_run.py

A simulated annotator knows the sample's dense mask and paints with the mouse on the canvas. A
picture is taken every few seconds; a handful of them, the times and the scores go to
docs/recorded_run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from record_annotator import Stroke, correction, first_stroke
from record_page import miou, save_small, update_readme, write

OUT = Path(__file__).parent / "recorded_run"
SAMPLE, IMAGE = "textures", 0
FIRST, MORE = 20, 10
#: A stroke is at most this long, in blocks, and takes this long, in seconds: as by hand.
LENGTH, SECONDS = 6, 1.0
#: Between two pictures, in seconds.
EVERY = 3.0
#: How long anything is waited for; how long a preview stays before it is the answer, in seconds.
PATIENCE, RESTS = 120.0, 4.0


@dataclass
class Run:
    """What is noted while it goes on; times in seconds since the image was open."""

    dock: Any
    mask: np.ndarray
    about: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    pictures: list[tuple[float, np.ndarray]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    previewed: float = 0.0
    #: When the last stroke ended.
    released: float = 0.0
    source: str = ""

    @property
    def now(self) -> float:
        """Seconds since the image was open."""
        return time.monotonic() - self.began

    def note(self, what: str, **more: Any) -> None:
        """Note what happened, and how good the preview is by now."""
        entry = {"seconds": round(self.now, 1), "what": what, **more}
        if self.preview() is not None:
            entry |= self.scores()
        self.events.append(entry)
        print(json.dumps(entry), flush=True)

    def preview(self) -> np.ndarray | None:
        """Return what is predicted, None before the first preview."""
        layer = self.dock.session.prediction_layer()
        return None if layer is None else np.asarray(layer.data)

    def painted(self) -> np.ndarray:
        """Return the pixels in painted blocks."""
        return self.dock.session.labels().to_mask() > 0

    def scores(self) -> dict[str, float | None]:
        """Return the mIoU of the preview against the dense mask, also where nothing is painted."""
        unpainted = np.where(self.painted(), 0, self.mask)
        return {
            "miou": miou(self.mask, self.preview()),
            "miou_of_unpainted_pixels": miou(unpainted, self.preview()),
        }


def main() -> None:
    """Record the run, write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT, help="where the page goes")
    parser.add_argument("--all", type=Path, metavar="DIR", help="keep every picture here")
    parser.add_argument("--seed", type=int, default=0, help="of the annotator's first strokes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # the user's own projects and choices are left alone
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = folder
        run = record(Path(folder), chosen.seed)
        found = write(run, chosen.out, chosen.seed)
    if chosen.out == OUT:
        update_readme(OUT.parents[1] / "README.md", found)
    if chosen.all is not None:
        chosen.all.mkdir(parents=True, exist_ok=True)
        for seconds, picture in run.pictures:
            save_small(picture, chosen.all / f"{seconds:06.1f}.png")


def record(folder: Path, seed: int) -> Run:
    """Open napari and go through the run."""
    import napari

    from napari_blockseg.ui import worker_client
    from napari_blockseg.ui.contributions import dock_of

    viewer = napari.Viewer()
    viewer.window.resize(1500, 960)
    dock = dock_of(viewer)
    root, mask = new_project(folder)
    dock.session.open_project(root)
    wait_until(lambda: dock.session.labels() is not None, PATIENCE, "the image")
    viewer.reset_view()
    for title, section in dock.sections.items():
        section.set_expanded(title in ("Paint", "Train"))
    wait(1.0)
    sample = f'"{SAMPLE}", image {IMAGE + 1}'
    command = "python docs/record_run.py"
    run = Run(dock, mask, {"command": command, "sample": sample, "strokes": FIRST})
    follow(run, viewer)
    try:
        go_through(run, Mouse(viewer, dock.session.image_layer()), np.random.default_rng(seed))
    finally:
        viewer.close()
        wait_until(lambda: not worker_client._ending, PATIENCE, "the end of the worker")
    return run


def new_project(folder: Path) -> tuple[Path, np.ndarray]:
    """Make a project of one sample image without labels; return it with the dense mask."""
    from napari_blockseg.files.masks import find_classes_json, read_mask
    from napari_blockseg.files.project import Project
    from napari_blockseg.files.samples import sample

    chosen = sample(SAMPLE)
    image = folder / chosen.train_images[IMAGE].name
    shutil.copyfile(chosen.train_images[IMAGE], image)
    Project.create(folder / "run.blockseg", [image], chosen.classes, chosen.block).close()
    table = find_classes_json(chosen.train_masks_dir)
    path = chosen.train_masks_dir / f"{image.stem}.png"
    return folder / "run.blockseg", read_mask(path, table, chosen.classes)


def follow(run: Run, viewer: Any) -> None:
    """Take a picture every few seconds, and take notice of previews."""
    from qtpy.QtCore import QTimer

    def take() -> None:
        run.pictures.append((run.now, viewer.screenshot(canvas_only=False, flash=False)))

    def hear(_number: int, report: Any) -> None:
        if report.type == "interactive_preview":
            run.previewed, run.source = run.now, report.source
        elif report.type == "validation":
            run.note("scored", held_out_miou=report.miou, source=report.source)

    run.dock.jobs.client.report_received.connect(hear)
    timer = QTimer(run.dock, interval=round(1000 * EVERY))
    timer.timeout.connect(take)
    timer.start()
    take()


def go_through(run: Run, mouse: Mouse, rng: np.random.Generator) -> None:
    """Start interactive mode, paint, wait for the preview, correct it, wait for a better one."""
    dock = run.dock
    dock.train.mode.buttons["interactive"].click()
    dock.train.start.click()
    run.note("started")
    for number in range(FIRST):
        paint(run, mouse, next_stroke(run, number, rng))
        if number + 1 in (5, 10):
            run.note(f"{number + 1} strokes")
    run.note(f"{FIRST} strokes")
    settle(run)
    run.note("preview")
    wait(EVERY)
    for number in range(MORE):
        stroke = correction(run.mask, run.preview(), run.painted(), *sizes(run))
        if stroke is None:
            break
        paint(run, mouse, stroke)
        run.note(f"{number + 1} corrections")
    settle(run)
    run.note("better preview")
    wait(EVERY)
    dock.train.stop.click()
    wait_until(lambda: dock.train.state == "idle", PATIENCE, "the end of the training")
    run.note("stopped", steps_of_the_network=len(dock.train.history.steps))


def next_stroke(run: Run, number: int, rng: np.random.Generator) -> Stroke:
    """Return one of the first strokes: the classes take turns."""
    n_classes = len(run.dock.session.classes)
    painted, (block, length) = run.painted(), sizes(run)
    for value in np.roll(np.arange(1, n_classes + 1), -number):
        stroke = first_stroke(run.mask, painted, int(value), block, length, rng)
        if stroke is not None:
            return stroke
    raise RuntimeError("everything is painted")


def sizes(run: Run) -> tuple[int, float]:
    """Return the block size and the length of a stroke, in pixels."""
    block = run.dock.session.block
    return block, float(LENGTH * block)


def paint(run: Run, mouse: Mouse, stroke: Stroke) -> None:
    """Choose the class by its key and drag."""
    from qtpy.QtTest import QTest

    QTest.keyClick(mouse.native, str(stroke.value))
    mouse.drag(stroke.start, stroke.stop, SECONDS)
    run.released = run.now


def settle(run: Run) -> None:
    """Wait until a preview has come since the last stroke and no newer one follows it."""
    run.dock.session.flush()
    wait_until(lambda: run.previewed > 0, PATIENCE, "a preview")
    # A quick one is there before the mouse is released, and a stroke need not change it.
    wait_until(lambda: run.previewed > run.released, 3 * RESTS, "")
    wait_until(lambda: run.now - run.previewed > RESTS, 3 * RESTS, "")


class Mouse:
    """Qt mouse events on the canvas, at pixels of an image layer."""

    def __init__(self, viewer: Any, layer: Any) -> None:
        self._canvas, self._layer = viewer.window._qt_viewer.canvas, layer

    @property
    def native(self) -> Any:
        """The canvas's widget."""
        return self._canvas.native

    def at(self, place: Any) -> Any:
        """Return the point of the widget where a pixel (row, col) is drawn."""
        from qtpy.QtCore import QPoint

        row, col = np.asarray(self._layer.data_to_world(tuple(place)), dtype=float)
        x, y = self._canvas.view.scene.transform.map([col, row, 0, 1])[:2]
        return QPoint(round(float(x)), round(float(y)))

    def drag(self, start: Any, stop: Any, seconds: float) -> None:
        """Press, move in a straight line, release; a slow machine moves less often."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        button, (first, last) = Qt.MouseButton.LeftButton, (np.asarray(start), np.asarray(stop))
        QTest.mouseMove(self.native, self.at(first))
        wait(0.1)
        QTest.mousePress(self.native, button, pos=self.at(first))
        began, share = time.monotonic(), 0.0
        while share < 1:
            wait(0.05)
            share = min((time.monotonic() - began) / seconds, 1.0)
            QTest.mouseMove(self.native, self.at(first + share * (last - first)))
        QTest.mouseRelease(self.native, button, pos=self.at(last))
        wait(0.2)


def wait_until(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Let the window work until something is the case; without a name it need not be."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        wait(0.1)
    if what and not done():
        raise TimeoutError(f"{what} did not come within {seconds:.0f} s")


def wait(seconds: float) -> None:
    """Let the window work."""
    from qtpy.QtTest import QTest

    QTest.qWait(round(1000 * seconds))


if __name__ == "__main__":
    main()
