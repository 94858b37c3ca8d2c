"""Parts of the next blocks and of the effort line that need no window."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.effort import DELETED, Effort, measure_effort, sum_effort
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, Changes
from napari_blockseg.files.effort import project_actions
from napari_blockseg.files.journal import JournalRecord, JournalWriter, read_journal
from napari_blockseg.files.project import Project
from napari_blockseg.ui.effort_line import EffortSum, effort_words
from napari_blockseg.ui.focus_point import look_at
from napari_blockseg.ui.layer import BlockLabelsLayer
from napari_blockseg.ui.project_steps import carry_out, delete_class_step, take_back
from napari_blockseg.ui.uncertainty_layer import full_scale, whole_blocks


def camera_of(viewer):
    return getattr(viewer, "scene", viewer).camera


def shown(shape, **transform):
    """Return a viewer with an image of random pixels under blocks of 8."""
    viewer = ViewerModel()
    image = viewer.add_image(np.random.default_rng(0).random(shape), **transform)
    labels = BlockLabels.empty(BlockGrid(shape, 8))
    layer = BlockLabelsLayer(labels, make_classes(["a", "b"]), image, "blocks")
    viewer.add_layer(layer)
    return viewer, image, layer


def test_swapped_axes_are_the_views():
    viewer, _, layer = shown((400, 4000))
    viewer.dims.transpose()
    camera_of(viewer).zoom = 4
    look_at(viewer, layer, (20, 400))
    middle = np.asarray(layer.data_to_world((20, 400)))[[1, 0]]
    np.testing.assert_allclose(camera_of(viewer).center[-2:], middle, atol=1e-6)


@pytest.mark.parametrize(
    "transform", [{}, {"scale": (0.5, 0.5), "translate": (100, -30)}, {"rotate": 30}]
)
def test_a_block_comes_into_the_middle_whatever_the_transform(transform):
    viewer, image, layer = shown((1600, 2400), **transform)
    camera_of(viewer).zoom = 0.1
    look_at(viewer, layer, (90, 140))
    expected = image.data_to_world((90 * 8 + 3.5, 140 * 8 + 3.5))
    np.testing.assert_allclose(camera_of(viewer).center[-2:], expected)
    side = 8 * image.scale[-1]
    assert camera_of(viewer).zoom * side == pytest.approx(24), "a block is 24 screen pixels wide"
    camera_of(viewer).zoom = 50
    look_at(viewer, layer, (0, 0))
    assert camera_of(viewer).zoom == 50, "who has zoomed in stays there"


@pytest.mark.parametrize(
    ("cell", "middle"),
    [
        ((0, 0), (99.5, 149.5)),
        ((199, 150), (1499.5, 1203.5)),
        ((100, 299), (803.5, 2249.5)),
        ((12, 18), (99.5, 149.5)),
        ((13, 19), (107.5, 155.5)),
    ],
)
def test_a_view_at_the_edge_shows_the_image_and_nothing_beside_it(cell, middle):
    viewer, _, layer = shown((1600, 2400))
    viewer.canvas.size = (600, 900)
    camera_of(viewer).zoom = 3.0  # so 200 x 300 pixels of the image are in view
    look_at(viewer, layer, cell)
    np.testing.assert_allclose(camera_of(viewer).center[-2:], middle)


def test_an_image_smaller_than_the_view_is_in_the_middle_along_that_axis():
    viewer, _, layer = shown((64, 2400))
    viewer.canvas.size = (600, 900)
    camera_of(viewer).zoom = 3.0
    look_at(viewer, layer, (0, 299))
    np.testing.assert_allclose(camera_of(viewer).center[-2:], (31.5, 2249.5))


def test_of_a_stack_the_plane_is_shown_too():
    viewer, _, layer = shown((5, 800, 1200), scale=(3, 1, 1))
    camera_of(viewer).zoom = 3.0
    look_at(viewer, layer, (4, 50, 75))
    assert viewer.dims.current_step[0] == 4
    np.testing.assert_allclose(camera_of(viewer).center[-2:], (403.5, 603.5))


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ((0, 8, 8, 16), (0, 8, 8, 16)),
        ((1, 9, 15, 17), (0, 16, 8, 24)),
        ((17, 20, 0, 30), (16, 20, 0, 30)),
    ],
)
def test_regions_grow_to_whole_blocks_and_no_further_than_the_image(region, expected):
    assert whole_blocks(region, BlockGrid((20, 30), 8)) == expected


def test_two_classes_alike_are_drawn_brightest():
    assert full_scale(2) == 1
    assert full_scale(4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("strokes", "seconds", "words"),
    [
        (0, 5.0, ""),
        (1, 0.0, "1 stroke, 0 s"),
        (23, 250.0, "23 strokes, 4 min"),
        (1234, 9000.0, "1,234 strokes, 2.5 h"),
    ],
)
def test_effort_in_words(strokes, seconds, words):
    assert effort_words(Effort("", 0, strokes, 9, seconds)) == words


def test_a_growing_journal_is_read_on_not_again(tmp_path, monkeypatch):
    writer = JournalWriter(tmp_path / "journal" / "a.jsonl")
    times = iter(f"2026-01-01T10:00:{s:02}.000+00:00" for s in (0, 2, 5))
    monkeypatch.setattr("napari_blockseg.files.journal.now", lambda: next(times))

    def paint(seq):
        cells = np.array([[0, seq]])
        writer.append(
            JournalRecord.of_changes(seq, Changes(cells, np.array([0]), np.array([1])), "paint")
        )

    asked = []

    def spy(path, after_seq):
        asked.append(after_seq)
        return read_journal(path, after_seq)

    monkeypatch.setattr("napari_blockseg.files.effort.read_journal", spy)
    reader = EffortSum()
    paint(1)
    paint(2)
    assert reader(tmp_path, ["a", "never painted"]) == Effort("", 0, 2, 2, 2.0)
    paint(3)
    assert reader(tmp_path, ["a", "never painted"]) == Effort("", 0, 3, 3, 5.0)
    writer.close()
    assert asked == [0, 0, 2, 0]
    assert reader(tmp_path / "another project", ["a"]) == Effort("", 0)


@pytest.fixture
def project(tmp_path):
    """Return a project of classes a, b, c with blocks of each of them painted."""
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((64, 64), np.uint8))
    files = [tmp_path / "image.tif"]
    with Project.create(tmp_path / "p.blockseg", files, ["a", "b", "c"], block=8) as project:
        for value in (1, 2, 3):
            paint_row(project, value)
        yield project


def paint_row(project, value):
    """Paint as many blocks of a row as the class has for a value."""
    cells = np.array([(value, col) for col in range(value)])
    new = np.full(value, value)
    project.record("image", Changes(cells, 0 * new, new), "paint", goes_on=False)


def blocks_of(project):
    found = measure_effort(project_actions(project.root, project.image_ids))
    return {one.value: one.blocks for one in found if one.blocks}


@pytest.mark.parametrize("value", [1, 2, 3])
def test_work_goes_with_a_class_that_is_deleted_and_comes_back(project, value):
    step = delete_class_step(value, project.block)
    for _ in range(2):
        carry_out(project, step)
        left = [one for one in (1, 2, 3) if one != value]
        assert blocks_of(project) == {DELETED: value, 1: left[0], 2: left[1]}
        take_back(project, step)
        assert blocks_of(project) == {1: 1, 2: 2, 3: 3}


def test_the_dock_reads_damaged_journals_as_the_command_does(project):
    def both():
        read = project_actions(project.root, project.image_ids)
        assert reader(project.root, project.image_ids) == sum_effort(measure_effort(read))
        return sum_effort(measure_effort(read)).blocks

    reader = EffortSum()
    assert both() == 1 + 2 + 3
    project.close()
    journal = project.root / "journal" / "image.jsonl"
    start, *strokes = journal.read_bytes().splitlines(keepends=True)
    torn = b"".join([start, *strokes[:2], b"{torn}\n", strokes[2]])
    journal.with_name("image.damaged-1.jsonl").write_bytes(torn)
    journal.write_bytes(strokes[0].replace(b'"seq":2', b'"seq":4'))
    assert both() == 1 + 2 + 1, "what was read of it before counts no more"
    reader = EffortSum()
    assert both() == 1 + 2 + 1
