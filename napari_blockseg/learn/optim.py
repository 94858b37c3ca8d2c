"""Optimizer, learning-rate schedule, and the running mean of weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.nets.network import Network

# Pretrained layers need smaller steps than the fresh decoder.
ENCODER_SHARE = 0.3
# The shortcut is fitted before, and looks at features that are not normalized.
SHORTCUT_SHARE = 0.1
SHARES = {"encoder": ENCODER_SHARE, "shortcut": SHORTCUT_SHARE}
WARM_UP = 0.1
MEAN_DECAY = 0.99
_END_SHARE = 0.01


def build_optimizer(network: Network, config: TrainConfig) -> torch.optim.AdamW:
    """Return AdamW with smaller rates for encoder and shortcut, no decay on biases and norms.

    Each parameter group has a ``share`` of the learning rate.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        share = SHARES.get(name.split(".")[0], 1.0)
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((share, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "share": share, "weight_decay": decay}
            for (share, decay), parameters in groups.items()
        ],
        lr=config.learning_rate,
        # One pass over memory instead of six: on two cores a fifth of a step.
        fused=next(network.parameters()).device.type in ("cpu", "cuda"),
    )


def one_cycle(progress: float) -> float:
    """Return the share of the peak learning rate at a share of the run, both 0 to 1.

    Up linearly for a tenth of the run, down along a cosine to 1 %.
    """
    if progress < WARM_UP:
        return max(_END_SHARE, progress / WARM_UP)
    fallen = min(1.0, (progress - WARM_UP) / (1 - WARM_UP))
    return _END_SHARE + (1 - _END_SHARE) * 0.5 * (1 + math.cos(math.pi * fallen))


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its share of a learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]


class MeanWeights:
    """Running mean of a network's weights and statistics: the model that is saved and shown.

    Parameters
    ----------
    network : Network
        The network in training; its copy here is in eval mode.
    """

    def __init__(self, network: Network) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    def begin_anew(self, network: Network) -> None:
        """Forget what was; the mean is this network as it is."""
        self.network.load_state_dict(network.state_dict())

    @torch.no_grad()
    def update(self, network: Network, step: int) -> None:
        """Take one step in; early on the mean is shorter."""
        share = 1 - min(MEAN_DECAY, (1 + step) / (10 + step))
        mean, now = self.network.state_dict(), network.state_dict()
        floats = [name for name, tensor in mean.items() if tensor.is_floating_point()]
        torch._foreach_lerp_([mean[n] for n in floats], [now[n] for n in floats], share)
        for name, tensor in mean.items():
            if not tensor.is_floating_point():
                tensor.copy_(now[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as named tensors: ``INDEX.KEY``."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": value for index, keys in state.items() for key, value in keys.items()}


def load_optimizer_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore what :func:`optimizer_tensors` returned."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            # In the parameter's memory layout, so that sums run in the same order as before.
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value
