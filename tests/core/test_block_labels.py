"""Block labels: from masks, to masks, to other grids."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import (
    BlockLabels,
    apply_changes,
    class_counts,
    diff,
    label_dtype,
    regrid,
)

K = 4
masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.integers(0, K)
)
blocks = st.integers(1, 12)


def test_majority_and_pure_on_a_hand_made_mask() -> None:
    mask = np.array(
        [
            [1, 1, 2, 2, 3],
            [1, 2, 2, 2, 3],
            [0, 0, 0, 4, 1],
            [0, 4, 0, 0, 1],
        ]
    )
    majority = BlockLabels.from_mask(mask, 2, K)
    # Bottom left is mostly void in both columns of blocks; the ragged last column holds 2 pixels.
    assert majority.values.tolist() == [[1, 2, 3], [0, 0, 1]]
    pure = BlockLabels.from_mask(mask, 2, K, "pure", purity=0.95)
    assert pure.values.tolist() == [[0, 2, 3], [0, 0, 1]]


def test_ties_go_to_the_lowest_class() -> None:
    assert BlockLabels.from_mask(np.array([[3, 3], [2, 2]]), 2, K).values.tolist() == [[2]]


def test_half_void_is_labelled_and_more_is_not() -> None:
    assert BlockLabels.from_mask(np.array([[0, 0], [1, 1]]), 2, K).n_labelled == 1
    assert BlockLabels.from_mask(np.array([[0, 0], [0, 1]]), 2, K).n_labelled == 0


@given(mask=masks)
def test_blocks_of_one_pixel_are_the_mask(mask: np.ndarray) -> None:
    labels = BlockLabels.from_mask(mask, 1, K)
    assert np.array_equal(labels.values, mask)
    assert np.array_equal(labels.to_mask(), mask)


@given(mask=masks, block=blocks)
def test_class_counts_match_a_slow_count(mask: np.ndarray, block: int) -> None:
    counts = class_counts(mask, block, K)
    grid = BlockGrid(mask.shape, block)
    for r in range(grid.rows):
        for c in range(grid.cols):
            cell = mask[grid.pixel_slices(r, c)]
            assert counts[r, c].tolist() == [int((cell == v).sum()) for v in range(K + 1)]


@given(mask=masks, block=blocks, policy=st.sampled_from(["majority", "pure"]))
def test_labels_survive_the_way_to_pixels_and_back(mask, block: int, policy) -> None:
    labels = BlockLabels.from_mask(mask, block, K, policy)
    assert BlockLabels.from_mask(labels.to_mask(), block, K) == labels


@given(mask=masks, factor=st.integers(1, 5), fine=st.integers(1, 5))
def test_finer_loses_nothing_and_comes_back(mask: np.ndarray, factor: int, fine: int) -> None:
    labels = BlockLabels.from_mask(mask, fine * factor, K)
    finer = regrid(labels, fine)
    assert finer.changed_pixels == 0
    assert np.array_equal(finer.labels.to_mask(), labels.to_mask())
    assert regrid(finer.labels, fine * factor).labels == labels


@given(mask=masks, block=blocks, other=blocks)
def test_regrid_counts_what_it_changes(mask: np.ndarray, block: int, other: int) -> None:
    labels = BlockLabels.from_mask(mask, block, K)
    result = regrid(labels, other)
    changed = result.labels.to_mask() != labels.to_mask()
    assert result.changed_pixels == changed.sum()
    assert result.labelled_pixels == (labels.to_mask() > 0).sum()
    assert (result.changed_blocks > 0) == changed.any()
    assert result.changed_blocks <= result.labels.values.size


def test_regrid_counts_changed_blocks_of_a_stack() -> None:
    values = np.zeros((2, 4, 4), np.uint8)
    values[1, :2, :2] = [[1, 1], [1, 2]]
    result = regrid(BlockLabels(BlockGrid((2, 8, 8), 2), values), 4)
    assert result.labels.values[1].tolist() == [[1, 0], [0, 0]]
    assert (result.changed_blocks, result.changed_pixels, result.labelled_pixels) == (1, 4, 16)


def test_a_block_far_larger_than_its_image_takes_the_room_of_the_image() -> None:
    mask = np.ones((1, 30, 40), np.uint8)
    labels = BlockLabels.from_mask(mask, 4000, K)
    tracemalloc.start()
    np.testing.assert_array_equal(labels.to_mask(), mask)
    np.testing.assert_array_equal(regrid(labels, 1).labels.values, mask)
    assert regrid(labels, 3000).labels.values.tolist() == [[[1]]]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20, "a block has 16 million pixels, the image 1200"


def test_values_are_read_only_and_of_the_grid() -> None:
    labels = BlockLabels.empty(BlockGrid((8, 8), 4))
    with pytest.raises(ValueError, match="read-only"):
        labels.values[0, 0] = 1
    with pytest.raises(LabelError, match=r"needs \(2, 2\)"):
        BlockLabels(labels.grid, np.zeros((3, 3), np.uint8))


@pytest.mark.parametrize("dtype", [np.int64, np.uint16, np.uint8, np.bool_])
def test_dtype_is_the_smallest_that_holds(dtype) -> None:
    kept = np.uint16 if dtype == np.uint16 else np.uint8
    assert label_dtype(np.ones(3, dtype)) is kept


@pytest.mark.parametrize("values", [np.array([-1]), np.array([70000]), np.array([0.5])])
def test_values_that_are_no_labels_are_refused(values: np.ndarray) -> None:
    with pytest.raises(LabelError, match="expected"):
        label_dtype(values)


def test_a_mask_of_other_classes_is_refused() -> None:
    with pytest.raises(LabelError, match="0 to 9; expected 0 "):
        BlockLabels.from_mask(np.array([[0, 9]]), 1, K)


@settings(max_examples=50)
@given(data=st.data())
def test_changes_rebuild_the_new_grid(data) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=3, max_side=8))
    arrays = hnp.arrays(np.uint8, shape, elements=st.integers(0, K))
    old, new = data.draw(arrays), data.draw(arrays)
    changes = diff(old, new)
    assert len(changes) == (old != new).sum()
    assert np.array_equal(apply_changes(old, changes), new)
