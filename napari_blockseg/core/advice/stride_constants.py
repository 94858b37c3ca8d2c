"""Constants behind ``--decoder-stride auto``; everything that was fitted for it stands here.

Written by hand from ``benchmarks/results/stride_loss.json`` (``python benchmarks/stride_loss.py``)
and, for the multiply-adds, from ``benchmarks/results/stride_cost.json`` (its ``--cost``).
"""

from __future__ import annotations

#: Mean IoU lost, as a share of that on the full grid, per share of the labels' energy between the
#: Nyquist frequencies of the full grid and of the stride; by way down. Ways that were not measured
#: by themselves count as `DEFAULT_WAY`. Fitted to all data sets and with one of them left out;
#: about the largest is taken: a grid too coarse costs accuracy, one too fine only time.
LOSS_PER_ENERGY = {"area": 0.62, "polyphase": 0.14}
DEFAULT_WAY = "area"
#: From this stride on detail in channels counts as none: six networks on two data sets (one seed)
#: lost 0.24 to 0.73 per energy there, up to 0.19 of their mean IoU.
DETAIL_ENDS = 32
#: Nine of ten trained networks lie in the band of these: of that constant, and of the ratio
#: itself, by way. With detail kept in channels short trainings on one data set did BETTER than the
#: full grid, by up to a tenth; the band has to hold most of that too.
LOSS_PER_ENERGY_ERROR = 0.2
RATIO_ERROR = {"area": 0.026, "polyphase": 0.05}
#: The same for what else can be truncated, each against the network that lacks it, over nine, two
#: and two networks: by the energy between the Nyquist frequencies of the full grid and of the
#: encoder's end at output stride 32, of the full grid of half the input, of logits as coarse as the
#: encoder's end. Two data sets say 0.05 and 0.01, 3.1 and 0.9, 0.8 and 0.7, too few to tell why
#: they differ: the larger ones are taken.
OUTPUT_STRIDE_LOSS = 0.05
HALVED_LOSS = 3.1
NO_DECODER_LOSS = 0.8
#: They stand on few networks, so that their ratios' band is as wide as the widest.
GRIDS_ERROR = 0.05
#: A coarser grid that saves less of the multiply-adds than this is not worth any accuracy.
MIN_SAVING = 0.05

#: Multiply-adds by (network, form), way down, output stride and decoder stride, as a share of those
#: on the full grid; 512 x 512 pixels, 21 classes, the default encoder. With a heavier encoder less
#: is saved.
COSTS: dict[tuple[str, str], dict[str, dict[int, dict[int, float]]]] = {
    ("deeplabv3plus", "light"): {
        "area": {
            8: {4: 1.0, 8: 0.976},
            16: {4: 1.0, 8: 0.924, 16: 0.905},
            32: {4: 1.0, 8: 0.867, 16: 0.834, 32: 0.825},
        },
        "polyphase": {
            8: {4: 1.0, 8: 0.994},
            16: {4: 1.0, 8: 0.982, 16: 0.953},
            32: {4: 1.0, 8: 0.969, 16: 0.918, 32: 0.94},
        },
    },
    ("deeplabv3plus", "paper"): {
        "area": {
            8: {4: 1.0, 8: 0.643},
            16: {4: 1.0, 8: 0.422, 16: 0.278},
            32: {4: 1.0, 8: 0.332, 16: 0.164, 32: 0.123},
        },
        "polyphase": {
            8: {4: 1.0, 8: 0.65},
            16: {4: 1.0, 8: 0.433, 16: 0.285},
            32: {4: 1.0, 8: 0.345, 16: 0.174, 32: 0.134},
        },
    },
    ("dan", "light"): {
        "area": {
            8: {4: 1.0, 8: 0.975},
            16: {4: 1.0, 8: 0.921, 16: 0.89},
            32: {4: 1.0, 8: 0.867, 16: 0.816, 32: 0.789},
        },
        "polyphase": {
            8: {4: 1.0, 8: 0.992},
            16: {4: 1.0, 8: 0.975, 16: 0.938},
            32: {4: 1.0, 8: 0.957, 16: 0.895, 32: 0.898},
        },
    },
    ("dan", "paper"): {
        "area": {
            8: {4: 1.0, 8: 0.609},
            16: {4: 1.0, 8: 0.445, 16: 0.233},
            32: {4: 1.0, 8: 0.411, 16: 0.185, 32: 0.1},
        },
        "polyphase": {
            8: {4: 1.0, 8: 0.617},
            16: {4: 1.0, 8: 0.456, 16: 0.24},
            32: {4: 1.0, 8: 0.422, 16: 0.193, 32: 0.11},
        },
    },
}
