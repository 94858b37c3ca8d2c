"""Next blocks and uncertainty in a real viewer, by key and mouse; only the worker is a fake."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_blockseg.core.classes import make_classes
from napari_blockseg.ui.runs import RunInfo
from napari_blockseg.ui.uncertainty_layer import NAME as UNCERTAINTY
from napari_blockseg.ui.worker_messages import WorkerCommand

FAKE_WORKER = Path(__file__).parent / "fake_worker.py"
ROWS, COLS, BLOCK = 100, 150, 16
FOUND = [
    {"image_id": "one", "row": 1, "col": 2, "score": 0.9, "reason": "object?"},
    {"image_id": "two", "row": 6, "col": 9, "score": 0.5, "reason": "background?"},
    {"image_id": "one", "row": 4, "col": 7, "score": 0.4, "reason": "object?"},
]


@pytest.fixture
def opened(dock, tmp_path):
    """Return the dock with a project of two images, a model, and a worker that finds `FOUND`."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{name}.tif" for name in ("one", "two")]
    for path in paths:
        tifffile.imwrite(path, rng.integers(0, 255, (ROWS, COLS), dtype=np.uint8))
    root = tmp_path / "p.blockseg"
    dock.session.create_project(root, paths, make_classes(["object", "background"]), BLOCK)
    assert dock.session.flush()
    dock.jobs.client.command = WorkerCommand((sys.executable, str(FAKE_WORKER), "plain"))
    (root / "suggestions.json").write_text(json.dumps({"block": BLOCK, "suggestions": FOUND}))
    QTest.qWait(100)
    dock.predict.set_runs([RunInfo("final")])
    dock.sections["Predict"].set_expanded(True)
    return dock


def outlined(dock) -> set:
    return {(one.row, one.col) for one in dock.jobs.suggestions.outlines.blocks}


def yellow_near(mouse, row, col) -> bool:
    """Whether the outline's color is drawn at a pixel of the image."""
    at = mouse.at(row, col)
    picture = mouse.native.grab().toImage()
    colors = [picture.pixelColor(at.x() + i, at.y() + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return any(c.red() > 200 and c.green() > 150 and c.blue() < 80 for c in colors)


def nothing_blank_that_need_not_be(mouse) -> bool:
    """Whether the image fills the canvas, or is in its middle, along each axis."""
    first, last, canvas = mouse.at(-0.5, -0.5), mouse.at(ROWS - 0.5, COLS - 0.5), mouse.native
    spans = (first.x(), last.x(), canvas.width()), (first.y(), last.y(), canvas.height())
    return all((a <= 2 and b >= n - 2) or abs(a + b - n) <= 4 for a, b, n in spans)


def test_find_jump_by_key_and_paint_by_mouse(opened, mouse_class, qtbot):
    dock, session, viewer = opened, opened.session, opened.viewer
    box = dock.predict.suggestions
    box.find.click()
    qtbot.waitUntil(lambda: box.list.count() == 3)
    assert outlined(dock) == {(1, 2), (4, 7)}, "those of the shown image"
    mouse = mouse_class(viewer, session.image_layer())
    assert yellow_near(mouse, BLOCK - 0.5, 2.5 * BLOCK)
    assert not yellow_near(mouse, BLOCK - 0.5, 4.5 * BLOCK)
    assert viewer.layers.selection.active is session.labels_layer(), "painting goes on"

    mouse.key(Qt.Key.Key_N)
    there = mouse.at(BLOCK + 7.5, 2 * BLOCK + 7.5)
    assert mouse.native.rect().contains(there), "the block is in view"
    assert nothing_blank_that_need_not_be(mouse)
    scale = mouse.at(0, BLOCK).x() - mouse.at(0, 0).x()
    assert scale >= 23, "and large enough to hit"
    assert box.list.currentRow() == 0
    QTest.mouseClick(mouse.native, Qt.MouseButton.LeftButton, pos=there)
    qtbot.waitUntil(lambda: box.list.count() == 2)
    assert session.labels().values[1, 2] == 1
    assert outlined(dock) == {(4, 7)}

    mouse.key(Qt.Key.Key_N)
    qtbot.waitUntil(lambda: session.image_id == "two")
    mouse = mouse_class(viewer, session.image_layer())
    assert mouse.native.rect().contains(mouse.at(ROWS - 1, COLS - 1)), "the last block is in view"
    assert nothing_blank_that_need_not_be(mouse)
    assert outlined(dock) == {(6, 9)}

    QTest.keyClick(box.find, Qt.Key.Key_N)  # the keyboard is in the panel after a click there
    qtbot.waitUntil(lambda: session.image_id == "one")
    assert outlined(dock) == {(4, 7)}
    session.undo()
    qtbot.waitUntil(lambda: box.list.count() == 3)
    qtbot.waitUntil(lambda: dock.effort.text().startswith("1 stroke, "))
    box.next.click()  # after the last one comes the first
    assert box.list.currentRow() == 0
    session.regrid(8)
    qtbot.waitUntil(lambda: box.list.count() == 0)
    assert outlined(dock) == set()


def test_uncertainty_lies_over_the_image_block_by_block(opened, qtbot):
    dock, session, viewer = opened, opened.session, opened.viewer
    dock.predict.uncertainty.click()
    qtbot.waitUntil(lambda: UNCERTAINTY in viewer.layers)
    layer = viewer.layers[UNCERTAINTY]
    assert layer.data.shape == session.labels().grid.shape
    ramp = np.linspace(0, 1, COLS)
    expected = [ramp[c : c + BLOCK].mean() for c in range(0, COLS, BLOCK)]
    np.testing.assert_allclose(layer.data, np.tile(expected, (7, 1)), atol=1e-6)
    np.testing.assert_allclose(layer.data_to_world((0, 0)), (7.5, 7.5))
    assert layer.opacity == pytest.approx(0.7)
    assert viewer.layers.selection.active is session.labels_layer()
    dock.predict.uncertainty_opacity.setValue(30)
    assert layer.opacity == pytest.approx(0.3)
    left = list(session.project.cache_dir.iterdir())
    assert not [path for path in left if path.suffix == ".tif"], "nothing is left on disk"
    at_once = []
    session.image_changed.connect(lambda _: at_once.append(UNCERTAINTY in viewer.layers))
    session.set_image("two")
    qtbot.waitUntil(lambda: session.image_id == "two" and UNCERTAINTY in viewer.layers)
    there = viewer.layers[UNCERTAINTY]
    assert np.isfinite(there.data).any(), "found out for the other image"
    assert there.opacity == pytest.approx(0.3)
    session.set_image("one")
    qtbot.waitUntil(lambda: session.image_id == "one")
    assert at_once == [False, True], "of an image that comes back it is known"
    layer = viewer.layers[UNCERTAINTY]
    np.testing.assert_allclose(layer.data, np.tile(expected, (7, 1)), atol=1e-6)
    assert viewer.layers.selection.active is session.labels_layer()
    dock.predict.uncertainty.click()
    assert UNCERTAINTY not in viewer.layers
    session.set_image("two")
    qtbot.waitUntil(lambda: session.image_id == "two")
    assert UNCERTAINTY not in viewer.layers, "what is switched off stays off"
