"""Projects in a viewer: how they come about, change, close and come back."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.layers import Labels
from qtpy.QtTest import QTest

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.errors import ImageError, LabelError
from napari_blockseg.core.labels import Changes
from napari_blockseg.files import labelstore
from napari_blockseg.files.predictions import PredictedMask
from napari_blockseg.files.project import Project
from napari_blockseg.ui.new_project import default_block, unsaved_projects
from napari_blockseg.ui.session import Session


def write_images(folder, names=("a", "b"), shape=(60, 80)):
    rng = np.random.default_rng(1)
    paths = []
    for name in names:
        paths.append(folder / f"{name}.tif")
        tifffile.imwrite(
            paths[-1], rng.integers(0, 255, shape, dtype=np.uint8), metadata={"axes": "YX"}
        )
    return paths


@pytest.fixture
def session(viewer):
    session = Session(viewer)
    yield session
    session.close()


@pytest.fixture
def two_images(tmp_path):
    with Project.create(
        tmp_path / "two.blockseg", write_images(tmp_path), ["x", "y"], 16
    ) as project:
        return project.root


def heard(signal):
    said = []
    signal.connect(lambda *values: said.append(values))
    return said


def paint(session, row, col, value=1):
    layer = session.labels_layer()
    layer.paint((row, col), value)


def paint_three_classes(session):
    """Add a class "z" and paint a block of each in the first row."""
    session.add_class("z")
    for col, value in enumerate((1, 2, 3)):
        paint(session, 0, col, value)


@pytest.mark.parametrize(
    ("shape", "block"), [((512, 768), 16), ((3000, 4000), 32), ((40, 40), 2), ((130, 900), 4)]
)
def test_default_block_puts_about_32_blocks_across(shape, block):
    assert default_block(shape) == block


def test_painting_on_an_array_makes_a_project_with_a_copy(session, viewer):
    pixels = np.random.default_rng(0).integers(0, 4000, (64, 64), dtype=np.uint16)
    session.start_on_layer(viewer.add_image(pixels, name="from memory"))
    assert session.flush()
    root = session.project.root
    assert unsaved_projects() == [root]
    paint(session, 3, 3)
    session.close_project()
    assert session.flush()
    with Project.open(root) as project:
        assert np.array_equal(project.load_image(project.image_ids[0]).pixels[..., 0], pixels)
        assert project.load_labels(project.image_ids[0]).values[3, 3] == 1


def test_an_image_from_a_file_stays_where_it_is(session, viewer, tmp_path):
    (path,) = write_images(tmp_path, ["plate"])
    (layer,) = viewer.open(path, plugin="napari")
    session.start_on_layer(layer)
    assert session.flush()
    assert session.project.image_path("plate").samefile(path)
    assert session.image_layer() is layer


def test_an_rgb_array_is_copied_as_rgb(session, viewer):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    session.start_on_layer(viewer.add_image(pixels, name="colors"))
    assert session.flush()
    assert np.array_equal(session.project.load_image("colors").pixels, pixels)


def test_a_stack_is_refused_with_the_way_out(session, viewer):
    layer = viewer.add_image(np.zeros((4, 30, 30), np.uint8), name="stack")
    with pytest.raises(ImageError, match="2-D"):
        session.start_on_layer(layer)


def test_each_image_has_its_labels_and_its_undo(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    assert session.image_id == "a"
    paint(session, 0, 0, 1)
    session.set_image("b")
    assert session.flush()
    assert session.image_id == "b"
    assert not session.can_undo()
    paint(session, 1, 1, 2)
    session.set_image("a")
    assert session.flush()
    assert session.labels().values[0, 0] == 1
    assert session.can_undo()
    session.undo()
    assert session.flush()
    with Project.open(two_images) as project:
        assert not project.load_labels("a").values.any()
        assert project.load_labels("b").values[1, 1] == 2


def test_the_image_that_was_asked_for_last_is_shown(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    said = heard(session.busy)
    session.set_image("b")
    assert session.asked_image_id == "b"
    session.set_image("a")
    assert session.asked_image_id == "a"
    assert said[-1] == ("",)
    assert session.flush()
    assert session.image_id == "a"


def test_only_layers_of_the_shown_image_are_in_the_list(session, viewer, two_images):
    for image_id in ("a", "b", "a"):
        if session.project is None:
            session.open_project(two_images)
        session.set_image(image_id)
        assert session.flush()
        assert [layer.name for layer in viewer.layers] == [image_id, f"{image_id} blocks"]


def test_regrid_changes_all_images_and_undo_brings_all_back(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    paint(session, 1, 2, 1)
    session.set_image("b")
    assert session.flush()
    paint(session, 2, 1, 2)
    session.regrid(32)
    assert session.flush()
    with Project.open(two_images) as project:
        assert project.block == 32
        assert {project.load_labels(i).grid.block for i in "ab"} == {32}
    session.undo()
    assert session.flush()
    assert session.block == 16
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[1, 2] == 1
        assert project.load_labels("b").values[2, 1] == 2


def change_while_loading(session, change):
    """Ask for an image, then at once for a change of all images; wait for both."""
    session.set_image("b")
    change()
    assert session.flush()
    assert session.image_id == "b"
    assert session.labels_layer().editable
    return session.labels()


def test_an_image_that_still_loads_comes_on_the_new_grid(session, two_images):
    session.open_project(two_images, "b")
    assert session.flush()
    paint(session, 1, 1, 2)
    session.set_image("a")
    assert session.flush()
    assert change_while_loading(session, lambda: session.regrid(8)).grid.block == 8
    assert session.labels().values[2:4, 2:4].tolist() == [[2, 2], [2, 2]]
    session.set_image("a")
    assert session.flush()
    assert change_while_loading(session, session.undo).grid.block == 16
    paint(session, 0, 2)
    assert session.flush()
    with Project.open(two_images) as project:
        assert project.load_labels("b").grid.block == 16
        assert project.load_labels("b").values[:2, :3].tolist() == [[0, 0, 1], [0, 2, 0]]


def test_an_image_that_still_loads_comes_without_a_deleted_class(session, two_images):
    session.open_project(two_images, "b")
    assert session.flush()
    paint_three_classes(session)
    session.set_image("a")
    assert session.flush()
    labels = change_while_loading(session, lambda: session.delete_class(1))
    assert labels.values[0, :3].tolist() == [0, 1, 2]
    paint(session, 1, 0, 1)
    session.set_image("a")
    assert session.flush()
    change_while_loading(session, session.undo)
    paint(session, 1, 1, 1)
    assert session.flush()
    with Project.open(two_images) as project:
        assert project.load_labels("b").values[:2, :3].tolist() == [[1, 2, 3], [2, 1, 0]]


def test_classes_are_added_renamed_and_recolored(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    assert session.add_class("z") == 3
    session.change_class(1, name="first", color=(1, 2, 3))
    assert session.flush()
    with Project.open(two_images) as project:
        assert [c.name for c in project.classes] == ["first", "y", "z"]
        assert project.classes[0].color == (1, 2, 3)
    colors = session.labels_layer().colormap.color_dict
    assert np.allclose(colors[1][:3], np.array([1, 2, 3]) / 255, atol=0.01)
    assert list(session.labels_layer().features["class"]) == ["unlabelled", "first", "y", "z"]
    with pytest.raises(LabelError, match="already"):
        session.add_class("y")
    with pytest.raises(LabelError, match="name"):
        session.change_class(2, name="  ")


def test_a_deleted_class_takes_its_blocks_along_and_undo_brings_them_back(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    paint_three_classes(session)
    session.set_image("b")
    assert session.flush()
    paint(session, 1, 1, 1)
    session.delete_class(1)
    assert session.flush()
    assert [c.name for c in session.classes] == ["y", "z"]
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[0, :3].tolist() == [0, 1, 2]
        assert not project.load_labels("b").values.any()
    session.undo()
    assert session.flush()
    assert [c.name for c in session.classes] == ["x", "y", "z"]
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[0, :3].tolist() == [1, 2, 3]
        assert project.load_labels("b").values[1, 1] == 1


def test_undo_of_a_deleted_class_keeps_what_became_of_the_others(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    paint_three_classes(session)
    session.delete_class(2)
    session.set_image("b")
    assert session.flush()
    paint(session, 1, 1, session.add_class("w"))
    session.change_class(1, name="first")
    session.set_image("a")
    assert session.flush()
    session.undo()
    assert session.flush()
    assert [(c.value, c.name) for c in session.classes] == [
        (1, "first"),
        (2, "y"),
        (3, "z"),
        (4, "w"),
    ]
    session.add_class("v")
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[0, :3].tolist() == [1, 2, 3]
        assert project.load_labels("b").values[1, 1] == 4
    session.redo()
    assert session.flush()
    assert [c.name for c in session.classes] == ["first", "z", "w", "v"]
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[0, :3].tolist() == [1, 0, 2]
        assert project.load_labels("b").values[1, 1] == 3


def test_the_last_class_stays(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    session.delete_class(2)
    assert session.flush()
    with pytest.raises(LabelError, match="at least one"):
        session.delete_class(1)


def test_the_layer_follows_its_image_and_can_select_no_unknown_class(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    layer, image = session.labels_layer(), session.image_layer()
    image.scale, image.translate = (2.0, 3.0), (5.0, 7.0)
    for cell, pixel in (((0, 0), (7.5, 7.5)), ((2, 3), (39.5, 55.5))):
        assert np.allclose(layer.data_to_world(cell), image.data_to_world(pixel))
    layer.selected_label = 40
    assert layer.selected_label == 2


def test_a_duplicate_of_the_layer_is_a_plain_labels_layer(session, two_images):
    session.open_project(two_images)
    assert session.flush()
    data, attributes, kind = session.labels_layer().as_layer_data_tuple()
    assert kind == "labels"
    copy = Labels(data, **attributes)
    assert np.allclose(copy.affine, session.labels_layer().affine)


def test_a_layer_removed_by_hand_is_saved_first(session, viewer, two_images):
    session.open_project(two_images)
    assert session.flush()
    paint(session, 1, 1)
    viewer.layers.remove(session.labels_layer())
    assert session.image_id is None
    assert session.flush()
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[1, 1] == 1
    session.set_image("a")
    assert session.flush()
    assert session.labels().values[1, 1] == 1


@pytest.mark.parametrize("how", ["selected", "all"])
def test_all_layers_removed_at_once_are_saved_first(session, viewer, two_images, qtbot, how):
    session.open_project(two_images)
    assert session.flush()
    for _ in range(3):  # napari goes through a set: the order differs
        session.set_image("a")
        assert session.flush()
        session.show_prediction("a", np.ones((60, 80), np.uint8))
        changed = heard(session.image_changed)
        paint(session, 1, 1)
        if how == "selected":
            viewer.layers.select_all()
            viewer.layers.remove_selected()
        else:
            viewer.layers.clear()
        assert session.image_id is None
        assert session.flush()
        assert Project.open(two_images).load_labels("a").values[1, 1] == 1
        qtbot.waitUntil(lambda changed=changed: changed == [("",)])
        assert len(viewer.layers) == 0
        session.set_image("a")
        assert session.flush()
        paint(session, 1, 1, 0)
        assert session.flush()


def test_the_layers_of_an_image_leave_with_one_of_them(session, viewer, two_images, qtbot):
    session.open_project(two_images)
    assert session.flush()
    session.show_prediction("a", np.ones((60, 80), np.uint8))
    viewer.layers.remove(session.image_layer())
    qtbot.waitUntil(lambda: len(viewer.layers) == 0)


def test_another_image_may_come_before_the_layers_have_left(session, viewer, two_images):
    session.open_project(two_images)
    assert session.flush()
    changed = heard(session.image_changed)
    viewer.layers.remove(session.labels_layer())
    session.set_image("b")
    assert session.flush()
    QTest.qWait(50)
    assert changed == [("",), ("b",)]
    assert [layer.name for layer in viewer.layers] == ["b", "b blocks"]


def full_disk(*_args, **_kwargs):
    raise OSError(28, "No space left on device")


@pytest.fixture
def disk_full(monkeypatch):
    """A patch that makes the disk take nothing, until it is undone."""

    with monkeypatch.context() as patch:
        patch.setattr("napari_blockseg.files.labelstore.JournalWriter.append", full_disk)
        patch.setattr("napari_blockseg.files.labelstore.write_block_labels", full_disk)
        yield patch


@pytest.fixture
def painted_in_vain(session, two_images, request):
    """A session in which image "a" has a block that the full disk did not take."""
    session.open_project(two_images)
    assert session.flush()
    paint(session, 0, 0, 1)
    assert session.flush()
    patch = request.getfixturevalue("disk_full")
    paint(session, 1, 1, 2)
    assert not session.flush()
    return patch


def test_a_failed_save_is_told_once_and_tried_again(session, painted_in_vain, two_images):
    problems = heard(session.problem)
    assert not session.flush()
    assert not session.flush()
    assert problems == [], "it was told when it failed first"
    painted_in_vain.undo()
    assert session.flush()
    assert Project.open(two_images).load_labels("a").values[1, 1] == 2


def test_a_failed_save_says_what_to_do(session, two_images, disk_full):
    problems = heard(session.problem)
    session.open_project(two_images)
    assert session.flush()
    paint(session, 1, 1)
    assert not session.flush()
    ((message,),) = problems
    assert '"a"' in message
    assert "No space left" in message
    assert "Make room" in message
    paint(session, 1, 2)
    assert not session.flush()
    assert len(problems) == 1


def test_a_failed_save_is_tried_again_without_a_stroke(session, painted_in_vain, two_images, qtbot):
    session._easel._retry.setInterval(50)
    session.flush()
    QTest.qWait(200)  # tried in vain meanwhile
    painted_in_vain.undo()
    qtbot.waitUntil(lambda: Project.open(two_images).load_labels("a").values[1, 1] == 2)


def test_what_was_not_saved_outlives_another_image(session, painted_in_vain, two_images, qtbot):
    session._easel._retry.setInterval(50)
    session.set_image("b")
    assert not session.flush()
    assert session.image_id == "b"
    session.set_image("a")
    assert not session.flush()
    assert session.image_id == "b", "older labels are not shown as if they were the last"
    painted_in_vain.undo()
    qtbot.waitUntil(lambda: Project.open(two_images).load_labels("a").values[1, 1] == 2)
    session.set_image("a")
    assert session.flush()
    assert session.labels().values[1, 1] == 2


def test_closing_writes_what_was_not_saved(session, painted_in_vain, two_images):
    painted_in_vain.undo()
    session.close_project()
    assert session.flush()
    assert Project.open(two_images).load_labels("a").values[1, 1] == 2


def test_closing_says_what_is_lost(session, painted_in_vain, two_images):
    problems = heard(session.problem)
    session.close_project()
    session.flush()
    ((message,),) = problems
    assert "lost" in message
    painted_in_vain.undo()
    assert Project.open(two_images).load_labels("a").values[0, 0] == 1


def test_other_blocks_wait_for_what_was_not_saved(session, painted_in_vain, two_images):
    session.regrid(32)
    assert not session.flush()
    assert session.block == 16
    assert session.labels().values[1, 1] == 2
    assert session.labels_layer().editable
    painted_in_vain.undo()
    session.regrid(32)
    assert session.flush()
    assert session.block == 32
    session.undo()
    assert session.flush()
    assert Project.open(two_images).load_labels("a").values[1, 1] == 2


def test_a_project_that_someone_else_holds_asks_first(session, two_images):
    with Project.open(two_images, write=True):
        asked = heard(session.locked)
        session.open_project(two_images)
        assert session.flush()
        assert asked
        assert session.project is None
        session.open_project(two_images, take_over=True)
        assert session.flush()
        assert session.project is not None


def test_a_missing_image_is_told_and_the_others_open(session, two_images):
    (two_images.parent / "a.tif").unlink()
    problems = heard(session.problem)
    session.open_project(two_images)
    assert session.flush()
    assert session.image_id == "b"
    session.set_image("a")
    assert "a.tif" in problems[-1][0]


def test_what_can_not_be_opened_is_told_once_the_project_is_there(session, two_images):
    (two_images.parent / "a.tif").unlink()
    said, problems = heard(session.notice), heard(session.problem)
    session.busy.connect(lambda what: said.append((what,)))
    session.open_project(two_images, "a")
    assert session.flush()
    assert session.image_id == "b"
    assert "a.tif" in problems[0][0], "it was asked for"
    assert '"a" cannot be opened' in said[-1][0], "what is said before it loads goes under"


def damage_journal(root, image_id):
    """Paint four blocks of a row, and spoil the record of the third."""
    project = Project.open(root, write=True)
    for col in range(4):
        cell = np.array([[0, col]])
        project.record(image_id, Changes(cell, np.array([0]), np.array([1])))
    project._abandon()  # as if killed: only the journal holds it
    journal = root / "journal" / f"{image_id}.jsonl"
    lines = journal.read_bytes().split(b"\n")
    lines[3] = lines[3][:30]
    journal.write_bytes(b"\n".join(lines))


def test_an_image_with_a_damaged_journal_opens_and_can_be_painted_on(session, two_images):
    damage_journal(two_images, "b")
    notices, problems = heard(session.notice), heard(session.problem)
    session.open_project(two_images)
    assert session.flush()
    assert session.image_id == "a"
    assert "b.jsonl is damaged at line 4" in notices.pop()[0]
    assert not notices
    session.set_image("b")
    assert session.flush()
    assert "to go on as it is, paint" in notices.pop()[0]
    assert session.labels().values[0].tolist() == [1, 1, 0, 0, 0]
    paint(session, 2, 2)
    for image_id in ("a", "b"):
        session.set_image(image_id)
        assert session.flush()
    assert not notices, "the journal is a new one by now"
    assert not problems
    assert (two_images / "journal" / "b.damaged-1.jsonl").exists()
    with Project.open(two_images) as project:
        assert project.load_labels("b").values[2, 2] == 1


def test_what_is_no_project_is_told(session, tmp_path):
    problems = heard(session.problem)
    session.open_project(tmp_path)
    assert session.flush()
    assert "project.json" in problems[0][0]


def test_save_as_moves_the_folder_and_stays_open(session, viewer, tmp_path):
    session.start_on_layer(viewer.add_image(np.zeros((64, 64), np.uint8), name="i"))
    assert session.flush()
    paint(session, 1, 1)
    old, target = session.project.root, tmp_path / "named.blockseg"
    session.save_project_as(target)
    assert session.flush()
    assert not old.exists()
    assert session.project.root == target
    assert session.labels().values[1, 1] == 1


def test_save_as_takes_a_project_along_of_which_an_image_is_missing(session, two_images, tmp_path):
    missing = tmp_path / "b.tif"
    aside = missing.rename(tmp_path / "aside")
    session.open_project(two_images)
    assert session.flush()
    target = tmp_path / "below" / "named.blockseg"
    target.parent.mkdir()
    session.save_project_as(target)
    assert session.flush()
    assert session.project.root == target
    assert session.image_id == "a"
    assert list(session.project.problems) == ["b"]
    session.close_project()
    aside.rename(missing)
    session.open_project(target)
    assert session.flush()
    assert session.project.problems == {}
    assert session.project.image_path("b").samefile(missing)


def test_a_prediction_lies_on_its_image_and_leaves_the_brush_in_hand(session, viewer, two_images):
    session.open_project(two_images)
    assert session.flush()
    session.image_layer().rotate = 20
    layer = session.labels_layer()
    layer.mode = "paint"
    mask = np.full((20, 30), 2, np.uint8)
    session.show_prediction("a", mask, (10, 30, 40, 70))
    shown = session.prediction_layer()
    assert shown.name == "prediction"
    assert np.argwhere(shown.data).min(axis=0).tolist() == [10, 40]
    assert np.count_nonzero(shown.data) == 600
    assert np.allclose(shown.data_to_world((12, 41)), session.image_layer().data_to_world((12, 41)))
    assert viewer.layers.selection.active is layer
    assert viewer.layers.index(shown) < viewer.layers.index(layer)
    session.show_prediction("b", mask, (0, 20, 0, 30))
    assert np.count_nonzero(shown.data) == 600, "it belongs to another image"
    session.set_image("b")
    assert session.flush()
    assert session.prediction_layer() is None


def test_a_prediction_keeps_its_names_when_values_move(session, two_images):
    """Deleting a class gives later ones other values; what was predicted as one stays that one."""
    session.open_project(two_images)
    assert session.flush()
    session.add_class("third")
    first, second, third = (info.name for info in session.classes)
    notes = {info.value: info.name for info in session.classes}
    mask = np.repeat(np.array([[1, 2, 3, 0]], np.uint8), 20, axis=0)
    session.show_prediction("a", PredictedMask(mask, notes), (0, 20, 0, 4))

    def predicted():
        layer = session.prediction_layer()
        names = {0: "", **{info.value: info.name for info in session.classes}}
        return [names[int(value)] for value in layer.data[5, :4]]

    assert predicted() == [first, second, third, ""]
    session.delete_class(1)
    assert session.flush()
    assert predicted() == ["", second, third, ""]
    # A model of before goes on speaking of its three classes.
    session.show_prediction("a", PredictedMask(mask, notes), (0, 20, 0, 4))
    assert predicted() == ["", second, third, ""]
    session.undo()
    assert session.flush()
    assert predicted() == ["", second, third, ""]
    session.change_class(2, name="renamed")
    assert predicted() == ["", "renamed", third, ""]
    session.show_prediction("a", PredictedMask(mask, notes), (0, 20, 0, 4))
    assert predicted() == [first, "renamed", third, ""]


def test_visible_region_is_what_the_canvas_shows(session, viewer, two_images):
    session.open_project(two_images)
    assert session.flush()
    viewer.reset_view()
    QTest.qWait(100)
    assert session.visible_region() == (0, 60, 0, 80)
    getattr(viewer, "scene", viewer).camera.zoom *= 4
    QTest.qWait(100)
    row0, row1, col0, col1 = session.visible_region()
    assert 0 < row0 < row1 < 60
    assert 0 < col0 < col1 < 80


@pytest.mark.parametrize("colors", [(), (3,)], ids=["grey", "rgb"])
def test_visible_region_counts_pixels_of_the_image_on_every_level(session, viewer, colors):
    full = np.random.default_rng(0).integers(0, 255, (4096, 4096, *colors), dtype=np.uint8)
    levels = [full, full[::2, ::2], full[::4, ::4], full[::8, ::8]]
    layer = viewer.add_image(levels, multiscale=True, rgb=bool(colors), name="pyramid")
    session.start_on_layer(layer)
    assert session.flush()
    plain = viewer.add_image(full[..., 0] if colors else full, name="one level")
    viewer.reset_view()
    for zoom in (1, 1.5, 20):
        getattr(viewer, "scene", viewer).camera.zoom *= zoom
        QTest.qWait(100)
        assert layer.data_level > 0 or zoom == 20, "what the test is about"
        (row0, col0), (row1, col1) = plain.corner_pixels
        wanted = np.clip((row0, row1 + 1, col0, col1 + 1), 0, 4096)
        off = np.abs(np.subtract(session.visible_region(), wanted))
        assert off.max() <= 2 * session.block


def test_signals_tell_what_happened(session, two_images):
    opened, images = heard(session.project_opened), heard(session.image_changed)
    labels, saved = heard(session.labels_changed), heard(session.saved)
    session.open_project(two_images)
    assert session.flush()
    assert len(opened) == 1
    assert images == [("a",)]
    labels.clear()
    paint(session, 1, 1)
    QTest.qWait(150)
    assert labels == [("a",)]
    assert session.flush()
    assert saved[-1] == ("a",)


def test_a_project_of_files_gets_a_block_that_suits_them(session, tmp_path):
    paths = write_images(tmp_path, ["p", "q"], (130, 200))
    session.create_project(tmp_path / "new.blockseg", paths, make_classes(["x"]))
    assert session.flush()
    assert session.image_ids == ("p", "q")
    assert session.block == 4


def test_a_wrong_folder_leaves_the_open_project_open(session, two_images, tmp_path):
    session.open_project(two_images)
    assert session.flush()
    problems = heard(session.problem)
    session.open_project(tmp_path)
    assert "no project" in problems[0][0]
    assert session.image_id == "a"


def test_a_failed_change_of_all_images_gives_the_brush_back(session, two_images, monkeypatch):
    session.open_project(two_images)
    assert session.flush()
    paint(session, 1, 1)
    session.labels_layer().mode = "paint"
    problems = heard(session.problem)
    monkeypatch.setattr(session.project, "set_block", lambda _: 1 / 0)
    session.regrid(8)
    assert session.flush()
    assert problems
    assert session.block == 16
    assert session.labels_layer().editable
    assert str(session.labels_layer().mode) == "paint"


def test_a_class_added_while_the_disk_is_full_is_saved_with_its_blocks(
    session, two_images, monkeypatch
):
    session.open_project(two_images)
    assert session.flush()
    problems = heard(session.problem)
    with monkeypatch.context() as patch:
        patch.setattr("napari_blockseg.files.project.write_spec", full_disk)
        value = session.add_class("late")
        assert not session.flush()
        paint(session, 1, 1, value)
        assert not session.flush()
    assert problems[0][0].startswith("The list of classes as you see it is not on disk: [Errno 28]")
    assert session.flush()
    with Project.open(two_images) as project:
        assert project.classes[value - 1].name == "late"
        assert project.load_labels("a").values[1, 1] == value


def test_a_change_of_all_images_that_stopped_half_way_is_finished(session, two_images, monkeypatch):
    session.open_project(two_images, "b")
    assert session.flush()
    paint(session, 1, 1)
    session.set_image("a")
    assert session.flush()
    paint(session, 0, 0)
    assert session.flush()
    problems = heard(session.problem)
    write, failures = labelstore.write_block_labels, [OSError("no space left")]

    def full_once(*args):
        if failures:
            raise failures.pop()
        return write(*args)

    monkeypatch.setattr(labelstore, "write_block_labels", full_once)
    session.regrid(8)
    assert session.flush()
    assert "no space left" in problems[0][0]
    assert session.image_id == "a"
    assert session.block == session.labels().grid.block == 8
    paint(session, 5, 5)
    assert session.flush()
    with Project.open(two_images) as project:
        assert project.load_labels("a").values[[0, 1, 5], [0, 1, 5]].all()
        assert project.load_labels("b").values[2:4, 2:4].all()


def test_an_unknown_unit_does_not_keep_an_image_from_opening(session, tmp_path):
    path = tmp_path / "u.tif"
    pixels = np.zeros((40, 40), np.uint8)
    tifffile.imwrite(
        path, pixels, imagej=True, resolution=(2.0, 2.0), metadata={"unit": "furlongs?"}
    )
    session.create_project(tmp_path / "u.blockseg", [path], make_classes(["x"]))
    assert session.flush()
    assert session.image_id == "u"
    assert np.allclose(session.image_layer().scale, 0.5)
