"""Painting by mouse events on the canvas of a real viewer; the result is read from disk."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_blockseg.files.journal import read_journal

TRANSFORMS = {
    "plain": {},
    "scaled": {"scale": (0.5, 0.5)},
    "stretched and moved": {"scale": (3.0, 1.5), "translate": (40.0, -25.0)},
    "rotated": {"rotate": 30},
    "all": {"scale": (2.0, 1.0), "rotate": -70, "translate": (-10, 300), "shear": [0.2]},
    "affine": {"affine": [[0.0, 2.0, 5.0], [-1.0, 0.0, 7.0], [0.0, 0.0, 1.0]]},
}


def center(row, col, block=16):
    """The middle of a block, in pixels."""
    return row * block + (block - 1) / 2, col * block + (block - 1) / 2


def outline_at(bench, row, col):
    """The outline that is drawn when the mouse rests at a pixel."""
    for _ in range(20):
        bench.mouse.move(row, col)
        QTest.qWait(100)
        outline = bench.dock.overlay.outline
        if outline is None:
            continue
        if (outline[0] <= (row, col)).all() and (outline[2] >= (row, col)).all():
            return outline
    return None


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_a_stroke_lands_under_the_mouse(make_bench, transform):
    bench = make_bench(**transform)
    bench.mouse.drag(center(2, 1), center(2, 6))
    assert bench.painted() == {1: {(2, c) for c in range(1, 7)}}


def test_labels_follow_an_image_that_is_moved_later(bench):
    bench.mouse.click(*center(1, 1))
    bench.image.translate = (30, 60)
    bench.image.rotate = 25
    bench.viewer.reset_view()
    QTest.qWait(50)
    bench.mouse.click(*center(4, 6))
    assert bench.painted() == {1: {(1, 1), (4, 6)}}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_brush_paints_what_its_outline_shows(bench, size):
    bench.dock.paint.brush.setValue(size)
    corners = outline_at(bench, *center(3, 4))
    bench.mouse.click(*center(3, 4))
    cells = bench.painted()[1]
    assert len(cells) == size * size
    rows, cols = np.array(sorted(cells)).T
    assert corners[0].tolist() == [rows.min() * 16 - 0.5, cols.min() * 16 - 0.5]
    assert corners[2].tolist() == [
        min((rows.max() + 1) * 16, 100) - 0.5,
        min((cols.max() + 1) * 16, 150) - 0.5,
    ]


def test_brush_and_outline_are_clipped_at_a_ragged_edge(bench):
    # 100 x 150 pixels in blocks of 16: 7 x 10 blocks, the last row 4 and the last column 6 wide
    bench.dock.paint.brush.setValue(3)
    assert outline_at(bench, 98, 148)[2].tolist() == [99.5, 149.5]
    bench.mouse.click(98, 148)
    assert bench.painted() == {1: {(5, 8), (5, 9), (6, 8), (6, 9)}}


def test_a_click_beside_the_image_paints_nothing(bench):
    bench.mouse.click(*center(-1, 3))
    bench.mouse.click(*center(3, 11))
    assert bench.painted() == {}


def test_a_drag_that_leaves_the_image_goes_on_where_it_comes_back(bench):
    bench.mouse.drag((8, 120), (8, 190))
    assert bench.painted() == {1: {(0, 7), (0, 8), (0, 9)}}


def test_fast_drags_leave_no_gaps(bench):
    bench.mouse.drag(center(0, 0), center(5, 8), steps=1)
    cells = sorted(bench.painted()[1])
    assert {r for r, _ in cells} == set(range(6))
    assert {c for _, c in cells} == set(range(9))


def test_a_stroke_ends_where_the_button_is_released(bench):
    # the last moves of a fast flick never arrive: napari and vispy pass over them
    bench.mouse.press(*center(2, 1))
    bench.mouse.release(*center(2, 6))
    assert bench.painted() == {1: {(2, c) for c in range(1, 7)}}
    bench.session.undo()
    assert bench.painted() == {}


def test_class_keys_choose_what_is_painted(bench):
    bench.mouse.key(Qt.Key.Key_2)
    assert bench.dock.paint.value().class_value == 2
    bench.mouse.drag(center(1, 1), center(1, 3))
    bench.mouse.key(Qt.Key.Key_1)
    bench.mouse.click(*center(3, 3))
    assert bench.painted() == {2: {(1, 1), (1, 2), (1, 3)}, 1: {(3, 3)}}


def test_a_key_of_no_class_changes_nothing(bench):
    bench.mouse.key(Qt.Key.Key_2)
    bench.mouse.key(Qt.Key.Key_9)
    bench.mouse.key(Qt.Key.Key_M)  # napari: one more than the highest label
    bench.mouse.click(*center(1, 1))
    assert set(bench.painted()) <= {1, 2}


def test_eraser_fill_and_pick(bench):
    paint = bench.dock.paint
    bench.mouse.drag(center(1, 1), center(1, 4))
    paint._buttons["eraser"].click()
    bench.mouse.click(*center(1, 3))
    assert bench.painted() == {1: {(1, 1), (1, 2), (1, 4)}}
    bench.mouse.key(Qt.Key.Key_2)
    paint._buttons["fill"].click()
    bench.mouse.click(*center(1, 1))
    assert bench.painted() == {2: {(1, 1), (1, 2)}, 1: {(1, 4)}}
    paint._buttons["pick"].click()
    bench.mouse.click(*center(1, 4))
    assert paint.value().class_value == 1


def test_fill_of_the_unlabelled_covers_every_block_of_the_image(bench):
    bench.dock.paint._buttons["fill"].click()
    bench.mouse.click(*center(3, 3))
    assert len(bench.painted()[1]) == 7 * 10


def test_polygon_goes_through_the_same_journal(bench):
    bench.dock.paint._buttons["polygon"].click()
    for corner in (center(1, 1), center(1, 5), center(4, 5), center(4, 1)):
        bench.mouse.click(*corner)
    QTest.mouseDClick(
        bench.mouse.native, Qt.MouseButton.LeftButton, pos=bench.mouse.at(*center(4, 1))
    )
    QTest.qWait(50)
    assert bench.painted() == {1: {(r, c) for r in range(1, 5) for c in range(1, 6)}}
    bench.session.undo()
    assert bench.painted() == {}


def test_undo_and_redo_take_one_stroke_a_step(bench):
    undo = (Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    redo = (
        Qt.Key.Key_Z,
        Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
    )
    first, second = {(1, c) for c in range(1, 6)}, {(4, c) for c in range(2, 8)}
    bench.mouse.drag(center(1, 1), center(1, 5))
    bench.mouse.drag(center(4, 2), center(4, 7))
    assert bench.painted() == {1: first | second}
    bench.mouse.key(*undo)
    assert bench.painted() == {1: first}
    bench.mouse.key(*undo)
    assert bench.painted() == {}
    bench.mouse.key(*undo)
    bench.mouse.key(*redo)
    assert bench.painted() == {1: first}
    bench.mouse.key(*redo)
    assert bench.painted() == {1: first | second}
    bench.mouse.key(*undo)
    bench.mouse.click(*center(6, 0))
    bench.mouse.key(*redo)
    assert bench.painted() == {1: first | {(6, 0)}}


def test_undo_restores_what_a_stroke_painted_over(bench):
    bench.mouse.drag(center(2, 1), center(2, 6))
    bench.mouse.key(Qt.Key.Key_2)
    bench.mouse.drag(center(0, 3), center(5, 3))
    bench.session.undo()
    assert bench.painted() == {1: {(2, c) for c in range(1, 7)}}


def test_regrid_is_a_step_with_its_own_undo(bench):
    bench.mouse.drag(center(2, 1), center(2, 6))
    before = bench.on_disk()
    bench.session.regrid(8)
    after = bench.on_disk()
    assert after.grid.block == 8
    assert np.array_equal(after.to_mask(), before.to_mask())
    bench.mouse.click(*center(0, 0, 8))
    assert bench.painted()[1] >= {(0, 0)}
    bench.session.undo()  # the click
    assert bench.on_disk() == after
    bench.session.undo()  # the grid
    assert bench.on_disk() == before
    bench.session.undo()  # the stroke, on its own grid again
    assert bench.painted() == {}
    for _ in range(3):
        bench.session.redo()
    assert bench.on_disk().grid.block == 8
    assert bench.painted()[1] >= {(0, 0)}


def test_undo_of_a_coarser_grid_brings_back_what_it_lost(bench):
    bench.mouse.click(*center(1, 1))
    before = bench.on_disk()
    bench.session.regrid(64)
    assert bench.painted() == {}, "one block of 16 is less than half of a block of 64"
    bench.session.undo()
    assert bench.on_disk() == before


def test_a_stroke_is_on_disk_within_a_second_in_the_middle_of_a_drag(bench):
    bench.mouse.press(*center(2, 1))
    bench.mouse.move(*center(2, 4))
    QTest.qWait(700)
    records = read_journal(bench.root / "journal" / f"{bench.image_id}.jsonl")
    written = {tuple(cell) for record in records for cell in record.cells}
    assert written >= {(2, 2), (2, 3), (2, 4)}
    bench.mouse.release(*center(2, 4))
    bench.session.undo()
    assert bench.painted() == {}, "autosave in the middle does not split the stroke's undo step"


def test_the_label_file_follows_by_itself(bench):
    bench.mouse.click(*center(2, 2))
    end = time.monotonic() + 10
    from napari_blockseg.files.blocklabels import read_block_labels

    path = bench.root / "labels" / f"{bench.image_id}.blocks.tif"
    while time.monotonic() < end:
        QTest.qWait(100)
        if path.exists() and read_block_labels(path)[0].values[2, 2] == 1:
            return
    pytest.fail("the label file was not written within 10 s")


def test_outline_is_shown_only_while_a_brush_is_in_hand(bench):
    assert outline_at(bench, *center(2, 2)) is not None
    bench.dock.paint._buttons["pan"].click()
    QTest.qWait(100)
    assert bench.dock.overlay.outline is None


def test_class_keys_work_after_a_click_in_the_dock(bench):
    classes = bench.dock.paint.classes
    place = classes.visualItemRect(classes.topLevelItem(0)).center()
    QTest.mouseClick(classes.viewport(), Qt.MouseButton.LeftButton, pos=place)
    focused = bench.viewer.window._qt_window.focusWidget() or bench.dock.paint
    QTest.keyClick(focused, Qt.Key.Key_2)
    bench.mouse.click(*center(1, 1))
    assert bench.painted() == {2: {(1, 1)}}


def test_alt_and_a_move_sideways_change_the_brush_by_blocks(bench):
    layer = bench.session.labels_layer()
    for pixel in (20, 21, 20 + 2 * 16):
        point = bench.mouse.at(20, pixel)
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(point),
            QPointF(bench.mouse.native.mapToGlobal(point)),
            Qt.MouseButton.NoButton,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.AltModifier,
        )
        QTest.qWait(50)  # vispy passes over moves that come too fast
        QApplication.sendEvent(bench.mouse.native, event)
    assert layer.brush_size == 3
    bench.mouse.click(*center(3, 3))
    assert len(bench.painted()[1]) == 9


def test_a_circle_with_the_right_button_is_filled_and_is_one_step(bench):
    mouse, layer = bench.mouse, bench.session.labels_layer()
    layer.brush_size = 1
    mouse.move(*center(1, 1))
    QTest.mouseClick(mouse.native, Qt.MouseButton.RightButton, pos=mouse.at(*center(1, 1)))
    for corner in (center(1, 4), center(1, 6), center(5, 6), center(5, 3), center(5, 1)):
        mouse.move(*corner)
    mouse.move(*center(3, 1))
    mouse.move(*center(1, 1))
    inside = {(r, c) for r in range(2, 5) for c in range(2, 6)}
    assert bench.painted()[1] >= inside
    bench.session.undo()
    assert bench.painted() == {}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_outline_is_drawn_where_it_paints(make_bench, transform):
    bench = make_bench(**transform)
    bench.image.translate = np.add(bench.image.translate, (3, -4))
    bench.dock.paint.brush.setValue(3)
    bench.viewer.reset_view()
    outline = outline_at(bench, *center(3, 4))
    scene = bench.mouse.canvas.view.scene
    for line in bench.dock.overlay._visuals[:2]:
        assert line.visible
        drawn = [scene.transform.map([*corner, 0, 1])[:2] for corner in line.pos]
        expected = [(bench.mouse.at(*c).x(), bench.mouse.at(*c).y()) for c in outline]
        assert np.allclose(drawn[:4], expected, atol=0.51)


def test_grid_lines_show_on_request_and_follow_a_new_grid(bench):
    overlay = bench.dock.overlay
    bench.dock.paint._buttons["grid"].click()
    lines = overlay._visuals[2]
    assert lines.visible
    assert len(lines.pos) == 2 * (6 + 9)
    bench.session.regrid(32)
    assert bench.session.flush()
    QTest.qWait(100)
    assert len(overlay._visuals[2].pos) == 2 * (3 + 4)
    bench.dock.paint._buttons["grid"].click()
    assert not overlay._visuals[2].visible
