"""DeepLabV3+ whose decoder can be cut to what the labels need.

Notes
-----
Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", ECCV 2018. The paper's decoder works at stride 4; here the grid to
which ASPP output and low-level features are both resized sets it (see ``truncation``).

Forms: "paper" is that paper's (ASPP rates 6, 12, 18 at output stride 16 and twice that at 8, image
pooling, 256 channels, 48 low-level, two dense 3x3 convolutions); "light" has the same shape at a
fraction of the cost; "smp" has another library's layers (see ``smp``). Beyond the paper,
``truncate_aspp`` runs the ASPP on the decoder's grid where that is the coarser one, and output
stride 32 leaves the encoder's last stage undilated.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.modules import (
    ASPP,
    ConvBlock,
    LightASPP,
    SeparableConv,
    initialize,
)
from napari_blockseg.nets.network import ENCODER_REACH, Network, round_up
from napari_blockseg.nets.polyphase import LOW_LEVEL_STRIDE, GridDecoder, add_detail, detail_reach
from napari_blockseg.nets.truncation import Way, way_down

# Rates at output stride 16. The light form is for crops of 256 and for tiles: rate 18 would look
# past the edge of the first and need a halo of 288 pixels around the second.
PAPER_RATES = (6, 12, 18)
LIGHT_RATES = (3, 6, 9)
ASPP_WIDTH = {"paper": 256, "light": 128}
# The paper pools its whole crop of 513 pixels: 33 cells at output stride 16.
POOLING_PIXELS = 513

Parts = tuple[nn.Module, nn.Module, nn.Module, nn.Module]


class Decoder(GridDecoder):
    """ASPP, low-level features, both on one grid, convolutions, logits.

    Parameters
    ----------
    aspp : nn.Module
        On the encoder's last features.
    low_level : nn.Module
        Projection of the encoder's features at stride 4.
    fuse : nn.Module
        On the concatenation of both, on the decoder's grid.
    head : nn.Module
        To logits.
    low_index : int
        Which of the encoder's features are the low-level ones.
    before_way, after_way, low_way : Way
        To the decoder's grid: what the ASPP gets, what it gives, and the low-level features.
    """

    def __init__(
        self,
        aspp: nn.Module,
        low_level: nn.Module,
        fuse: nn.Module,
        head: nn.Module,
        *,
        low_index: int,
        before_way: Way,
        after_way: Way,
        low_way: Way,
    ) -> None:
        super().__init__()
        self.aspp, self.low_level, self.fuse, self.head = aspp, low_level, fuse, head
        self.low_index = low_index
        self.before_way, self.after_way, self.low_way = before_way, after_way, low_way

    def fused(self, features: list[Tensor]) -> Tensor:
        """Return the last features before the logits, on the decoder's grid."""
        high = self.after_way(self.aspp(self.before_way(features[-1])))
        # Truncation comes before the projection: a block mean and a 1x1 convolution commute (up
        # to the ReLU), and the projection is cheaper on the smaller grid.
        low = self.low_level(self.low_way(features[self.low_index]))
        return self.fuse(torch.cat([high, low], dim=1))  # type: ignore[no-any-return]


def build_deeplabv3plus(encoder: Encoder, config: NetworkConfig, n_classes: int) -> Network:
    """Return DeepLabV3+ on an encoder, in the config's light or paper form."""
    os, stride = encoder.strides[-1], config.stride
    grid = aspp_stride(config, os)
    paper = config.form == "paper"
    rates = aspp_rates(config, grid)
    window = pooling_window(config, grid)
    low_index = encoder.strides.index(LOW_LEVEL_STRIDE)
    n_low, n_high = encoder.channels[low_index], encoder.channels[-1]
    parts = _paper_parts if paper else _light_parts
    way, width = config.truncation, ASPP_WIDTH[config.form]
    decoder = Decoder(
        *parts(n_high, n_low, rates, window, n_classes),
        low_index=low_index,
        before_way=way_down(way, n_high, os, grid),
        after_way=way_down(way, width, grid, stride),
        low_way=way_down(way, n_low, LOW_LEVEL_STRIDE, stride),
    )
    initialize(decoder)
    logits_stride = add_detail(decoder, way, stride, n_low, width, n_classes)
    reach = reach_of(rates, window, grid) + detail_reach(decoder, stride)
    halo = round_up(reach + ENCODER_REACH)
    return Network(encoder, decoder, stride, halo, logits_stride=logits_stride)


def aspp_rates(config: NetworkConfig, grid: int) -> tuple[int, ...]:
    """Return the ASPP's rates in cells of its grid: its reach in pixels stays."""
    rates = PAPER_RATES if config.form == "paper" else LIGHT_RATES
    return tuple(rate * 16 // grid for rate in rates)


def pooling_window(config: NetworkConfig, grid: int) -> int | None:
    """Return the side of the image pooling window in cells of the ASPP's grid, None without it."""
    return (POOLING_PIXELS // grid) | 1 if config.pools_image else None


def reach_of(rates: tuple[int, ...], window: int | None, grid: int) -> int:
    """Return how many pixels to each side an ASPP on a grid looks at."""
    return max(rates[-1] * grid, 0 if window is None else window * grid // 2)


def aspp_stride(config: NetworkConfig, output_stride: int) -> int:
    """Return the pixels per cell of the grid on which the ASPP works."""
    return max(output_stride, config.stride) if config.truncate_aspp else output_stride


def _paper_parts(
    n_high: int,
    n_low: int,
    rates: tuple[int, ...],
    window: int | None,
    n_classes: int,
) -> Parts:
    return (
        ASPP(n_high, 256, rates, window),
        ConvBlock(n_low, 48),
        nn.Sequential(ConvBlock(256 + 48, 256, kernel=3), ConvBlock(256, 256, kernel=3)),
        nn.Conv2d(256, n_classes, 1),
    )


def _light_parts(
    n_high: int,
    n_low: int,
    rates: tuple[int, ...],
    window: int | None,
    n_classes: int,
) -> Parts:
    return (
        LightASPP(n_high, 128, rates, window),
        ConvBlock(n_low, 32),
        SeparableConv(128 + 32, 128),
        nn.Conv2d(128, n_classes, 1),
    )
