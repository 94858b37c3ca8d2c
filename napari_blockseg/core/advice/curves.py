"""The curve behind the pairs: how fast labels change with distance, from few pairs or many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.advice.counts import DISTANCES, PairCounts

FloatArray = NDArray[np.float64]

# Pairs share blocks and lie together, so they tell less than as many independent ones.
_CLUMPING = 1.5
_STEPS = 20
_SMALL_STEP = 1e-6
_LOG_DISTANCE = np.log(DISTANCES)
# Curves are taken as parabolas over log distance, and what is left over at each distance.
SHAPES = np.stack([np.ones_like(_LOG_DISTANCE), _LOG_DISTANCE, _LOG_DISTANCE**2])
AT_ONE, AT_TWO, AT_FOUR = (DISTANCES.index(distance) for distance in (1.0, 2.0, 4.0))


@dataclass(frozen=True, eq=False)
class CurvePrior:
    """What curves of label maps usually look like; see :func:`fit_curves`.

    Attributes
    ----------
    mean : (3,) float array
        Of all classes together: weights of :data:`SHAPES`.
    spread : (3, 3) float array
        Covariance of those weights.
    rest : float
        Variance of what the parabola leaves over, the same at every distance.
    class_map : (4, 3) float array
        A class's weights from 1, the logit of its share, and the level and first rise of all
        classes together.
    class_spread, class_rest
        The same as `spread` and `rest`, around that.
    """

    mean: FloatArray
    spread: FloatArray
    rest: float
    class_map: FloatArray
    class_spread: FloatArray
    class_rest: float


@dataclass(frozen=True, eq=False)
class LagCurves:
    """Logit of the chance that a block some way from one of this class has another class.

    Attributes
    ----------
    level : (K, n) float array
        At each of :data:`DISTANCES`.
    spread : (K, n, n) float array
        Covariance of its error from having seen part of the pairs only.
    share : (K,) float array
        Logit of the class's share of the labelled blocks.
    """

    level: FloatArray
    spread: FloatArray
    share: FloatArray


def fit_curves(counts: PairCounts, prior: CurvePrior) -> LagCurves:
    """Fit a curve to the pair counts of each class.

    Parameters
    ----------
    counts : PairCounts
        With at least one labelled block.
    prior : CurvePrior
        What is expected before any pair is seen.

    Notes
    -----
    A pair with a block of class k is unlike with odds ``2 d / (1 - d)``, where d is the chance
    asked for. The most probable curve under binomial counts and a normal prior is found by
    Newton's method: first for all classes together, then for each class around what those and
    its share let expect. Pairs are drawn from a finite grid: the more of it is painted, the
    less is left to chance, and with everything painted the counts are all there is to know.
    """
    seen = _CLUMPING * np.clip(1 - counts.coverage**2, 1e-6, 1.0)
    together, _ = _most_probable(
        counts.alike.sum(0)[None] / seen,
        # Every unlike pair was counted once for each of its two classes.
        counts.unlike.sum(0)[None] / 2 / seen,
        0.0,
        (prior.mean @ SHAPES)[None],
        _covariance(prior.spread, prior.rest),
    )
    share = share_logit(counts.owned)
    known = class_knowns(share, together[0])
    level, spread = _most_probable(
        counts.alike / seen,
        counts.unlike / seen,
        np.log(2.0),
        known @ prior.class_map @ SHAPES,
        _covariance(prior.class_spread, prior.class_rest),
    )
    return LagCurves(level, spread, share)


def share_logit(owned: NDArray[np.integer]) -> FloatArray:
    """Return the logit of each class's share, (K,), finite for absent and lone classes."""
    share = (owned + 0.5) / (owned.sum() + 1.0)
    logit: FloatArray = np.log(share / (1 - share))
    return logit


def class_knowns(share: FloatArray, together: FloatArray) -> FloatArray:
    """Return what a class's curve is expected from, (K, 4): see :class:`CurvePrior`."""
    rise = together[AT_TWO] - together[AT_ONE]
    ones = np.ones_like(share)
    return np.stack([ones, share, together[AT_ONE] * ones, rise * ones], axis=1)


def _covariance(spread: FloatArray, rest: float) -> FloatArray:
    covariance: FloatArray = SHAPES.T @ spread @ SHAPES + rest * np.eye(len(DISTANCES))
    return covariance


def _most_probable(
    alike: FloatArray,
    unlike: FloatArray,
    offset: float,
    expected: FloatArray,
    covariance: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    pairs = alike + unlike
    stiffness = np.linalg.inv(covariance)
    level = expected.copy()
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-(level + offset)))
        pull = unlike - pairs * chance - (level - expected) @ stiffness
        curvature = (pairs * chance * (1 - chance))[:, :, None] * np.eye(len(stiffness))
        curvature += stiffness
        # A full Newton step can overshoot where the chance is close to 0 or 1.
        step = np.clip(np.linalg.solve(curvature, pull[..., None])[..., 0], -2.0, 2.0)
        level += step
        if np.abs(step).max() < _SMALL_STEP:
            break
    return level, np.linalg.inv(curvature).astype(np.float64)
