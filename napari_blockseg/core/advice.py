"""Which block size to paint at: from dense masks, or estimated from block labels alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.ceilings import Ceiling
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.metrics import Confusion

IntArray = NDArray[np.integer[Any]]

# A class is resolvable at a block size when it is the majority of this many blocks.
MIN_OWNED_BLOCKS = 50
# The coarsest block whose ceiling, over resolvable classes, is at least this. A rule of thumb
# that agrees with trained networks on road scenes at 16 pixels; see docs/decisions.
MIN_CEILING = 0.65

# 1 - IoU at b/2, b, 2b and 4b, as multiples of what is seen between b and 2b (for 4b: b and 4b).
# Fitted by eye to three data sets with dense masks (road scenes, nuclei, membranes; b = 2 to 16);
# the mean absolute error there was about 0.03.
_LOSS_FACTORS = {0.5: 0.45, 1.0: 0.72, 2.0: 1.13, 4.0: 1.03}
ESTIMATE_ERROR = 0.05
_MIN_GROUPS = 30


@dataclass(frozen=True, eq=False)
class EstimatedCeiling:
    """What a block size would describe, estimated from block labels; NaN where unknown.

    ``owned_blocks`` is how many blocks each class would be the majority of if the planes were
    painted completely.
    """

    block: int
    miou: float | None
    iou: NDArray[np.float64]
    owned_blocks: NDArray[np.float64]
    error: float


@dataclass(frozen=True)
class Advice:
    """A block size with its reason.

    Attributes
    ----------
    recommended_block : int or None
        In pixels; None when no block size fits or there is not enough paint.
    reason : str
        One or two sentences for someone who has not read the paper.
    unresolved : dict
        Class name to the block size at which it could be resolved (None: at none that was
        looked at), for classes that the recommended block cannot resolve.
    """

    recommended_block: int | None
    reason: str
    unresolved: dict[str, int | None] = field(default_factory=dict)


def estimate_ceilings(labels: Iterable[BlockLabels], n_classes: int) -> list[EstimatedCeiling]:
    """Estimate the ceilings of b/2, b, 2b and 4b from block labels at b.

    Parameters
    ----------
    labels : iterable of BlockLabels
        All at one block size; may have holes.
    n_classes : int
        K.

    Returns
    -------
    list of EstimatedCeiling
        Finest first; empty when too few groups of 2 x 2 blocks are fully labelled.

    Notes
    -----
    For regions with smooth borders the share of wrong pixels grows with block size times border
    length. The loss between the grids b and 2b, seen within the labels, therefore predicts those
    against the unknown dense mask up to constants. Only groups of blocks that are labelled
    completely are looked at; strokes that avoid borders make the estimate too good.
    """
    planes = [plane for item in labels for plane in _planes(item)]
    if not planes:
        return []
    block = planes[0].grid.block
    double, quadruple = (_between(planes, n_classes, factor) for factor in (2, 4))
    if double[1] < _MIN_GROUPS:
        return []
    owned = np.stack([p.counts(n_classes)[1:] for p in planes]).sum(axis=0, dtype=np.float64)
    # What the classes would own with everything painted: half-painted images need no finer grid.
    owned = owned * (sum(p.values.size for p in planes) / sum(p.n_labelled for p in planes))
    return [
        _estimate(block, factor, double[0], quadruple[0], owned)
        for factor in _LOSS_FACTORS
        if (block * factor).is_integer() and (factor < 4 or quadruple[1] >= _MIN_GROUPS)
    ]


def _estimate(
    block: int, factor: float, double: Confusion, quadruple: Confusion, owned: NDArray[Any]
) -> EstimatedCeiling:
    seen = quadruple if factor == 4 else double
    iou = np.clip(1 - _LOSS_FACTORS[factor] * (1 - seen.iou()), 0.0, 1.0)
    if block * factor == 1:
        iou = np.where(np.isnan(iou), np.nan, 1.0)
    known = iou[~np.isnan(iou)]
    return EstimatedCeiling(
        block=int(block * factor),
        miou=float(known.mean()) if known.size else None,
        iou=iou,
        owned_blocks=owned / factor**2,
        error=ESTIMATE_ERROR,
    )


def _planes(labels: BlockLabels) -> list[BlockLabels]:
    if not labels.grid.leading_shape:
        return [labels]
    # Planes without paint cost time and say nothing.
    indices = np.argwhere(labels.values.any(axis=(-2, -1)))
    return [labels.plane(tuple(int(i) for i in index)) for index in indices]


def _between(planes: Sequence[BlockLabels], n_classes: int, factor: int) -> tuple[Confusion, int]:
    confusion = Confusion(n_classes)
    groups = 0
    for plane in planes:
        rows, cols = (n // factor * factor for n in plane.values.shape)
        if not rows or not cols:
            continue
        values = plane.values[:rows, :cols]
        coarse = BlockLabels.from_mask(values, factor, n_classes)
        full = (values > 0).reshape(rows // factor, factor, cols // factor, factor).all((1, 3))
        groups += int(full.sum())
        inside = full.repeat(factor, 0).repeat(factor, 1)
        confusion.add(np.where(inside, values, 0), coarse.to_mask())
    return confusion, groups


def recommend(ceilings: Sequence[Ceiling | EstimatedCeiling], names: Sequence[str]) -> Advice:
    """Return the coarsest block size that still describes the resolvable classes.

    Parameters
    ----------
    ceilings : sequence of Ceiling or EstimatedCeiling
        One a block size.
    names : sequence of str
        Class names, in order of value.

    Returns
    -------
    Advice
        With None and the reason when nothing fits.

    Notes
    -----
    Classes that own too few blocks drop out of the mean and are named. Of the classes that the
    finest grid resolves, at most a quarter (of three: one) may be lost so.
    """
    rows = sorted(ceilings, key=lambda row: row.block)
    if not rows:
        return Advice(None, "Not enough paint yet: label a few patches of touching blocks.")
    there = rows[0].owned_blocks >= MIN_OWNED_BLOCKS
    for row in reversed(rows):
        resolvable = row.owned_blocks >= MIN_OWNED_BLOCKS
        known = resolvable & ~np.isnan(row.iou)
        if not known.any() or int((there & ~resolvable).sum()) > _may_be_lost(int(there.sum())):
            continue
        score = float(row.iou[known].mean())
        if score >= MIN_CEILING:
            return _advice(row, rows, score, names)
    finest = rows[0]
    if not (finest.owned_blocks >= MIN_OWNED_BLOCKS).any():
        return Advice(
            None,
            f"Not enough paint yet: no class has {MIN_OWNED_BLOCKS} blocks of {finest.block} "
            "pixels.",
        )
    return Advice(
        None,
        f"Even blocks of {finest.block} pixels are too coarse: they describe the classes with a "
        f"mean IoU below {MIN_CEILING:g}. Paint finer blocks, or pixels (block size 1).",
    )


def _may_be_lost(n_classes: int) -> int:
    # Without this a grid would look better with every class that it loses.
    return max(n_classes // 4, 1 if n_classes >= 3 else 0)


def _advice(
    row: Ceiling | EstimatedCeiling,
    rows: Sequence[Ceiling | EstimatedCeiling],
    score: float,
    names: Sequence[str],
) -> Advice:
    lost = [
        i
        for i in range(len(names))
        if row.owned_blocks[i] < MIN_OWNED_BLOCKS and any(r.owned_blocks[i] > 0 for r in rows)
    ]
    unresolved = {names[i]: _resolved_at(i, rows) for i in lost}
    estimated = isinstance(row, EstimatedCeiling)
    reason = (
        f"Blocks of {row.block} pixels are the coarsest that describe the classes well "
        f"({'estimated ' if estimated else ''}mean IoU {score:.2f}"
        f"{f' ± {row.error:.2f}' if isinstance(row, EstimatedCeiling) else ''} of the best "
        "possible)."
    )
    if unresolved:
        reason += f" Too thin or too rare for them: {', '.join(unresolved)}."
    return Advice(row.block, reason, unresolved)


def _resolved_at(index: int, rows: Sequence[Ceiling | EstimatedCeiling]) -> int | None:
    fine = [row.block for row in rows if row.owned_blocks[index] >= MIN_OWNED_BLOCKS]
    return max(fine) if fine else None
