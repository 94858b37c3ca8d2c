"""Polyphase truncation: detail that a coarse grid cannot hold goes along in channels.

A decoder on a grid of stride s throws away what lies above 0.5 / s cycles per pixel, in its
features and so in its logits. But the s / 4 x s / 4 cells of the full grid within one of its cells
(the polyphase components) fit into channels of that cell. A branch beside the decoder takes the
low-level features that way, looks at them together with the decoder's, and gives as many logits a
cell as it has phases: they are shuffled to the full grid and added to the interpolated logits. All
convolutions work on the coarse grid.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_blockseg.nets.modules import SeparableConv, ZeroConv, initialize
from napari_blockseg.nets.truncation import upsample

LOW_LEVEL_STRIDE = 4
#: Channels of the branch. On one data set half as many phases, or no look at neighbouring cells,
#: left it clearly further from the full grid.
HIDDEN, PER_FACTOR = 128, 64


class GridDecoder(nn.Module):
    """A decoder that works on one grid: features, logits from them, and detail where it is kept.

    Attributes
    ----------
    head : nn.Module
        From the last features to logits, on the decoder's grid.
    detail : Detail or None
        What a truncated decoder adds to them, on the full grid.
    low_index : int
        Which of the encoder's features have stride 4.
    """

    head: nn.Module
    low_index: int

    def __init__(self) -> None:
        super().__init__()
        self.detail: Detail | None = None

    @abstractmethod
    def fused(self, features: list[Tensor]) -> Tensor:
        """Return the last features before the logits, on the decoder's grid."""

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return coarse logits from the encoder's features."""
        fused = self.fused(features)
        logits: Tensor = self.head(fused)
        if self.detail is None:
            return logits
        detail: Tensor = self.detail(fused, features[self.low_index])
        return upsample(logits, self.detail.factor) + detail


class Detail(nn.Module):
    """Logits of the full grid, from features of a coarse one and low-level features in phases.

    It starts at zero: a network that has it starts as the one that has not.

    Parameters
    ----------
    n_low, n_fused, n_classes : int
        Channels of the low-level features, of the decoder's last ones, and of the logits.
    factor : int
        Cells of the full grid to one of the decoder's, along each axis.

    Notes
    -----
    With `x` the low-level features in phases and `f` the decoder's: ``shuffle(W relu(V [f, relu(U
    x)]))``, `U` and `W` 1x1 convolutions, `V` a separable 3x3 one. Shuffled logits: Shi et al.,
    "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network", CVPR 2016; for segmentation, Tian et al., "Decoders Matter for Semantic
    Segmentation: Data-Dependent Decoding Enables Flexible Feature Aggregation", CVPR 2019.
    """

    def __init__(self, n_low: int, n_fused: int, n_classes: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        # A kernel that is one coarse cell: a 1x1 convolution of all phases.
        n_phases = PER_FACTOR * factor
        self.low = nn.Sequential(
            nn.Conv2d(n_low, n_phases, factor, stride=factor, bias=False),
            nn.BatchNorm2d(n_phases),
            nn.ReLU(inplace=True),
        )
        self.mix = SeparableConv(n_fused + n_phases, HIDDEN)
        self.phases = ZeroConv(HIDDEN, n_classes * factor**2, 1, bias=False)

    def forward(self, fused: Tensor, low: Tensor) -> Tensor:
        """Return (n, n_classes, rows, cols) on the grid of `low`."""
        mixed = self.mix(torch.cat([fused, self.low(low)], dim=1))
        return F.pixel_shuffle(self.phases(mixed), self.factor)


def add_detail(
    decoder: GridDecoder, way: str, stride: int, n_low: int, n_fused: int, n_classes: int
) -> int:
    """Give a decoder its branch where the way down asks for one; return its logits' stride.

    To be called last: what is drawn at random before it is then what other ways down get.

    Parameters
    ----------
    decoder : GridDecoder
        On a grid of `stride` pixels a cell.
    way : str
        The config's `truncation`.
    stride : int
        Pixels per cell of the decoder's grid.
    n_low, n_fused, n_classes : int
        As in :class:`Detail`.
    """
    factor = stride // LOW_LEVEL_STRIDE
    if way != "polyphase" or factor <= 1:
        return stride
    decoder.detail = Detail(n_low, n_fused, n_classes, factor)
    initialize(decoder.detail)
    return LOW_LEVEL_STRIDE


def detail_reach(decoder: GridDecoder, stride: int) -> int:
    """Return how many pixels further to each side a decoder looks because of its branch.

    Its 3x3 convolution sees one cell of the decoder's grid more.
    """
    return 0 if decoder.detail is None else stride
