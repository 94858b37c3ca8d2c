"""Batch norm folded into convolutions: the same function with fewer passes over memory."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

N = TypeVar("N", bound=nn.Module)
_SIZE = 64
#: Of the largest output; a copy that differs by more is not used.
_TOLERANCE = 1e-3


def fold_batch_norm(network: N, n_channels: int) -> N:
    """Return a copy for prediction, in eval mode, whose batch norms are part of the convolutions.

    Parameters
    ----------
    network : nn.Module
        Takes (n, n_channels, rows, cols) images; returns a tensor or tensors.
    n_channels : int
        Channels of the images.

    Returns
    -------
    nn.Module
        Of the same class. Its weights have other names and values than the network's: it is no
        place to train, hook or save. Where folding would change the output (a part between
        convolution and norm that this did not see), a plain copy. On the meta device there are no
        values to compare: folded all the same.

    Notes
    -----
    In eval mode a norm is ``(x - mean) * gamma / sqrt(var + eps) + beta``: linear, so that
    ``W' = W * s`` and ``b' = (b - mean) * s + beta`` with ``s = gamma / sqrt(var + eps)`` per
    channel give the same. Which convolution a norm belongs to is seen by running the network: its
    input is the very tensor that the convolution returned.
    """
    plain = copy.deepcopy(network).eval()
    folded = copy.deepcopy(plain)
    image = torch.rand(1, n_channels, _SIZE, _SIZE).to(next(plain.parameters()).device)
    with torch.no_grad():
        for conv, norm in _pairs(folded, image):
            _fold(conv, norm)
            _replace(folded, norm)
        if image.is_meta:
            return folded
        expected, found = _flat(plain(image)), _flat(folded(image))
    largest = float(expected.abs().max())
    if float((expected - found).abs().max()) > _TOLERANCE * max(1e-6, largest):
        return plain
    return folded


def _pairs(network: nn.Module, image: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each batch norm with the convolution whose output it gets."""
    # Outputs are kept alive: Python would use the identity of a freed one again.
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Conv2d):
            made[id(output)] = (module, output)
        elif id(inputs[0]) in made and isinstance(module, nn.BatchNorm2d):
            pairs.append((made[id(inputs[0])][0], module))

    hooks = [
        module.register_forward_hook(after)
        for module in network.modules()
        if isinstance(module, nn.Conv2d) or _is_plain(module)
    ]
    network(image)
    for hook in hooks:
        hook.remove()
    # A convolution or a norm that works twice in one pass (shared weights) stays as it is.
    convs = [id(conv) for conv, _ in pairs]
    norms = [id(norm) for _, norm in pairs]
    return [pair for pair in pairs if convs.count(id(pair[0])) == norms.count(id(pair[1])) == 1]


def _is_plain(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d) and module.running_var is not None


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Move the norm into the convolution; in float64, so that rounding happens once."""
    if norm.running_mean is None or norm.running_var is None:
        return
    old = conv.weight
    mean, var = _exact(norm.running_mean), _exact(norm.running_var)
    gain = _exact(norm.weight) if norm.affine else torch.ones_like(mean)
    shift = _exact(norm.bias) if norm.affine else torch.zeros_like(mean)
    scale = gain / (var + norm.eps).sqrt()
    bias = torch.zeros_like(mean) if conv.bias is None else _exact(conv.bias)
    for name, value in (
        ("weight", _exact(old) * scale.view(-1, 1, 1, 1)),
        ("bias", (bias - mean) * scale + shift),
    ):
        folded = value.to(old.dtype).to(old.device)
        setattr(conv, name, nn.Parameter(folded, requires_grad=False))


def _exact(values: Tensor) -> Tensor:
    """Return values in float64, on the CPU: Apple's devices have no float64."""
    values = values.detach()
    return (values if values.is_meta else values.cpu()).double()


def _replace(network: nn.Module, norm: nn.BatchNorm2d) -> None:
    """Put what is left of a norm in its place: timm's carry their activation along."""
    left = getattr(norm, "act", None) or nn.Identity()
    for parent in network.modules():
        for name, child in parent.named_children():
            if child is norm:
                setattr(parent, name, left)


def _flat(output: Any) -> Tensor:
    tensors = [output] if isinstance(output, Tensor) else output
    return torch.cat([tensor.flatten() for tensor in tensors])
