"""What other block sizes would describe, estimated from block labels alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.metrics import Confusion

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
