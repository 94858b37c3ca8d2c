"""Tiles cover everything, start where the network's grid does, and weigh one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.tiles import plan_spans, plan_tiles


@given(length=st.integers(1, 3000), tile=st.integers(2, 20), halo=st.integers(0, 400))
def test_spans_weigh_one_everywhere(length: int, tile: int, halo: int) -> None:
    spans = plan_spans(length, tile * 32, halo)
    total = np.zeros(length)
    for span in spans:
        assert span.start % 32 == 0
        assert span.stop - span.start == min(tile * 32, length - span.start)
        total[span.start : span.stop] += span.weights
        assert span.weights.min() >= 0
    assert np.allclose(total, 1, atol=1e-5)


@given(length=st.integers(1000, 4000), halo=st.integers(32, 128))
def test_cut_ends_are_not_trusted(length: int, halo: int) -> None:
    spans = plan_spans(length, 512, halo)
    for before, after in itertools.pairwise(spans):
        overlap = before.stop - after.start
        assert overlap >= 2 * halo - 64
        assert after.used.start >= after.start + overlap // 4
        assert before.used.stop <= before.stop - overlap // 4


def test_a_small_image_is_one_tile() -> None:
    ((tile,),) = plan_tiles((100, 90), 512, 64)
    assert tile.read == (slice(0, 100), slice(0, 90))
    assert (tile.weights() == 1).all()


def test_rows_above_the_next_row_are_final() -> None:
    rows = plan_tiles((1500, 700), 512, 64)
    total = np.zeros((1500, 700))
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        for tile in row:
            total[tile.read] += tile.weights()
        done = following[0].used[0].start if following else 1500
        assert np.allclose(total[:done], 1, atol=1e-5)


@pytest.mark.parametrize("tile", [0, 50])
def test_a_tile_off_the_grid_is_refused(tile: int) -> None:
    with pytest.raises(BlockSegError, match="multiple of 32"):
        plan_spans(100, tile, 0)
