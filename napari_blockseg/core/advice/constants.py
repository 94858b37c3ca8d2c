"""Constants of the estimate, written by benchmarks/advice_accuracy."""

from __future__ import annotations

import numpy as np

from napari_blockseg.core.advice.curves import CurvePrior
from napari_blockseg.core.advice.model import LossModel

CURVE_PRIOR = CurvePrior(
    mean=np.array([-1.889, 0.9377, -0.1477]),
    spread=np.array(
        [[1.914, 0.1069, -0.09436], [0.1069, 0.3348, -0.09062], [-0.09436, -0.09062, 0.04983]]
    ),
    rest=0.009806,
    class_map=np.array(
        [
            [0.2667, 0.3321, -0.1688],
            [-0.5683, -0.1542, 0.01142],
            [0.597, -0.05768, -0.05288],
            [-1.553, 1.087, -0.1811],
        ]
    ),
    class_spread=np.array(
        [[0.697, 0.08682, -0.1325], [0.08682, 0.5972, -0.275], [-0.1325, -0.275, 0.1692]]
    ),
    class_rest=0.07709,
)

LOSS_MODEL = LossModel(
    weights={
        0.25: np.array([-2.392, 3.467, -4.638, -1.243, 1.925, -0.001008, 0.1252]),
        0.5: np.array([-0.9661, 0.8282, -2.555, -1.165, 1.719, -0.177, 0.1396]),
        1.0: np.array([-0.2175, 0.03369, -0.9496, -0.7192, 1.014, -0.1276, 0.09566]),
        2.0: np.array([0.5051, -0.9186, 1.491, -0.00461, -0.2821, -0.07338, 0.01906]),
        4.0: np.array([1.174, -1.524, 3.036, 0.6578, -0.508, -0.2025, 0.02869]),
    },
    error={
        0.25: (0.4761, 2.0),
        0.5: (0.303, 0.75),
        1.0: (0.2232, 0.75),
        2.0: (0.1135, 1.0),
        4.0: (0.102, 1.0),
    },
)
