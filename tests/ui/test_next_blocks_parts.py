"""Parts of the next blocks and of the effort line that need no window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.effort import Effort
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, Changes
from napari_blockseg.files.journal import JournalRecord, JournalWriter
from napari_blockseg.ui.effort_line import EffortReader, effort_words
from napari_blockseg.ui.focus_point import look_at
from napari_blockseg.ui.layer import BlockLabelsLayer
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
    real = EffortReader.__call__.__globals__["read_actions"]

    def spy(path, image_id, after_seq):
        asked.append(after_seq)
        return real(path, image_id, after_seq)

    monkeypatch.setattr("napari_blockseg.ui.effort_line.read_actions", spy)
    reader = EffortReader()
    paint(1)
    paint(2)
    assert reader(tmp_path, ["a", "never painted"]) == Effort("", 0, 2, 2, 2.0)
    paint(3)
    assert reader(tmp_path, ["a", "never painted"]) == Effort("", 0, 3, 3, 5.0)
    writer.close()
    assert asked == [0, 0, 2, 0]
    assert reader(tmp_path / "another project", ["a"]) == Effort("", 0)
