"""End to end with the real worker: mouse strokes, spectrum, training, preview, a worker killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtTest import QTest

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.ui.panels.train import TrainSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS, COLS, BLOCK = 96, 128, 8
START_MS = 120_000


def picture() -> np.ndarray:
    """Return a grey image: dark and smooth on the left, bright and rough on the right."""
    rng = np.random.default_rng(0)
    pixels = rng.normal(60, 5, (ROWS, COLS))
    pixels[:, COLS // 2 :] = rng.normal(170, 40, (ROWS, COLS // 2))
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.fixture
def bench(make_bench):
    """Return a bench whose image can be learned, with a short training set up."""
    bench = make_bench(shape=(ROWS, COLS), block=BLOCK)
    bench.image.data[:] = picture()
    path = bench.session.project.image_path(bench.image_id)
    import tifffile

    tifffile.imwrite(path, picture())
    bench.session.project.accept_changed_image(bench.image_id)
    return bench


def settings(steps: int) -> TrainSettings:
    return TrainSettings(
        NetworkConfig(decoder_stride=8),
        TrainConfig(steps=steps, crop=64, batch_size=4, device="cpu", learning_rate=3e-3),
    )


def paint_both_sides(bench) -> None:
    """Drag strokes of class 1 on the left and of class 2 on the right."""
    bench.dock.paint.brush.setValue(2)
    for value, left in ((1, 8), (2, 76)):
        bench.session.labels_layer().selected_label = value
        for row in (12, 36, 60, 84):
            bench.mouse.drag((row, left), (row, left + 40), steps=6)


def test_paint_watch_train_preview(bench, qtbot):
    dock = bench.dock
    assert "Not enough paint yet" in dock.spectrum.canvas.message.text()
    paint_both_sides(bench)
    assert set(bench.painted()) == {1, 2}
    qtbot.waitUntil(lambda: dock.spectrum.spectrum is not None)
    before = dock.spectrum.spectrum
    bench.mouse.drag((20, 8), (20, 40), steps=4)
    qtbot.waitUntil(lambda: dock.spectrum.spectrum is not before)
    assert not np.array_equal(before.energy, dock.spectrum.spectrum.energy)

    dock.train.set_value(settings(60))
    dock.train.start.click()
    qtbot.waitUntil(lambda: len(dock.train.history.steps) > 3, timeout=START_MS)
    dock.predict.preview.click()  # while the network learns
    qtbot.waitUntil(lambda: bench.session.prediction_layer() is not None)
    qtbot.waitUntil(lambda: dock.train.state == "idle", timeout=START_MS)
    losses = dock.train.history.losses
    # Its shortcut is fitted before the first step: not falling tells, but being far from chance.
    assert np.mean(losses[-10:]) < 0.5 * np.log(2)
    assert "after 60 steps" in dock.train.status.text()
    runs = list(bench.session.project.models_dir.iterdir())
    assert len(runs) == 1
    assert json.loads((runs[0] / "model.json").read_text())["steps"] == 60

    qtbot.waitUntil(lambda: dock.predict.value().model == runs[0].name)
    dock.predict.image.click()
    kept = bench.session.project.predictions_dir / runs[0].name / f"{bench.image_id}.tif"
    qtbot.waitUntil(lambda: kept.exists() and not dock.jobs.predictions.busy)
    QTest.qWait(300)
    layer = bench.session.prediction_layer()
    assert layer.data.shape == (ROWS, COLS)
    np.testing.assert_array_equal(layer.affine.affine_matrix, bench.image.affine.affine_matrix)
    truth = np.where(np.arange(COLS) < COLS // 2, 1, 2)[None].repeat(ROWS, 0)
    assert set(np.unique(layer.data)) == {1, 2}
    assert (layer.data == truth).mean() > 0.9
    assert bench.viewer.layers.selection.active is bench.session.labels_layer()


@pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")
def test_a_worker_that_is_killed_is_noticed_and_restarted(bench, qtbot):
    dock, client = bench.dock, bench.dock.jobs.client
    paint_both_sides(bench)
    painted = bench.painted()
    dock.train.set_value(settings(5000))
    dock.train.start.click()
    qtbot.waitUntil(lambda: len(dock.train.history.steps) > 2, timeout=START_MS)
    os.kill(client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: client.status == "dead")
    assert dock.train.state == "idle"
    assert "was killed (signal 9)" in dock.train.messages.toPlainText()
    strips = dock.findChildren(type(dock.train.layout().itemAt(0).widget()))
    assert all(not strip.restart.isHidden() for strip in strips)
    assert "was killed" in strips[0].text.text()

    strips[0].restart.click()
    qtbot.waitUntil(lambda: client.status == "ready", timeout=START_MS)
    assert all(strip.isHidden() for strip in strips)
    dock.train.set_value(settings(5000))
    dock.train.start.click()
    qtbot.waitUntil(lambda: len(dock.train.history.steps) > 1, timeout=START_MS)
    dock.train.pause.click()
    qtbot.waitUntil(lambda: dock.train.state == "paused")
    dock.train.stop.click()
    qtbot.waitUntil(lambda: dock.train.state == "idle")
    assert "stopped" in dock.train.status.text()
    assert bench.painted() == painted


GUI = """
import sys
from pathlib import Path
import napari
from qtpy.QtCore import QTimer
from napari_blockseg.files.project import Project
from napari_blockseg.ui.dock import BlockSegDock

viewer = napari.Viewer(show=False)
dock = BlockSegDock(viewer)
viewer.window.add_dock_widget(dock)
dock.jobs.client.status_changed.connect(
    lambda s: s == "ready" and print(dock.jobs.client.hello["pid"], flush=True)
)
dock.jobs.client.start()
napari.run()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_gui_that_is_killed_takes_the_real_worker_along(qtbot):
    gui = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", GUI],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    worker = int(gui.stdout.readline())
    assert alive(worker)
    gui.kill()
    gui.wait()
    gui.stdout.close()
    qtbot.waitUntil(lambda: not alive(worker))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] != "Z"
    except OSError:
        return False
