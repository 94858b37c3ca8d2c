"""How good a network becomes that is trained on block labels, predicted from their ceiling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# ratio = 1 - LOSS * (1 - ceiling) ** POWER. Fitted to networks trained on road scenes, nuclei and
# membranes (benchmarks/advice_trained.py), LOSS is 1.02, and 0.5 to 1.4 with one of them left out.
# The largest is taken: a grid too coarse costs labels, one too fine only time. POWER was set
# beforehand, there are too few networks to tell it.
LOSS = 1.40
POWER = 3.0
# In about eight of ten trainings on a data set that was left out, the ratio lay this close to the
# prediction; two seeds differed by as much.
RATIO_ERROR = 0.043


@dataclass(frozen=True)
class Prediction:
    """What a network trained on blocks of one size should reach.

    Attributes
    ----------
    block : int
        Block size, in pixels.
    trained_ratio : float
        Mean IoU of the network over that of one trained on dense masks, over the classes that
        the block resolves.
    low, high : float
        About eight of ten lie between these.
    """

    block: int
    trained_ratio: float
    low: float
    high: float


def trained_ratio(ceiling: float, loss: float = LOSS, power: float = POWER) -> float:
    """Return the mean IoU of a network trained on blocks over that of one trained on dense masks.

    Parameters
    ----------
    ceiling : float
        Mean IoU of the block labels themselves against dense masks, 0 to 1, over the classes
        that the block resolves.
    loss, power : float
        Fitted constants.

    Returns
    -------
    float
        0 to 1; 1 for a ceiling of 1, and never falling as the ceiling rises.

    Notes
    -----
    ``1 - loss * (1 - ceiling) ** power``. A ceiling is no limit for a network: it sees where the
    border is in the images, and the errors of labels along it cancel. With a power above one,
    small losses of the labels cost next to nothing.
    """
    lost = min(max(1.0 - ceiling, 0.0), 1.0)
    return float(np.clip(1.0 - loss * lost**power, 0.0, 1.0))


def predict_trained(block: int, ceiling: float, ceiling_error: float = 0.0) -> Prediction:
    """Return the prediction with its error.

    Parameters
    ----------
    block : int
        Block size, in pixels.
    ceiling : float
        See :func:`trained_ratio`.
    ceiling_error : float
        Of an estimated ceiling; 0 where it was measured.
    """
    ratio = trained_ratio(ceiling)
    down = np.hypot(ratio - trained_ratio(ceiling - ceiling_error), RATIO_ERROR)
    up = np.hypot(trained_ratio(ceiling + ceiling_error) - ratio, RATIO_ERROR)
    return Prediction(block, ratio, max(float(ratio - down), 0.0), min(float(ratio + up), 1.0))
