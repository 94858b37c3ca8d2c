"""From curves over distance to the IoU that a block size can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_blockseg.core.advice.curves import AT_ONE, AT_TWO, FloatArray, LagCurves

N_FEATURES = 11
_SMOOTH_RISE = np.log(2.0)
_FAR = 8.0


@dataclass(frozen=True, eq=False)
class LossModel:
    """Fitted constants: ``logit(1 - IoU) = level + weights[factor] @ features``.

    Attributes
    ----------
    weights : mapping of float to (11,) float array
        By block size as a multiple of the painted one.
    error : mapping of float to (2,) float tuple
        How far off the mean IoU is: a share of ``1 - mIoU``, and a multiple of the standard
        error from having seen part of the pairs only.
    """

    weights: Mapping[float, FloatArray]
    error: Mapping[float, tuple[float, float]]


def level_and_features(level: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the loss is predicted from: (...) the level, and (..., 11) features.

    Parameters
    ----------
    level : (..., n) float array
        Of :class:`LagCurves`.
    share : (...) float array
        Logit of the share of the class.

    Notes
    -----
    The level is the logit of the chance d that the next block has another class. For smooth
    borders both d and the loss grow with border length times block size, so the loss follows
    the level with slope one when both are small, whatever the features say. Those are d itself
    (thin structures), the rise of the curve to two blocks against that of smooth borders
    (below 0 for rough borders and for structures thinner than a block), the share, and products.
    """
    # Nothing may run away where a curve or share lies outside all that was fitted.
    near = np.clip(level[..., AT_ONE], -_FAR, _FAR)
    rise = np.clip(level[..., AT_TWO] - level[..., AT_ONE] - _SMOOTH_RISE, -2.0, 2.0)
    share = np.clip(share, -_FAR, _FAR)
    d = 1 / (1 + np.exp(-near))
    products = (d, d**2, rise, rise * d, rise**2, share, share * d, share**2, share**2 * d)
    return near, np.stack([np.ones_like(near), *products, share * rise], axis=-1)


def predict_iou(curves: LagCurves, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the IoU of each class, (K,), and its standard error from unseen pairs, (K,)."""
    iou = _iou(curves.level, curves.share, weights)
    step = 1e-3
    slopes = []
    for at in (AT_ONE, AT_TWO):
        moved = curves.level.copy()
        moved[:, at] += step
        slopes.append((_iou(moved, curves.share, weights) - iou) / step)
    slope = np.stack(slopes, axis=-1)
    spread = curves.spread[:, (AT_ONE, AT_TWO)][:, :, (AT_ONE, AT_TWO)]
    return iou, np.sqrt(np.einsum("ki,kij,kj->k", slope, spread, slope))


def _iou(level: FloatArray, share: FloatArray, weights: FloatArray) -> FloatArray:
    near, features = level_and_features(level, share)
    iou: FloatArray = 1 / (1 + np.exp(np.clip(near + features @ weights, -30, 30)))
    return iou
