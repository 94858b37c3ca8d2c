"""Which block size to paint at, from ceilings, measured or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_blockseg.core.advice.estimate import EstimatedCeiling
from napari_blockseg.core.ceilings import Ceiling

# A class is resolvable at a block size when it is the majority of this many blocks.
MIN_OWNED_BLOCKS = 50
# The coarsest block whose ceiling, over resolvable classes, is at least this. A rule of thumb
# that agrees with trained networks on road scenes at 16 pixels; see docs/decisions.
MIN_CEILING = 0.65


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
