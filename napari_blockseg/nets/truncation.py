"""Spectral truncation: bring features to the grid on which the decoder works.

The low-resolution grid (LRG) of stride s has one cell per s x s pixels. Features on a finer grid
carry frequencies above its Nyquist, 0.5 / s cycles per pixel. There are four ways down
(:func:`way_down`): "area", the mean of each cell, which takes them away and folds little back;
"strided", a learned convolution of each channel that starts as that mean; "lowpass", the ideal crop
of the spectrum, the reference that the others are measured against; "polyphase", the mean again,
with what it takes away kept in channels (see ``polyphase``). Features on a coarser grid are
interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: From features on one grid to features on another.
Way = Callable[[Tensor], Tensor]


def to_stride(features: Tensor, stride: int, wanted: int) -> Tensor:
    """Resize features to the grid of another stride.

    Parameters
    ----------
    features : (n, channels, rows, cols) tensor
        On a grid of `stride` pixels a cell.
    stride, wanted : int
        Pixels per cell, now and after; one divides the other.

    Returns
    -------
    (n, channels, rows * stride / wanted, cols * stride / wanted) tensor
        Block means when the grid gets coarser, bilinear interpolation of cell centers
        (``align_corners=False``) when it gets finer. The kernels are fixed, so a tile sees what
        the whole image sees.
    """
    if wanted == stride:
        return features
    if wanted > stride:
        return F.avg_pool2d(features, wanted // stride)
    return upsample(features, stride // wanted)


def upsample(features: Tensor, factor: int, align_corners: bool = False) -> Tensor:
    """Return features interpolated bilinearly to `factor` times the rows and cols."""
    if factor == 1:
        return features
    return F.interpolate(
        features, scale_factor=factor, mode="bilinear", align_corners=align_corners
    )


def way_down(way: str, channels: int, stride: int, wanted: int) -> Way:
    """Return what brings features from one stride to another.

    Parameters
    ----------
    way : {"area", "strided", "lowpass", "polyphase"}
        How, when the grid gets coarser; when it gets finer it is bilinear interpolation.
    channels : int
        Of the features.
    stride, wanted : int
        Pixels per cell, before and after; one divides the other.

    Returns
    -------
    callable
        A module where it has parameters ("strided"), a plain function elsewhere.
    """
    if wanted > stride and way == "strided":
        return StridedConv(channels, wanted // stride)
    if wanted > stride and way == "lowpass":
        return partial(low_pass, factor=wanted // stride)
    return partial(to_stride, stride=stride, wanted=wanted)


class StridedConv(nn.Conv2d):
    """A convolution of each channel by itself that looks at the cells of the fine grid once each.

    It starts as the block mean and learns from there.

    Parameters
    ----------
    channels : int
        Of the features.
    factor : int
        Side of its kernel, and its stride, in cells of the fine grid.
    """

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(channels, channels, factor, stride=factor, groups=channels, bias=False)

    def reset_parameters(self) -> None:
        """Make it the block mean, without drawing: other layers start as they do with "area"."""
        nn.init.constant_(self.weight, 1 / (self.kernel_size[0] * self.kernel_size[1]))


def fit_ways(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict for the same network at another decoder stride.

    Everything but the kernels of :class:`StridedConv` and a polyphase branch is independent of the
    stride. A kernel of another size is resized and keeps its gain at DC; one that is new starts as
    the block mean; a branch of another stride starts anew, adding nothing; what has no place is
    left out.

    Parameters
    ----------
    state : mapping of str to tensor
        Of a network or decoder with `module`'s layers.
    module : nn.Module
        Where it shall be loaded.
    """
    own = module.state_dict()
    kernels = {
        f"{name}.weight" for name, part in module.named_modules() if isinstance(part, StridedConv)
    }
    fitted = {
        key: tensor for key, tensor in state.items() if key in own or not _is_way(key, tensor)
    }
    for key in kernels:
        fitted[key] = _resized(state[key], own[key].shape[-1]) if key in state else own[key]
    branch = {key: tensor for key, tensor in own.items() if _is_detail(key)}
    if any(key not in state or state[key].shape != branch[key].shape for key in branch):
        fitted |= branch
    return fitted


def _is_way(key: str, tensor: Tensor) -> bool:
    return (key.endswith("_way.weight") and tensor.ndim == 4) or _is_detail(key)


def _is_detail(key: str) -> bool:
    return "detail" in key.split(".")


def _resized(kernel: Tensor, side: int) -> Tensor:
    if kernel.shape[-1] == side:
        return kernel
    resized = F.interpolate(kernel.float(), size=(side, side), mode="bilinear", align_corners=False)
    gain = kernel.float().sum((2, 3), keepdim=True)
    # Only the shape of the kernel is interpolated; where its sum would vanish, spread the gain.
    return (resized + (gain - resized.sum((2, 3), keepdim=True)) / side**2).to(kernel.dtype)


def low_pass(features: Tensor, factor: int) -> Tensor:
    """Keep the frequencies that a coarser grid resolves, and nothing else: the FFT crop.

    Parameters
    ----------
    features : (n, channels, rows, cols) tensor
        Rows and cols are multiples of `factor`.
    factor : int
        Cells of the fine grid to one of the coarse grid, along each axis.

    Returns
    -------
    (n, channels, rows / factor, cols / factor) tensor
        The ideal low-pass ``max(|f_row|, |f_col|) <= 0.5 / factor``, taken at the centers of the
        coarse cells. A constant stays what it is.

    Notes
    -----
    The inclusive band holds both of the coarse grid's Nyquist pair (where the coarse grid has an
    even number of cells): on that grid they are one bin, their sum. The FFT takes the image for
    periodic, so opposite edges touch, and every cell depends on the whole input: tiles and whole
    images agree only roughly. It is the reference; no export knows it.
    """
    if factor == 1:
        return features
    # Half precision has no FFT of every size.
    values = features if features.dtype == torch.float64 else features.float()
    low = _low_pass_axis(_low_pass_axis(values, factor, -2), factor, -1)
    return low.to(features.dtype)


def _low_pass_axis(values: Tensor, factor: int, axis: int) -> Tensor:
    size = values.shape[axis]
    kept = size // factor
    bins = kept // 2 + 1
    # Centers of coarse cells lie (factor - 1) / 2 fine cells after the centers of their first ones.
    order = torch.arange(bins, device=values.device, dtype=values.dtype)
    angle = order * (math.pi * (factor - 1) / size)
    turn = torch.polar(torch.ones_like(angle), angle)
    spectrum = torch.fft.rfft(values, dim=axis).narrow(axis, 0, bins).movedim(axis, -1) * turn
    if kept % 2 == 0:
        pair = 2 * spectrum[..., -1:].real
        spectrum = torch.cat([spectrum[..., :-1], torch.complex(pair, pair * 0)], -1)
    low: Tensor = torch.fft.irfft(spectrum / factor, n=kept, dim=-1)
    return low.movedim(-1, axis)
