"""What a linear head looks at: the pixels of each cell, every stage of an encoder, and its map.

Each stage is mapped on its own grid by a 1x1 convolution and the logits are interpolated, which
gives what interpolating the features would: both are linear. Mean and standard deviation of the
pixels of each cell are a stage of their own, for colors and textures that the encoder makes nothing
of.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_blockseg.nets.truncation import to_stride, upsample

#: Working pixels per cell of the finest grid that a stage is looked at.
FINEST = 4


def pixel_stage(images: Tensor) -> Tensor:
    """Return mean and standard deviation of the pixels of each cell of `FINEST` x `FINEST`.

    Parameters
    ----------
    images : (n, channels, rows, cols) tensor
        In 0..1.

    Returns
    -------
    (n, 2 channels, rows / 4, cols / 4) tensor
    """
    images = images.contiguous()  # pooling few channels is faster channel by channel
    mean = F.avg_pool2d(images, FINEST)
    variance = F.avg_pool2d(images * images, FINEST) - mean * mean
    return torch.cat([mean, variance.clamp_min(0).sqrt()], 1)


class LinearHead(nn.Module):
    """One linear map of all stages to logits.

    Parameters
    ----------
    channels, strides : sequence of int
        Of the stages; those finer than the grid are averaged to it.
    n_classes : int
        Channels of the logits.
    stride : int
        Pixels per cell of the grid.
    """

    def __init__(
        self, channels: Sequence[int], strides: Sequence[int], n_classes: int, stride: int
    ) -> None:
        super().__init__()
        self._strides, self._stride = tuple(strides), stride
        self._starts = tuple(sum(channels[:index]) for index in range(len(channels) + 1))
        self.head = nn.Conv2d(sum(channels), n_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits on the grid from the stages."""
        weight, bias = self.head.weight, self.head.bias
        # Stages of one grid are added up there, and interpolated once.
        on_grid: dict[int, Tensor] = {}
        for stage, stride, (start, stop) in zip(
            features, self._strides, pairwise(self._starts), strict=True
        ):
            grid = max(stride, self._stride)
            logits = F.conv2d(
                to_stride(stage, stride, grid), weight[:, start:stop], None if on_grid else bias
            )
            on_grid[grid] = on_grid[grid] + logits if grid in on_grid else logits
        parts = [upsample(one, grid // self._stride) for grid, one in on_grid.items()]
        return sum(parts[1:], parts[0])
