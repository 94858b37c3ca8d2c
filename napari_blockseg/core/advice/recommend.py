"""Which block size to paint at, from ceilings, measured or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_blockseg.core.advice.estimate import EstimatedCeiling
from napari_blockseg.core.advice.trained import Prediction, predict_trained
from napari_blockseg.core.ceilings import Ceiling

# A class is resolvable at a block size when it is the majority of this many blocks.
MIN_OWNED_BLOCKS = 50
# The recommended block is the coarsest whose network should reach this share of the mean IoU of
# one that is trained on dense masks.
TRAINED_GOAL = 0.95


@dataclass(frozen=True)
class Advice:
    """A block size with its reason.

    Attributes
    ----------
    recommended_block : int or None
        In pixels; None when no block size fits or there is not enough paint.
    reason : str
        A few sentences for someone who has not read the paper.
    unresolved : dict
        Class name to the block size at which it could be resolved (None: at none that was
        looked at), for classes that the recommended block cannot resolve.
    predictions : tuple of Prediction
        What networks should reach, one a block size that resolves any class, finest first.
    """

    recommended_block: int | None
    reason: str
    unresolved: dict[str, int | None] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()


def recommend(ceilings: Sequence[Ceiling | EstimatedCeiling], names: Sequence[str]) -> Advice:
    """Return the coarsest block size that should train nearly as good a network as dense masks.

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
    The trained mean IoU is predicted from the ceiling (:func:`trained_ratio`) over the classes
    that own at least `MIN_OWNED_BLOCKS` blocks; the others are named. Of the classes that the
    finest grid resolves, at most a quarter (of three: one) may be lost so: else a grid would look
    better with every class that it loses.
    """
    rows = sorted(ceilings, key=lambda row: row.block)
    if not rows:
        return Advice(None, "Not enough paint yet: label a few patches of touching blocks.")
    scored = [(row, one) for row in rows if (one := _predict(row)) is not None]
    predictions = tuple(one for _, one in scored)
    if not scored:
        return Advice(
            None,
            f"Not enough paint yet: no class has {MIN_OWNED_BLOCKS} blocks of {rows[0].block} "
            "pixels.",
        )
    for row, one in reversed(scored):
        if one.trained_ratio >= TRAINED_GOAL and _keeps_classes(row, rows[0]):
            unresolved = _unresolved(row, rows, names)
            return Advice(row.block, _reason(row, one, unresolved), unresolved, predictions)
    return Advice(None, _too_coarse(scored[0][1]), {}, predictions)


def _resolvable(row: Ceiling | EstimatedCeiling) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return (row.owned_blocks >= MIN_OWNED_BLOCKS) & ~np.isnan(row.iou)


def _predict(row: Ceiling | EstimatedCeiling) -> Prediction | None:
    resolvable = _resolvable(row)
    if not resolvable.any():
        return None
    error = row.error if isinstance(row, EstimatedCeiling) else 0.0
    return predict_trained(row.block, float(row.iou[resolvable].mean()), error)


def _keeps_classes(row: Ceiling | EstimatedCeiling, finest: Ceiling | EstimatedCeiling) -> bool:
    there = finest.owned_blocks >= MIN_OWNED_BLOCKS
    lost = int((there & ~_resolvable(row)).sum())
    n_classes = int(there.sum())
    return lost <= max(n_classes // 4, 1 if n_classes >= 3 else 0)


def _reason(
    row: Ceiling | EstimatedCeiling, one: Prediction, unresolved: dict[str, int | None]
) -> str:
    estimated = isinstance(row, EstimatedCeiling)
    iou = f"{float(row.iou[_resolvable(row)].mean()):.2f}"
    if isinstance(row, EstimatedCeiling):
        iou = f"about {iou} ± {row.error:.2f}"
    reason = (
        f"Blocks of {row.block} pixels are the coarsest that should train nearly as good a "
        f"network as masks drawn pixel by pixel: {_percent(one.trained_ratio)} % of their mean "
        f"IoU (likely {_percent(one.low)} to {_percent(one.high)} %"
        f"{', estimated from what is painted' if estimated else ''}). The blocks themselves "
        f"follow the outlines with a mean IoU of {iou}."
    )
    if unresolved:
        listed = ", ".join(f"{name} ({_needs(block)})" for name, block in unresolved.items())
        reason += f" Too thin or too rare for them: {listed}."
    return reason


def _needs(block: int | None) -> str:
    return "at no block size looked at" if block is None else f"needs {block} pixels"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _too_coarse(finest: Prediction) -> str:
    return (
        f"Even blocks of {finest.block} pixels are too coarse: a network trained on them should "
        f"reach {_percent(finest.trained_ratio)} % of the mean IoU that masks drawn pixel by "
        f"pixel give, or lose too many classes; {_percent(TRAINED_GOAL)} % is the goal. Paint "
        "finer blocks, or pixels (block size 1)."
    )


def _unresolved(
    row: Ceiling | EstimatedCeiling,
    rows: Sequence[Ceiling | EstimatedCeiling],
    names: Sequence[str],
) -> dict[str, int | None]:
    lost = [
        i
        for i in range(len(names))
        # A class of the masks may own no block at any size: it has an IoU, of zero, all the same.
        if row.owned_blocks[i] < MIN_OWNED_BLOCKS
        and any(r.owned_blocks[i] > 0 or r.iou[i] >= 0 for r in rows)
    ]
    return {names[i]: _resolved_at(i, rows) for i in lost}


def _resolved_at(index: int, rows: Sequence[Ceiling | EstimatedCeiling]) -> int | None:
    fine = [row.block for row in rows if row.owned_blocks[index] >= MIN_OWNED_BLOCKS]
    return max(fine) if fine else None
