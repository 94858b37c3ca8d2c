"""The dock: its panels, what joins them, how it closes."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton

from napari_blockseg.files.project import Project
from napari_blockseg.ui.new_project import ASK_ABOVE_BYTES
from napari_blockseg.ui.overlay import footprint_corners, grid_segments
from napari_blockseg.ui.panels.paint import PaintSettings


def test_panels_stand_in_the_order_of_the_work(dock):
    assert list(dock.sections) == ["Paint", "Spectrum", "Train", "Predict"]
    tops = [section.y() for section in dock.sections.values()]
    assert tops == sorted(tops)
    assert dock.sections["Paint"].expanded
    assert not dock.sections["Train"].expanded


def test_a_section_folds_by_mouse_and_key(dock):
    section = dock.sections["Train"]
    QTest.mouseClick(section._header, Qt.MouseButton.LeftButton)
    assert section.expanded
    assert dock.train.isVisibleTo(dock)
    QTest.keyClick(section._header, Qt.Key.Key_Space)
    assert not section.expanded
    assert not dock.train.isVisibleTo(dock)


def test_start_page_offers_the_images_of_the_viewer(dock, viewer):
    page = dock.paint.start_page
    assert not page.start.isVisibleTo(dock)
    viewer.add_image(np.zeros((64, 64), np.uint8), name="one")
    viewer.add_labels(np.zeros((64, 64), np.uint8), name="no image")
    assert [page.images.itemText(i) for i in range(page.images.count())] == ["one"]
    page.start.click()
    assert dock.session.flush()
    assert dock.session.image_id == "one"
    assert not page.isVisibleTo(dock)
    assert str(dock.session.labels_layer().mode) == "paint"


def test_an_unsaved_project_is_offered_again(dock, bench):
    root = bench.root
    bench.mouse.click(40, 40)
    dock.session.close_project()
    assert dock.session.flush()
    offers = [b for b in dock.paint.start_page.findChildren(QPushButton) if root.stem in b.text()]
    assert len(offers) == 1
    offers[0].click()
    assert dock.session.flush()
    assert dock.session.project.root == root
    assert dock.session.labels().values[2, 2] == 1


def test_a_project_stays_where_the_worker_writes(dock, bench, tmp_path, monkeypatch):
    target = tmp_path / "named.blockseg"
    choose = "napari_blockseg.ui.dock.QFileDialog.getSaveFileName"
    monkeypatch.setattr(choose, lambda *_: (str(target), ""))
    problems = []
    dock.session.problem.connect(problems.append)
    dock.session.problem.disconnect(dock._on_problem)
    for job in (dock.jobs.training, dock.jobs.predictions, dock.jobs.analyses):
        job._request = 1
        dock.paint.save_as_requested.emit()
        assert dock.session.flush()
        assert "Stop it" in problems.pop()
        assert not target.exists()
        job._request = None
    dock.paint.save_as_requested.emit()
    assert dock.session.flush()
    assert dock.session.project.root == target


def test_a_big_array_is_copied_only_after_asking(dock, viewer, monkeypatch):
    asked = []
    monkeypatch.setattr("napari_blockseg.ui.dock.ask", lambda *words: asked.append(words[1:]))
    monkeypatch.setattr("napari_blockseg.ui.dock.ASK_ABOVE_BYTES", 100)
    viewer.add_image(np.zeros((64, 64), np.uint8), name="big")
    dock.paint.start_page.start.click()
    assert dock.session.flush()
    assert "big" in asked[0][0]
    assert dock.session.project is None
    assert ASK_ABOVE_BYTES == 500 * 2**20


def test_panel_and_layer_follow_each_other(bench):
    paint, layer = bench.dock.paint, bench.session.labels_layer()
    said = []
    paint.value_changed.connect(said.append)
    paint.brush.setValue(4)
    assert layer.brush_size == 4
    assert said[-1] == PaintSettings(tool="brush", brush_size=4, class_value=1)
    paint._buttons["eraser"].click()
    assert str(layer.mode) == "erase"
    layer.mode = "fill"
    layer.brush_size = 2
    layer.selected_label = 2
    assert paint.value() == PaintSettings(tool="fill", brush_size=2, class_value=2)
    said.clear()
    paint.set_value(PaintSettings(tool="pan", brush_size=3, class_value=1, grid_lines=True))
    assert paint.value().grid_lines
    assert said == [], "set_value says nothing"


def test_clicking_a_class_takes_the_brush_in_hand(bench):
    paint, layer = bench.dock.paint, bench.session.labels_layer()
    paint._buttons["pan"].click()
    item = paint.classes.topLevelItem(1)
    place = paint.classes.visualItemRect(item).center()
    QTest.mouseClick(paint.classes.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert (str(layer.mode), layer.selected_label) == ("paint", 2)


def test_counts_and_words_follow_the_paint(bench):
    bench.mouse.drag((40, 8), (40, 90))
    QTest.qWait(150)
    assert bench.dock.paint.classes.counts() == ["6", "0"]
    assert bench.dock.paint.words.text() == "6 of 70 painted (8.6%)"


def test_class_buttons(bench, monkeypatch):
    paint, session = bench.dock.paint, bench.session
    paint._buttons["add"].click()
    assert [c.name for c in session.classes] == ["object", "background", "class 1"]
    assert session.labels_layer().selected_label == 3
    paint.classes.topLevelItem(2).setText(0, "sky")
    assert session.classes[2].name == "sky"
    problems = []
    session.problem.connect(problems.append)
    paint.classes.topLevelItem(2).setText(0, "object")
    assert "already" in problems[0]
    assert paint.classes.topLevelItem(2).text(0) == "sky"
    answers = iter([False, True])
    monkeypatch.setattr("napari_blockseg.ui.panels.paint.ask", lambda *_: next(answers))
    paint._buttons["remove"].click()
    assert len(session.classes) == 3
    paint._buttons["remove"].click()
    assert session.flush()
    assert len(session.classes) == 2
    assert paint.classes.topLevelItemCount() == 2


@pytest.fixture
def three_images(dock, tmp_path):
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for path in paths:
        tifffile.imwrite(path, np.zeros((64, 64), np.uint8), metadata={"axes": "YX"})
    with Project.create(tmp_path / "three.blockseg", paths, ["x"], 16) as project:
        root = project.root
    dock.session.open_project(root)
    assert dock.session.flush()
    return root


def choose(combo, data):
    """Choose an entry of a combo box as a user does."""
    combo.setCurrentIndex(combo.findData(data))
    combo.activated.emit(combo.currentIndex())


def test_next_goes_on_from_the_image_that_still_loads(dock, three_images):
    for _ in range(2):
        dock.paint._buttons["next"].click()
    assert dock.paint.images.currentData() == "c"
    assert dock.session.flush()
    assert dock.session.image_id == "c"
    dock.paint._buttons["previous"].click()
    choose(dock.paint.images, "c")
    assert dock.session.flush()
    assert dock.session.image_id == "c"


def test_an_image_that_can_not_be_shown_is_not_named(dock, three_images):
    (three_images.parent / "b.tif").unlink()
    told = []
    dock.session.problem.connect(told.append)
    choose(dock.paint.images, "b")
    assert dock.session.flush()
    assert "b.tif" in told.pop()
    assert dock.paint.images.currentData() == dock.session.image_id == "a"
    dock.session.project.check()
    choose(dock.paint.images, "b")
    assert "b.tif" in told.pop()
    assert dock.paint.images.currentData() == "a"


def test_a_block_size_that_was_refused_is_not_shown(dock, three_images):
    (three_images / "labels").mkdir(exist_ok=True)
    (three_images / "labels" / "b.blocks.tif").write_bytes(b"no labels")
    choose(dock.paint.block, 8)
    assert dock.session.flush()
    assert dock.session.block == dock.paint.block.currentData() == 16


def test_block_size_is_changed_from_the_panel_and_from_the_spectrum(bench):
    paint = bench.dock.paint
    bench.mouse.click(40, 40)
    paint.block.setCurrentIndex(paint.block.findData(8))
    paint.block.activated.emit(paint.block.currentIndex())
    assert bench.session.flush()
    assert bench.on_disk().grid.block == 8
    bench.dock.spectrum.regrid_requested.emit(4)
    assert bench.session.flush()
    assert paint.block.currentData() == 4
    assert paint._buttons["undo"].isEnabled()
    paint._buttons["undo"].click()
    assert bench.session.flush()
    assert paint.block.currentData() == 8


def test_icons_and_style_follow_the_theme(dock, viewer):
    before = dock.paint._buttons["brush"].icon().pixmap(20).toImage()
    viewer.theme = "light"
    after = dock.paint._buttons["brush"].icon().pixmap(20).toImage()
    assert before != after


def test_removing_the_dock_saves_and_unlocks(viewer, bench):
    bench.mouse.click(40, 40)
    root = bench.root
    viewer.window.remove_dock_widget(bench.dock)
    QTest.qWait(100)
    with Project.open(root, write=True) as project:
        assert project.load_labels(project.image_ids[0]).values[2, 2] == 1


def test_closing_the_window_saves_and_unlocks(viewer, bench):
    bench.mouse.click(40, 40)
    root = bench.root
    viewer.close()
    QTest.qWait(100)
    with Project.open(root, write=True) as project:
        assert project.load_labels(project.image_ids[0]).values[2, 2] == 1


def test_footprint_is_clipped_and_empty_outside():
    from napari_blockseg.core.grid import BlockGrid

    grid = BlockGrid((40, 50), 16)
    assert footprint_corners(grid, (2, 3), 1).tolist() == [
        [31.5, 47.5],
        [31.5, 49.5],
        [39.5, 49.5],
        [39.5, 47.5],
    ]
    assert footprint_corners(grid, (5, 0), 1) is None
    assert footprint_corners(grid, (3, 0), 3) is not None


def test_grid_lines_lie_between_blocks():
    from napari_blockseg.core.grid import BlockGrid

    segments = grid_segments(BlockGrid((40, 50), 16))
    assert segments.shape == (2 * (2 + 3), 2)
    assert segments[:4].tolist() == [[15.5, -0.5], [15.5, 49.5], [31.5, -0.5], [31.5, 49.5]]
    assert grid_segments(BlockGrid((10, 10), 16)) is None
    assert grid_segments(BlockGrid((3000, 3000), 1)) is None


def test_long_news_leave_room_for_the_panels(dock):
    dock.session.notice.emit("short")
    assert (dock.status.text(), dock.status.toolTip()) == ("short", "")
    long = "One image is missing, another journal is damaged. " * 20
    dock.session.notice.emit(long)
    assert len(dock.status.text()) < 300
    assert dock.status.text().endswith("(hover for the rest)")
    assert dock.status.toolTip() == long
    dock.session.notice.emit("short")
    assert (dock.status.text(), dock.status.toolTip()) == ("short", "")
