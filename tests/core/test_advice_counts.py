"""Pair counts, and what the estimate makes of them whatever is painted."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_blockseg.core.advice import (
    PairCounts,
    count_pairs,
    estimate_ceilings,
    estimate_from_counts,
)
from napari_blockseg.core.advice.counts import DISTANCES, LAGS
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels

K = 4
GRIDS = arrays(
    np.uint8, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.integers(0, K)
)


def labels_of(values: np.ndarray, block: int = 8) -> BlockLabels:
    shape = (*values.shape[:-2], values.shape[-2] * block, values.shape[-1] * block)
    return BlockLabels(BlockGrid(shape, block), values)


def blobs(seed: int = 0, n_classes: int = 3, size: int = 96, sigma: float = 4) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(n_classes, size, size))
    return (ndimage.gaussian_filter(noise, (0, sigma, sigma)).argmax(0) + 1).astype(np.uint8)


def thinned(values: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    # The same seed keeps the same cells first: less paint is part of more paint.
    return np.where(np.random.default_rng(seed).random(values.shape) < share, values, 0)


def same(a: PairCounts, b: PairCounts) -> bool:
    return (a.block, a.blocks) == (b.block, b.blocks) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("owned", "alike", "unlike")
    )


@given(GRIDS)
@settings(max_examples=40, deadline=None)
def test_pairs_are_those_one_can_count_by_hand(values: np.ndarray) -> None:
    alike = np.zeros((K, len(DISTANCES)), int)
    unlike = np.zeros_like(alike)
    for row, col in np.ndindex(*values.shape):
        for down, right in LAGS:
            r, c = row + down, col + right
            if not (r < values.shape[0] and 0 <= c < values.shape[1]):
                continue
            a, b = int(values[row, col]), int(values[r, c])
            at = int(np.argmin(np.abs(np.array(DISTANCES) - np.hypot(down, right))))
            if a and b and a == b:
                alike[a - 1, at] += 1
            elif a and b:
                unlike[a - 1, at] += 1
                unlike[b - 1, at] += 1
    counts = PairCounts.of(labels_of(values), K)
    assert np.array_equal(counts.alike, alike)
    assert np.array_equal(counts.unlike, unlike)
    assert counts.labelled == np.count_nonzero(values)


@given(st.lists(GRIDS, min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_counts_of_images_can_be_summed(grids: list[np.ndarray]) -> None:
    items = [labels_of(values) for values in grids]
    assert same(PairCounts.sum(PairCounts.of(i, K) for i in items), count_pairs(items, K))


def test_pairs_never_span_planes() -> None:
    stack = np.stack([blobs(1), np.zeros_like(blobs()), blobs(2)])
    apart = PairCounts.sum(PairCounts.of(labels_of(stack[i]), 3) for i in (0, 2))
    assert same(PairCounts.of(labels_of(stack), 3), apart)


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(LabelError, match="one block size"):
        PairCounts.sum([PairCounts.of(labels_of(blobs(), b), 3) for b in (4, 8)])
    with pytest.raises(LabelError, match="Put all labels on one grid"):
        count_pairs([labels_of(blobs(), b) for b in (4, 8)], 3)
    with pytest.raises(LabelError, match="label value 3"):
        PairCounts.of(labels_of(blobs()), 2)
    with pytest.raises(LabelError, match="at least one image"):
        PairCounts.sum([])
    with pytest.raises(LabelError, match="one image or more"):
        count_pairs([], 3)


#: Scattered blocks: classes whose pairs say next to nothing.
FEW = np.zeros((7, 4), np.uint8)
FEW[[0, 1, 2, 3, 5], [0, 0, 3, 2, 2]] = 1, 4, 4, 1, 4


@given(GRIDS, st.sampled_from([1, 2, 3, 8, 16]))
@example(FEW, 8)
@settings(max_examples=80, deadline=None)
def test_estimates_are_shares_and_coarser_grids_are_never_better(
    values: np.ndarray, block: int
) -> None:
    rows = estimate_ceilings([labels_of(np.tile(values, (3, 3)), block)], K)
    painted = np.bincount(values.ravel(), minlength=K + 1)[1:] > 0
    for row in rows:
        assert np.array_equal(~np.isnan(row.iou), painted)
        assert np.all((row.iou[painted] >= 0) & (row.iou[painted] <= 1))
        assert row.miou == pytest.approx(row.iou[painted].mean())
        assert 0 <= row.error <= max(row.miou, 1 - row.miou)
        if row.block == 1:
            assert row.miou == 1
            assert row.error == 0
    for finer, coarser in itertools.pairwise(rows):
        assert finer.block < coarser.block
        assert np.all(coarser.iou[painted] <= finer.iou[painted])


@given(st.permutations(range(3)), st.sampled_from([1.0, 0.3]))
@settings(max_examples=12, deadline=None)
def test_the_order_of_classes_does_not_matter(order: list[int], share: float) -> None:
    values = thinned(blobs(), share)
    renamed = np.array([0, *(np.array(order) + 1)], np.uint8)[values]
    before, after = (estimate_ceilings([labels_of(v)], 3) for v in (values, renamed))
    assert len(before) == 5
    for a, b in zip(before, after, strict=True):
        assert b.iou[order] == pytest.approx(a.iou, rel=1e-9)
        assert b.error == pytest.approx(a.error, rel=1e-9)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose, np.rot90])
def test_turning_images_does_not_matter(turn) -> None:
    values = thinned(blobs(3), 0.4)
    before, after = (estimate_ceilings([labels_of(v)], 3) for v in (values, turn(values)))
    for a, b in zip(before, after, strict=True):
        assert b.iou == pytest.approx(a.iou, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_more_paint_narrows_the_band(seed: int) -> None:
    values = blobs(seed, sigma=1.5)
    paints = [thinned(values, share, seed) for share in (0.05, 0.3, 1)]
    for rows in zip(*(estimate_ceilings([labels_of(p)], 3) for p in paints), strict=True):
        assert rows[0].error > rows[1].error > rows[2].error


def test_part_of_the_paint_tells_much_the_same() -> None:
    # The error is that of eight in ten: over many maps, not every one lies inside.
    inside = []
    for seed in range(12):
        values = blobs(seed, sigma=2)
        full, part = (estimate_ceilings([labels_of(thinned(values, s))], 3) for s in (1, 0.1))
        inside += [abs(b.miou - a.miou) <= b.error for a, b in zip(full, part, strict=True)]
    assert np.mean(inside) >= 0.7


def test_nothing_little_and_one_class() -> None:
    assert estimate_ceilings([], 3) == []
    assert estimate_ceilings([labels_of(np.zeros((40, 40), np.uint8))], 3) == []
    assert estimate_ceilings([labels_of(thinned(blobs(), 0.002))], 3) == []
    rows = estimate_ceilings([labels_of(np.ones((40, 40), np.uint8))], 3)
    assert [row.block for row in rows] == [2, 4, 8, 16, 32]
    for row in rows:
        assert row.miou > 0.95
        assert np.isnan(row.iou[1:]).all()


def test_class_lists_may_be_long() -> None:
    values = blobs()
    long, short = (estimate_ceilings([labels_of(values)], k) for k in (1000, 3))
    for a, b in zip(long, short, strict=True):
        assert a.iou[:3] == pytest.approx(b.iou, rel=1e-12)


def test_a_panel_can_ask_for_it_often() -> None:
    # Against counting by one FFT a class, the other way to get pairs at all distances.
    values = np.kron(np.random.default_rng(0).integers(1, 22, (64, 64)), np.ones((8, 8), int))
    labels = labels_of(values.astype(np.uint8))
    ours = min(_seconds(lambda: estimate_ceilings([labels], 21)) for _ in range(3))
    fft = _seconds(lambda: [np.abs(np.fft.rfft2(values == k, (1024, 1024))) for k in range(21)])
    assert ours < fft
    kept = [PairCounts.of(labels, 21)] * 88
    summed = min(_seconds(lambda: estimate_from_counts(PairCounts.sum(kept))) for _ in range(3))
    assert summed < ours * 2


def _seconds(work) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
