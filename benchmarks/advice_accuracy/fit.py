"""Fit the constants of the estimate to cases: usual curves first, then the loss, then the band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks.advice_accuracy.cases import Case
from napari_blockseg.core.advice.curves import (
    SHAPES,
    CurvePrior,
    class_knowns,
    fit_curves,
    share_logit,
)
from napari_blockseg.core.advice.estimate import BAND_COVERS, FACTORS
from napari_blockseg.core.advice.model import (
    N_FEATURES,
    LossModel,
    iou_from_loss,
    level_and_features,
    predict_iou,
)

FloatArray = NDArray[np.float64]
_RIDGE = 0.05
_FLOOR = 0.4
_CLASS_WEIGHT = 0.3
_STROKE_WEIGHT = 0.4
_SMALLEST_REST = 0.005


@dataclass(frozen=True, eq=False)
class Rows:
    """One row a class and case: level, share, features, true IoU, case; and case weights."""

    level: FloatArray
    share: FloatArray
    x: FloatArray
    y: FloatArray
    case: NDArray[np.int64]
    weight: FloatArray


def fit_prior(cases: Sequence[Case]) -> CurvePrior:
    """Fit what curves usually look like, from the cases in which everything is painted."""
    full = [case for case in cases if case.policy == "all"]
    together = np.stack([_raw(c.counts.alike.sum(0), c.counts.unlike.sum(0) / 2) for c in full])
    curves, knowns, weights = [], [], []
    for case, level in zip(full, together, strict=True):
        known = class_knowns(share_logit(case.counts.owned), level)
        enough = (case.counts.alike + case.counts.unlike)[:, 0] >= 30
        curves.append(_raw(case.counts.alike, case.counts.unlike / 2)[enough])
        knowns.append(known[enough])
        weights.append(np.full(int(enough.sum()), 1 / max(int(enough.sum()), 1)))
    curve, known = np.concatenate(curves), np.concatenate(knowns)
    root = np.sqrt(np.concatenate(weights))[:, None]
    class_map = np.linalg.lstsq(known * root, _shapes_of(curve) * root, rcond=None)[0]
    mean = _shapes_of(together).mean(0)
    return CurvePrior(
        mean,
        *_spread(together - mean @ SHAPES),
        class_map,
        *_spread(curve - known @ class_map @ SHAPES),
    )


def fit_model(cases: Sequence[Case], prior: CurvePrior) -> LossModel:
    """Fit the loss at each factor; the band is for :func:`fit_band`, on cases left out."""
    rows = class_rows(cases, prior)
    weights = {f: _fit_loss(rows, i) for i, f in enumerate(FACTORS)}
    return LossModel(weights, dict.fromkeys(FACTORS, (0.0, 0.0)))


def class_rows(cases: Sequence[Case], prior: CurvePrior) -> Rows:
    """Return the rows of all classes that own a labelled block."""
    levels, shares, xs, ys, index = [], [], [], [], []
    for i, case in enumerate(cases):
        owned = case.counts.owned > 0
        curves = fit_curves(case.counts, prior)
        level, x = level_and_features(curves.level, curves.share)
        levels.append(level[owned])
        shares.append(curves.share[owned])
        xs.append(x[owned])
        ys.append(case.truth[:, owned].T)
        index.append(np.full(int(owned.sum()), i))
    joined = [np.concatenate(parts) for parts in (levels, shares, xs, ys, index)]
    return Rows(*joined, case_weights(cases))


def case_weights(cases: Sequence[Case]) -> FloatArray:
    """Weigh kinds alike, and ways of painting alike within each; strokes less. Mean 1."""
    keys = [(case.kind, case.policy, case.coverage) for case in cases]
    many = {key: keys.count(key) for key in set(keys)}
    weight = np.array([(_STROKE_WEIGHT if k[1] == "strokes" else 1.0) / many[k] for k in keys])
    return weight / weight.mean()


def _fit_loss(rows: Rows, at: int) -> FloatArray:
    known = ~np.isnan(rows.y[:, at])
    x, y, case = rows.x[known], rows.y[known, at], rows.case[known]
    level, share = rows.level[known], rows.share[known]
    center, scale = x.mean(0), x.std(0)
    center[0], scale[0] = 0.0, 1.0
    z = (x - center) / scale
    cases, inverse, many = np.unique(case, return_inverse=True, return_counts=True)
    # An error of 0.01 matters more where 0.02 is lost than where half is.
    care = 1 / (_FLOOR + 1 - np.bincount(inverse, y) / many)
    weight = rows.weight[cases] * (care / np.sqrt((care**2).mean())) ** 2
    of_mean = np.sqrt(weight) / many
    of_class = _CLASS_WEIGHT * np.sqrt(weight[inverse] / many[inverse])
    ridge = _RIDGE * np.sqrt(rows.weight[cases].sum() / 300)

    def residual(w: FloatArray) -> FloatArray:
        error = iou_from_loss(level + z @ w, share)[0] - y
        return np.concatenate(
            [np.bincount(inverse, error) * of_mean, of_class * error, ridge * w[1:]]
        )

    def slope(w: FloatArray) -> FloatArray:
        rise = iou_from_loss(level + z @ w, share)[1][:, None] * z
        means = np.stack([np.bincount(inverse, column) for column in rise.T], axis=1)
        return np.concatenate(
            [means * of_mean[:, None], of_class[:, None] * rise, ridge * np.eye(N_FEATURES)[1:]]
        )

    found = least_squares(residual, np.zeros(N_FEATURES), jac=slope, max_nfev=40).x / scale
    # Back to features as they are; the center's share goes to the constant feature.
    found[0] -= (found * center)[1:].sum()
    return found


def fit_band(predicted: FloatArray, truth: FloatArray, unsure: FloatArray) -> tuple[float, float]:
    """Return the share and multiple of :class:`LossModel` that cover the stated part of truths.

    Of all pairs that cover as much, the one with the narrowest bands on average.
    """
    off, lost = np.abs(predicted - truth), 1 - predicted
    best = (np.inf, 0.0, 0.0)
    for multiple in np.linspace(0.0, 3.0, 13):
        left = np.sqrt(np.maximum(off**2 - (multiple * unsure) ** 2, 0)) / np.maximum(lost, 1e-3)
        share = float(np.quantile(left, BAND_COVERS))
        width = float(np.hypot(share * lost, multiple * unsure).mean())
        best = min(best, (width, share, float(multiple)))
    return best[1], best[2]


def means(cases: Sequence[Case], prior: CurvePrior, model: LossModel) -> FloatArray:
    """Return (cases, factors, 3): predicted and true mean IoU, and the mean standard error.

    Over the classes that own a labelled block; NaN where a factor has no truth.
    """
    found = np.full((len(cases), len(FACTORS), 3), np.nan)
    for i, case in enumerate(cases):
        owned = case.counts.owned > 0
        curves = fit_curves(case.counts, prior)
        best = np.ones(int(owned.sum()))
        for j, factor in enumerate(FACTORS):
            truth = case.truth[j, owned]
            if np.isnan(truth).all() or case.block * factor == 1:
                continue
            iou, unsure = predict_iou(curves, model.weights[factor])
            best = np.minimum(best, iou[owned])
            # A class that is painted but in no mask cannot be: blocks come from the masks.
            found[i, j] = best.mean(), truth.mean(), unsure[owned].mean()
    return found


def _raw(alike: FloatArray, unlike: FloatArray) -> FloatArray:
    return np.log((unlike + 0.5) / (alike + 0.5))


def _shapes_of(curves: FloatArray) -> FloatArray:
    return np.linalg.lstsq(SHAPES.T, curves.T, rcond=None)[0].T


def _spread(rest: FloatArray) -> tuple[FloatArray, float]:
    weights = _shapes_of(rest)
    left = rest - weights @ SHAPES
    return np.cov(weights.T), max(float(left.var()), _SMALLEST_REST)
