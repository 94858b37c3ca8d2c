"""Constants of the estimate, written by benchmarks/advice_accuracy."""

from __future__ import annotations

import numpy as np

from napari_blockseg.core.advice.curves import CurvePrior
from napari_blockseg.core.advice.model import LossModel

CURVE_PRIOR = CurvePrior(
    mean=np.array([-1.879, 0.9347, -0.1467]),
    spread=np.array(
        [[1.876, 0.1148, -0.09862], [0.1148, 0.3371, -0.09099], [-0.09862, -0.09099, 0.04974]]
    ),
    rest=0.009633,
    class_map=np.array(
        [
            [0.2703, 0.3306, -0.1653],
            [-0.5609, -0.147, 0.005923],
            [0.6078, -0.04599, -0.06057],
            [-1.522, 1.118, -0.2084],
        ]
    ),
    class_spread=np.array(
        [[0.6845, 0.07623, -0.1241], [0.07623, 0.5685, -0.2603], [-0.1241, -0.2603, 0.1609]]
    ),
    class_rest=0.07716,
)

LOSS_MODEL = LossModel(
    weights={
        0.25: np.array([-2.389, 3.472, -4.699, -1.252, 1.931, -0.01935, 0.1397]),
        0.5: np.array([-0.9526, 0.7667, -2.502, -1.21, 1.783, -0.1793, 0.1413]),
        1.0: np.array([-0.2101, -0.00585, -0.9209, -0.7415, 1.048, -0.1339, 0.1]),
        2.0: np.array([0.5032, -0.9148, 1.472, 0.009428, -0.3318, -0.08383, 0.0219]),
        4.0: np.array([1.167, -1.479, 2.939, 0.6724, -0.5998, -0.219, 0.02307]),
    },
    error={
        0.25: (0.5233, 1.75),
        0.5: (0.2996, 0.75),
        1.0: (0.22, 0.75),
        2.0: (0.1145, 1.0),
        4.0: (0.1014, 1.0),
    },
)
