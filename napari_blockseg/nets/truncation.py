"""Spectral truncation: bring features to the grid on which the decoder works.

The low-resolution grid (LRG) of stride s has one cell per s x s pixels. Features on a finer grid
carry frequencies above its Nyquist, 0.5 / s cycles per pixel. There are four ways down
(:func:`way_down`): "area", the mean of each cell, which takes them away and folds little back;
"strided", a learned convolution of each channel that starts as that mean; "lowpass", the ideal crop
of the spectrum, the reference that the others are measured against; "polyphase", which moves what
the grid cannot hold into channels (:class:`PhaseConv`), and back out of them where the logits are
made (:class:`PhaseHead`). Features on a coarser grid are interpolated.
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
        A module where it has parameters ("strided", "polyphase"), a plain function elsewhere.
    """
    if wanted > stride and way == "strided":
        return StridedConv(channels, wanted // stride)
    if wanted > stride and way == "polyphase":
        return PhaseConv(channels, channels, wanted // stride, identity=True)
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


class PhaseConv(nn.Conv2d):
    """A convolution whose kernel is one coarse cell: every fine cell in it has its own weights.

    It equals a 1x1 convolution of the polyphase components (the `factor` ** 2 fine cells of a
    coarse one, stacked as channels), so what lies above the coarse grid's Nyquist is not lost but
    mixed into channels. It starts as the block mean followed by a 1x1 convolution and learns from
    there.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    factor : int
        Side of the kernel, and its stride, in cells of the fine grid.
    identity : bool
        Whether the 1x1 convolution it starts with is the identity (`n_in` equals `n_out`).
    """

    def __init__(self, n_in: int, n_out: int, factor: int, identity: bool = False) -> None:
        self.identity = identity
        super().__init__(n_in, n_out, factor, stride=factor, bias=False)

    def reset_parameters(self) -> None:
        """Draw as a 1x1 convolution would: other layers then start as they do with "area"."""
        first = self.weight.new_empty((*self.weight.shape[:2], 1, 1))
        if self.identity:
            nn.init.dirac_(first)
        else:
            nn.init.kaiming_uniform_(first, a=math.sqrt(5))
        self.start_from(first)

    @torch.no_grad()
    def start_from(self, first: Tensor) -> None:
        """Become the block mean followed by the 1x1 convolution `first` (n_out, n_in, 1, 1)."""
        self.weight.copy_(first.expand_as(self.weight) / self.kernel_size[0] ** 2)


class PhaseHead(nn.Conv2d):
    """Logits on a grid `factor` times as fine as the features', from a convolution on theirs.

    Bilinear interpolation of a 1x1 convolution's logits, plus what `factor` ** 2 logits a class and
    cell (moved into place, as in sub-pixel convolution) add to it. The latter start at zero, so it
    starts as the head that it replaces and shares its weights' names.

    Parameters
    ----------
    n_in, n_classes : int
        Channels.
    factor : int
        Cells of the logits' grid per cell of the features', along each axis.

    Notes
    -----
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016; for segmentation Tian et al., "Decoders Matter for
    Semantic Segmentation: Data-Dependent Decoding Enables Flexible Feature Aggregation", CVPR 2019.
    """

    def __init__(self, n_in: int, n_classes: int, factor: int) -> None:
        super().__init__(n_in, n_classes, 1)
        self.factor = factor
        self.phases = ZeroConv(n_in, n_classes * factor**2, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, n_classes, rows * factor, cols * factor)."""
        smooth = upsample(super().forward(features), self.factor)
        return smooth + F.pixel_shuffle(self.phases(features), self.factor)


class ZeroConv(nn.Conv2d):
    """A convolution that starts at zero, without drawing."""

    def reset_parameters(self) -> None:
        """Set the weights to zero."""
        nn.init.zeros_(self.weight)


def fit_ways(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict for the same network at another decoder stride.

    Everything but the kernels of :class:`StridedConv`, :class:`PhaseConv` and :class:`PhaseHead`
    is independent of the stride. A kernel of another size is resized and keeps its gain at DC (a
    1x1 convolution becomes the block mean followed by it); a way down that is new starts as the
    block mean; phases of a head start at zero; what has no place is left out.

    Parameters
    ----------
    state : mapping of str to tensor
        Of a network or decoder with `module`'s layers.
    module : nn.Module
        Where it shall be loaded.
    """
    own = module.state_dict()
    sized = {
        f"{name}.weight"
        for name, part in module.named_modules()
        if isinstance(part, StridedConv | PhaseConv)
    }
    fitted = {
        key: tensor for key, tensor in state.items() if key in own or not _is_way(key, tensor)
    }
    # What the other stride had as a kernel of its own may be a 1x1 convolution here.
    sized |= {key for key in own.keys() & fitted.keys() if _is_kernel(own[key], fitted[key])}
    for key in sized:
        fitted[key] = _resized(state[key], own[key].shape[-1]) if key in state else own[key]
    for key in own:
        if key.endswith(_PHASES) and (key not in state or state[key].shape != own[key].shape):
            fitted[key] = own[key]
    return fitted


_PHASES = "head.phases.weight"


def _is_way(key: str, tensor: Tensor) -> bool:
    return (key.endswith("_way.weight") and tensor.ndim == 4) or key.endswith(_PHASES)


def _is_kernel(own: Tensor, given: Tensor) -> bool:
    """Whether they are one low-level projection at two strides."""
    same = own.ndim == given.ndim == 4 and own.shape[:2] == given.shape[:2]
    return same and 1 in (own.shape[-1], given.shape[-1]) and own.shape != given.shape


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
