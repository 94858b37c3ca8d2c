"""From curves over distance to the IoU that a block size can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_blockseg.core.advice.curves import AT_ONE, AT_TWO, FloatArray, LagCurves

N_FEATURES = 7
_SMOOTH_RISE = np.log(2.0)
_FAR = 8.0
_LEAST = 1e-4
# Of pixels that a class gains when its counterpart loses some: see `iou_from_loss`.
_EXCHANGE = 2.0


@dataclass(frozen=True, eq=False)
class LossModel:
    """Fitted constants: ``logit(1 - IoU) = level + weights[factor] @ features``.

    Attributes
    ----------
    weights : mapping of float to (7,) float array
        By block size as a multiple of the painted one.
    error : mapping of float to (2,) float tuple
        How far off the mean IoU is: a share of ``1 - mIoU``, and a multiple of the standard
        error from having seen part of the pairs only.
    """

    weights: Mapping[float, FloatArray]
    error: Mapping[float, tuple[float, float]]


def level_and_features(level: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what the loss is predicted from: (...) the level, and (..., 7) features.

    Parameters
    ----------
    level : (..., n) float array
        Of :class:`LagCurves`.
    share : (...) float array
        Logit of the share of the class.

    Notes
    -----
    A class that covers more than half is looked at from its other side: what is not this class.
    The level is the logit of the chance d that the next block is on the other side. For smooth
    borders both d and the loss grow with border length times block size, so the loss follows
    the level with slope one where both are small, whatever the features say. Those are d itself
    (thin structures), the rise of the curve to two blocks against that of smooth borders
    (below 0 for rough borders and for structures thinner than a block), the share, and products.
    """
    near = _from_smaller_side(level[..., AT_ONE], share)
    # Nothing may run away where a curve or share lies outside all that was fitted.
    rise = np.clip(_from_smaller_side(level[..., AT_TWO], share) - near - _SMOOTH_RISE, -2.0, 2.0)
    smaller = np.clip(-np.abs(share), -_FAR, 0.0)
    d = _logistic(near)
    products = (d, d**2, rise, rise * d, smaller * d, smaller * rise)
    return near, np.stack([np.ones_like(near), *products], axis=-1)


def iou_from_loss(logit_loss: FloatArray, share: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the IoU for a predicted logit of the loss, and its slope over that logit.

    Notes
    -----
    The loss is that of the smaller side. When it is l of a side with share q, about
    ``e = q l (1 + 2 l (1 - l))`` of all pixels are wrong: q l where little is lost (as much is
    won elsewhere) and where all is (nothing is). A class with share p above one half then has
    an IoU of ``p / (p + e)``.
    """
    p = _logistic(share)
    loss = _logistic(logit_loss)
    slope = loss * (1 - loss)
    wrong = (1 - p) * loss * (1 + _EXCHANGE * slope)
    wrong_slope = (1 - p) * slope * (1 + _EXCHANGE * (2 * loss - 3 * loss**2))
    large = share > 0
    iou = np.where(large, p / (p + wrong), 1 - loss)
    return iou, np.where(large, -p * wrong_slope / (p + wrong) ** 2, -slope)


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
    return iou_from_loss(near + features @ weights, share)[0]


def _from_smaller_side(level: FloatArray, share: FloatArray) -> FloatArray:
    # As many pairs lead out of the class as into it: p d = (1 - p) d'.
    odds = np.where(share > 0, np.exp(np.clip(share, -_FAR, _FAR)), 1.0)
    d = np.clip(_logistic(level) * odds, _LEAST, 1 - _LEAST)
    logit: FloatArray = np.log(d / (1 - d))
    return logit


def _logistic(values: FloatArray) -> FloatArray:
    result: FloatArray = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return result
