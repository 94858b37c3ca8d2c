"""Napari is closed while the real worker trains: nothing is lost, and no process stays."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtTest import QTest

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.files.project import Project
from napari_blockseg.ui import worker_client
from napari_blockseg.ui.panels.train import TrainSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS, COLS, BLOCK = 64, 96, 8
START_MS = 240_000
SETTINGS = {
    "network": NetworkConfig(decoder_stride=8, weights="none"),
    "train": TrainConfig(steps=100_000, crop=64, batch_size=2, device="cpu", validate_every=2),
}


@pytest.fixture
def bench(make_bench):
    """Return a bench whose image is dark on its left, bright on its right; both are painted."""
    bench = make_bench(shape=(ROWS, COLS), block=BLOCK)
    pixels = np.random.default_rng(0).normal(60, 5, (ROWS, COLS))
    pixels[:, COLS // 2 :] += 100
    tifffile.imwrite(bench.session.project.image_path(bench.image_id), pixels.astype(np.uint8))
    bench.session.project.accept_changed_image(bench.image_id)
    bench.dock.paint.brush.setValue(2)
    for value, left in ((1, 8), (2, 56)):
        bench.session.labels_layer().selected_label = value
        for row in (12, 44):
            bench.mouse.drag((row, left), (row, left + 30), steps=3)
    return bench


def steps_of(folder: Path) -> int:
    """Return the steps of a model that is whole on disk."""
    assert (folder / "model.safetensors").stat().st_size
    return json.loads((folder / "model.json").read_text())["steps"]


def wait_for_the_end(pid: int, qtbot) -> None:
    """Wait until a process is gone, for as long as a busy machine needs."""
    gone = lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid)  # noqa: E731
    qtbot.waitUntil(gone, timeout=START_MS)


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks processes up in /proc")
@pytest.mark.parametrize("mode", ["full", "interactive"])
def test_pause_then_quit(bench, qtbot, mode, monkeypatch):
    monkeypatch.setattr(worker_client, "_GRACE_MS", 300_000)  # a busy machine is no failure
    dock, panel, session = bench.dock, bench.dock.train, bench.session
    panel.set_value(TrainSettings(**SETTINGS, mode=mode))
    panel.start.click()
    qtbot.waitUntil(lambda: len(panel.history.steps) > 2, timeout=START_MS)

    before = time.process_time()
    panel.pause.click()
    assert time.process_time() - before < 0.2
    assert "Pausing" in panel.status.text()
    qtbot.waitUntil(lambda: panel.state == "paused", timeout=START_MS)
    taken = panel.history.steps[-1]
    QTest.qWait(1000)
    assert panel.history.steps[-1] == taken
    panel.pause.click()
    qtbot.waitUntil(lambda: panel.history.steps[-1] > taken, timeout=START_MS)

    # a stroke that nothing but the end of napari puts on disk
    session.labels_layer().selected_label = 2
    bench.mouse.drag((28, 60), (28, 84), steps=3)
    painted, reported = session.labels().values.copy(), panel.history.steps[-1]
    assert (painted[3] == 2).any()
    root, image_id, pid = bench.root, bench.image_id, dock.jobs.client.pid
    run = session.project.models_dir / dock.jobs.training.run
    bench.viewer.close()
    wait_for_the_end(pid, qtbot)

    with Project.open(root, write=True) as project:  # nobody holds its lock any more
        np.testing.assert_array_equal(project.load_labels(image_id).values, painted)
    if mode == "full":
        assert steps_of(run) >= reported
        assert (run / "resume.safetensors").is_file()
    else:
        assert steps_of(run / "last") >= reported
        # What previewed, the quick head, is a model too.
        assert (run / "model.safetensors").stat().st_size
        assert json.loads((run / "model.json").read_text())["network"]["network"] == "linear"
