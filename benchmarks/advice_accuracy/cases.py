"""Cases to judge the estimate by: block labels of masks, all or a part of them, with the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.advice.counts import PairCounts, count_pairs
from napari_blockseg.core.advice.estimate import FACTORS
from napari_blockseg.core.labels import BlockLabels, class_counts
from napari_blockseg.core.metrics import Confusion

Mask = NDArray[np.integer[Any]]
BLOCKS = (4, 8, 16, 32)
# How the blocks that are labelled were chosen, which share of them, how often.
PAINTS = (
    ("all", 1.0, 1),
    ("random", 0.3, 2),
    ("random", 0.1, 3),
    ("strokes", 0.3, 1),
    ("strokes", 0.1, 2),
)


@dataclass(frozen=True, eq=False)
class Case:
    """Pair counts of one way of painting, and the true IoU at each factor: (5, K), NaN unknown."""

    kind: str
    variant: str
    block: int
    policy: str
    coverage: float
    counts: PairCounts
    truth: NDArray[np.float64]


def cases_of(kind: str, variant: str, k: int, masks: Sequence[Mask]) -> Iterator[Case]:
    """Yield the cases of one set of masks, values 0..`k`."""
    true = {b: true_iou(masks, k, b) for b in (1, 2, 4, 8, 16, 32, 64, 128)}
    for block in BLOCKS:
        full = [BlockLabels.from_mask(mask, block, k) for mask in masks]
        unknown = np.full(k, np.nan)
        truth = np.stack([true.get(block * f, unknown) for f in FACTORS])
        for policy, coverage, repeats in PAINTS:
            for seed in range(repeats):
                rng = np.random.default_rng([block, int(100 * coverage), seed])
                painted = paint(full, policy, coverage, rng)
                counts = count_pairs(painted, k)
                yield Case(kind, variant, block, policy, coverage, counts, truth)


def true_iou(masks: Sequence[Mask], k: int, block: int) -> NDArray[np.float64]:
    """Return the IoU, (K,), of block-majority labels; NaN for classes that no mask has.

    As in the ceilings (void counts nowhere, ties to the lowest value), but on whole images.
    """
    confusion = Confusion(k)
    for mask in masks:
        best = class_counts(mask, block, k)[..., 1:].argmax(-1) + 1
        coarse = best.repeat(block, 0).repeat(block, 1)[: mask.shape[0], : mask.shape[1]]
        confusion.add(mask, coarse)
    return confusion.iou()


def paint(
    full: Sequence[BlockLabels], policy: str, coverage: float, rng: np.random.Generator
) -> list[BlockLabels]:
    """Return labels of which only `coverage` of the blocks are kept: at random or in strokes."""
    if policy == "all":
        return list(full)
    if policy == "strokes":
        return _strokes(full, coverage, rng)
    values = np.concatenate([labels.values.ravel() for labels in full])
    labelled = np.flatnonzero(values)
    values[rng.permutation(labelled)[round(coverage * labelled.size) :]] = 0
    ends = np.cumsum([labels.values.size for labels in full])
    parts = np.split(values, ends[:-1])
    return [
        a.with_values(part.reshape(a.values.shape)) for a, part in zip(full, parts, strict=True)
    ]


def _strokes(
    full: Sequence[BlockLabels], coverage: float, rng: np.random.Generator
) -> list[BlockLabels]:
    # Curved strokes with brushes of 1 to 3 blocks that cross borders and paint what is there.
    kept = [np.zeros_like(labels.values) for labels in full]
    wanted = coverage * sum(labels.n_labelled for labels in full)
    done = 0
    while done < wanted:
        i = int(rng.integers(len(full)))
        before = np.count_nonzero(kept[i])
        _stroke(full[i].values, kept[i], rng)
        done += np.count_nonzero(kept[i]) - before
    return [a.with_values(values) for a, values in zip(full, kept, strict=True)]


def _stroke(true: Mask, kept: Mask, rng: np.random.Generator) -> None:
    size = int(rng.integers(1, 4))
    length = int(rng.integers(3, max(4, max(true.shape) // 2)))
    turn = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, length))
    rows = rng.uniform(0, true.shape[0]) + np.cumsum(np.sin(turn)) - size // 2
    cols = rng.uniform(0, true.shape[1]) + np.cumsum(np.cos(turn)) - size // 2
    for row, col in zip(rows.astype(int), cols.astype(int), strict=True):
        where = tuple(slice(max(at, 0), max(at + size, 0)) for at in (row, col))
        kept[where] = true[where]
