"""Spectral truncation: bring features to the grid on which the decoder works.

The low-resolution grid (LRG) of stride s has one cell per s x s pixels. Features on a finer grid
carry frequencies above its Nyquist, 0.5 / s cycles per pixel; a block mean takes them away (and
folds little back), features on a coarser grid are interpolated.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


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


def upsample(features: Tensor, factor: int) -> Tensor:
    """Return features interpolated bilinearly to `factor` times the rows and cols."""
    if factor == 1:
        return features
    return F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)
