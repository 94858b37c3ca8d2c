"""How long networks take beside one another, predicted from shapes alone.

Choosing must not depend on what else a machine does at that moment, nor take a minute of timing: so
the rates are those of one processor, measured once. Ratios of times change far less from one
processor to the next than times do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.cost_model import CostModel, Rates
from napari_blockseg.nets.cost_timing import make_candidate, scaled
from napari_blockseg.nets.layers import trace_layers

#: Of one thread of a server's processor with 512-bit vectors: torch, batch norm folded, fitted to
#: the shortest times of the layers of 28 combinations of grids (light and paper form). Ratios of
#: whole networks agree with ``benchmarks/results/truncation/timing.json`` to about 0.05.
TYPICAL = CostModel(
    {
        "dense": Rates(0.0167, 0.0295, 0.145),
        "pointwise": Rates(0.0207, 0.1012, 0.023),
        "depthwise": Rates(0.0259, 0.0836, 0.110),
        "dilated": Rates(0.8498, 0.0, 0.0),
        "resize": Rates(0.0, 0.1676, 0.0),
        "move": Rates(0.0, 0.0246, 0.012),
    }
)
#: Pixels to a side of the image that times are predicted for.
SIZE = 512


def predicted_seconds(
    config: NetworkConfig, scales: Sequence[float], n_classes: int, size: int = SIZE
) -> list[float]:
    """Predict the time from an image to logits at its size, for a network on shrunk inputs.

    Parameters
    ----------
    config : NetworkConfig
        The network; its weights do not matter.
    scales : sequence of float
        Side of the input as a share of the image's, one prediction each.
    n_classes : int
        Channels of the logits.
    size : int
        Rows and cols of the image.

    Returns
    -------
    list of float
        Seconds on the processor of `TYPICAL`; good for ratios.
    """
    network = make_candidate(config, n_classes, runs=False)
    image = torch.zeros(1, 3, size, size, device="meta")
    return [TYPICAL.total(trace_layers(scaled(network, scale).shapes, image)) for scale in scales]
