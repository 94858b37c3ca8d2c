"""The napari process never holds torch: not after painting, training and previewing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A fresh interpreter: this one may hold torch through other tests.
SCRIPT = """
import sys
import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.ui.dock import BlockSegDock
from napari_blockseg.ui.panels.train import TrainSettings


def wait(done, what, seconds=150):
    for _ in range(seconds * 20):
        if done():
            return
        QTest.qWait(50)
    raise SystemExit(f"waited {seconds} s for {what}: {dock.status.text()}")


def drag(row, cols):
    canvas = viewer.window._qt_viewer.canvas
    points = []
    for col in cols:
        x, y = canvas.view.scene.transform.map([col, row, 0, 1])[:2]
        points.append(QPoint(round(float(x)), round(float(y))))
    QTest.mouseMove(canvas.native, points[0])
    QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points:
        QTest.mouseMove(canvas.native, point)
        QTest.qWait(5)
    QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, pos=points[-1])


viewer = napari.Viewer()
dock = BlockSegDock(viewer)
viewer.window.add_dock_widget(dock, area="right")
QTest.qWait(100)
pixels = np.random.default_rng(0).integers(0, 255, (96, 128), dtype=np.uint8)
dock.session.start_on_layer(viewer.add_image(pixels, name="noise"))
viewer.reset_view()
assert dock.session.flush()
QTest.qWait(100)
for value, row in enumerate((20, 70), start=1):
    dock.session.labels_layer().selected_label = value
    drag(row, range(10, 118, 8))
assert dock.session.flush()
assert set(np.unique(dock.session.labels().values)) == {0, 1, 2}, "nothing was painted"

dock.train.set_value(
    TrainSettings(
        NetworkConfig(weights="none"),
        TrainConfig(steps=2, batch_size=2, crop=64, validation=False, device="cpu"),
    )
)
dock.train.start_requested.emit()
wait(lambda: dock.predict.value().model not in ("", "live"), "the trained run")
dock.predict.preview_requested.emit()
wait(lambda: dock.session.prediction_layer() is not None, "the preview")
assert dock.session.prediction_layer().data.any()

print("held:", sorted({"torch", "torchvision", "timm"} & {m.split(".")[0] for m in sys.modules}))
dock.close_all()
viewer.close()
"""


@pytest.mark.gui
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_painting_training_and_previewing_hold_no_torch(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "held: []"
