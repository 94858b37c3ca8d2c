"""What other block sizes would describe, estimated from block labels alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.advice.constants import CURVE_PRIOR, LOSS_MODEL
from napari_blockseg.core.advice.counts import PairCounts, count_pairs
from napari_blockseg.core.advice.curves import CurvePrior, fit_curves
from napari_blockseg.core.advice.model import LossModel, predict_iou
from napari_blockseg.core.labels import BlockLabels

# Share of the true mean IoUs that lie within `error` of the estimate, on data sets and drawn
# label maps that the constants were not fitted to.
BAND_COVERS = 0.8
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
_MIN_LABELLED = 30
_MIN_PAIRS = 30
_MIN_ERROR = 0.01
# A class whose IoU is below a third loses its blocks to others: thin things have few majorities.
_KEEPS_BLOCKS = 3.0


@dataclass(frozen=True, eq=False)
class EstimatedCeiling:
    """What a block size would describe, estimated from block labels; NaN where unknown.

    Attributes
    ----------
    block : int
        Block size, in pixels.
    miou : float or None
        Mean of `iou`: over the classes that own a labelled block. A class without any can not
        be estimated; if it is in the images it pulls the true mean over all classes down.
    iou : (K,) float array
        Of block-majority labels against the unknown dense masks; NaN for classes without a
        labelled block.
    owned_blocks : (K,) float array
        How many blocks each class would be the majority of if the planes were painted
        completely.
    error : float
        The true mean lies this close to `miou` in about eight of ten cases.
    """

    block: int
    miou: float | None
    iou: NDArray[np.float64]
    owned_blocks: NDArray[np.float64]
    error: float


def estimate_ceilings(labels: Iterable[BlockLabels], n_classes: int) -> list[EstimatedCeiling]:
    """Estimate the ceilings of b/4, b/2, b, 2b and 4b from block labels at b.

    Parameters
    ----------
    labels : iterable of BlockLabels
        All at one block size; may have holes.
    n_classes : int
        K.

    Returns
    -------
    list of EstimatedCeiling
        Finest first, whole block sizes only; empty when too few blocks are labelled.

    Raises
    ------
    LabelError
        If block sizes differ, or a value lies above `n_classes`.

    Notes
    -----
    See :func:`estimate_from_counts`.
    """
    items = list(labels)
    return estimate_from_counts(count_pairs(items, n_classes)) if items else []


def estimate_from_counts(
    counts: PairCounts, prior: CurvePrior = CURVE_PRIOR, model: LossModel = LOSS_MODEL
) -> list[EstimatedCeiling]:
    """Estimate the ceilings from pair counts, which can be kept for each image and summed.

    Parameters
    ----------
    counts : PairCounts
        Of all images together.
    prior, model
        Fitted constants.

    Returns
    -------
    list of EstimatedCeiling
        Finest first; empty when too few blocks are labelled.

    Notes
    -----
    For regions with smooth borders, both the chance that two blocks some way apart differ and
    the share of pixels that a grid gets wrong grow with border length times distance (Crofton);
    rough borders grow slower, and structures thinner than a block hardly at all. So level and
    rise of the class's curve over distance, and its share of the area, predict its IoU, by
    constants fitted to masks of many kinds. Coarser grids never come out better than finer ones.
    Strokes that avoid borders make the estimate too good.
    """
    near = counts.alike[:, :3].sum() + counts.unlike[:, :3].sum() / 2
    if counts.labelled < _MIN_LABELLED or near < _MIN_PAIRS:
        return []
    curves = fit_curves(counts, prior)
    owned = counts.owned > 0
    # What the classes would own with everything painted: half-painted images need no finer grid.
    whole = counts.owned / counts.coverage
    rows = []
    best = np.where(owned, 1.0, np.nan)
    for factor in FACTORS:
        block = counts.block * factor
        if not block.is_integer():
            continue
        iou, unsure = predict_iou(curves, model.weights[factor])
        if block == 1 or owned.sum() == 1:
            # Pixels are exact, and one class alone has no border.
            iou, unsure = np.ones_like(iou), np.zeros_like(unsure)
        best = np.minimum(best, iou)
        miou = float(best[owned].mean())
        error = 0.0 if block == 1 else _error(miou, float(unsure[owned].mean()), model, factor)
        rows.append(EstimatedCeiling(int(block), miou, best, whole / factor**2, error))
    return _with_owned(rows, counts)


def _error(miou: float, unsure: float, model: LossModel, factor: float) -> float:
    share, multiple = model.error[factor]
    error = float(np.hypot(share * (1 - miou), multiple * unsure))
    # A mean IoU lies between 0 and 1: nothing is further from the estimate than its other end.
    return min(max(error, _MIN_ERROR), max(miou, 1 - miou))


def _with_owned(rows: list[EstimatedCeiling], counts: PairCounts) -> list[EstimatedCeiling]:
    kept = {row.block: np.minimum(1.0, _KEEPS_BLOCKS * np.nan_to_num(row.iou)) for row in rows}
    here = np.maximum(kept[counts.block], np.finfo(float).tiny)
    # What covers more than half wins blocks where others lose them.
    small = 2 * counts.owned <= counts.labelled
    return [
        replace(row, owned_blocks=row.owned_blocks * np.where(small, kept[row.block] / here, 1.0))
        for row in rows
    ]
