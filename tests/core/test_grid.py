"""The block grid: pixels to blocks and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid

sides = st.integers(1, 70)
blocks = st.integers(1, 40)


@given(rows=sides, cols=sides, block=blocks)
def test_every_pixel_belongs_to_exactly_one_block(rows: int, cols: int, block: int) -> None:
    grid = BlockGrid((rows, cols), block)
    hits = np.zeros((rows, cols), int)
    for r in range(grid.rows):
        for c in range(grid.cols):
            hits[grid.pixel_slices(r, c)] += 1
    assert (hits == 1).all()
    assert grid.block_areas().sum() == rows * cols
    assert grid.block_areas().shape == grid.shape


@given(rows=sides, cols=sides, block=blocks, data=st.data())
def test_block_of_agrees_with_pixel_slices(rows: int, cols: int, block: int, data) -> None:
    grid = BlockGrid((rows, cols), block)
    row = data.draw(st.integers(0, rows - 1))
    col = data.draw(st.integers(0, cols - 1))
    for shift in (-0.49, 0.0, 0.49):
        r, c = grid.block_of(row + shift, col + shift)
        in_rows, in_cols = grid.pixel_slices(r, c)
        assert in_rows.start <= row < in_rows.stop
        assert in_cols.start <= col < in_cols.stop


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, (slice(2, 3), slice(3, 4))),
        (2, (slice(1, 3), slice(2, 4))),
        (3, (slice(1, 4), slice(2, 5))),
    ],
)
def test_brush_covers_size_by_size_blocks(size: int, expected: tuple[slice, slice]) -> None:
    assert BlockGrid((100, 100), 10).brush_slices(2, 3, size) == expected


def test_brush_is_clipped_at_the_edge_and_empty_outside() -> None:
    grid = BlockGrid((25, 35), 10)
    assert grid.brush_bounds(0, 0, 3) == (-0.5, 19.5, -0.5, 19.5)
    assert grid.brush_bounds(2, 3, 1) == (19.5, 24.5, 29.5, 34.5)
    rows, cols = grid.brush_slices(-5, 50, 3)
    assert rows.start == rows.stop
    assert cols.start == cols.stop


def test_scale_and_translate_put_the_block_center_where_its_pixels_are() -> None:
    scale, translate = BlockGrid((64, 64), 16).scale_translate()
    center = 2 * scale[0] + translate[0]
    assert center == np.arange(32, 48).mean()


def test_leading_axes_are_kept() -> None:
    grid = BlockGrid((5, 3, 20, 30), 8)
    assert grid.shape == (5, 3, 3, 4)
    assert grid.plane.shape == (3, 4)
    assert BlockGrid.from_dict(grid.to_dict()) == grid


@pytest.mark.parametrize(("shape", "block"), [((5,), 4), ((0, 5), 4), ((5, 5), 0)])
def test_impossible_grids_are_refused(shape: tuple[int, ...], block: int) -> None:
    with pytest.raises(LabelError, match="expected"):
        BlockGrid(shape, block)


def test_a_block_outside_is_refused() -> None:
    with pytest.raises(LabelError, match="2 rows and 2 columns"):
        BlockGrid((20, 20), 10).pixel_slices(2, 0)
