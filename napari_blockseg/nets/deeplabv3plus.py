"""DeepLabV3+ whose decoder can be cut to what the labels need.

Notes
-----
Chen, Zhu, Papandreou, Schroff, Adam, "Encoder-Decoder with Atrous Separable Convolution for
Semantic Image Segmentation", ECCV 2018. The paper's decoder works at stride 4; here the grid to
which ASPP output and low-level features are both resized sets it (see ``truncation``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.modules import ASPP, ConvBlock, LightASPP, SeparableConv
from napari_blockseg.nets.network import MULTIPLE, Network
from napari_blockseg.nets.truncation import to_stride

LOW_LEVEL_STRIDE = 4
# Rates at output stride 16. The light form is for crops of 256 and for tiles: rate 18 would look
# past the edge of the first and need a halo of 288 pixels around the second.
PAPER_RATES = (6, 12, 18)
LIGHT_RATES = (3, 6, 9)
# The paper pools its whole crop of 513 pixels: 33 cells at output stride 16.
POOLING_PIXELS = 513


class Decoder(nn.Module):
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
    output_stride, decoder_stride : int
        Pixels per cell of the ASPP's grid and of the decoder's.
    """

    def __init__(
        self,
        aspp: nn.Module,
        low_level: nn.Module,
        fuse: nn.Module,
        head: nn.Module,
        *,
        low_index: int,
        output_stride: int,
        decoder_stride: int,
    ) -> None:
        super().__init__()
        self.aspp, self.low_level, self.fuse, self.head = aspp, low_level, fuse, head
        self.low_index = low_index
        self.output_stride = output_stride
        self.decoder_stride = decoder_stride

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits on the decoder's grid from the encoder's features."""
        high = to_stride(self.aspp(features[-1]), self.output_stride, self.decoder_stride)
        # Truncation comes before the projection: a block mean and a 1x1 convolution commute (up
        # to the ReLU), and the projection is cheaper on the smaller grid.
        low = to_stride(features[self.low_index], LOW_LEVEL_STRIDE, self.decoder_stride)
        fused = self.fuse(torch.cat([high, self.low_level(low)], dim=1))
        return self.head(fused)  # type: ignore[no-any-return]


def build_deeplabv3plus(encoder: Encoder, config: NetworkConfig, n_classes: int) -> Network:
    """Return DeepLabV3+ on an encoder, in the config's form."""
    os = encoder.strides[-1]
    paper = config.form == "paper"
    rates = tuple(rate * 16 // os for rate in (PAPER_RATES if paper else LIGHT_RATES))
    window = (POOLING_PIXELS // os) | 1 if config.pools_image else None
    low_index = encoder.strides.index(LOW_LEVEL_STRIDE)
    n_low, n_high = encoder.channels[low_index], encoder.channels[-1]
    parts = _paper_parts if paper else _light_parts
    decoder = Decoder(
        *parts(n_high, n_low, rates, window, n_classes),
        low_index=low_index,
        output_stride=os,
        decoder_stride=config.stride,
    )
    initialize(decoder)
    reach = max(rates[-1] * os, 0 if window is None else window * os // 2)
    # The encoder looks beyond its own cell too; measured, with 112 pixels more tiles agree.
    return Network(encoder, decoder, config.stride, halo=_round_up(reach + 7 * 16))


def _paper_parts(
    n_high: int, n_low: int, rates: tuple[int, ...], window: int | None, n_classes: int
) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    return (
        ASPP(n_high, 256, rates, window),
        ConvBlock(n_low, 48),
        nn.Sequential(ConvBlock(256 + 48, 256, kernel=3), ConvBlock(256, 256, kernel=3)),
        nn.Conv2d(256, n_classes, 1),
    )


def _light_parts(
    n_high: int, n_low: int, rates: tuple[int, ...], window: int | None, n_classes: int
) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    return (
        LightASPP(n_high, 128, rates, window),
        ConvBlock(n_low, 32),
        SeparableConv(128 + 32, 128),
        nn.Conv2d(128, n_classes, 1),
    )


def initialize(decoder: nn.Module) -> None:
    """Draw convolution weights by He's rule and set the logits' bias to 0."""
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                # The head: small weights, so that training starts at equal class chances.
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)


def _round_up(pixels: int) -> int:
    return -(-pixels // MULTIPLE) * MULTIPLE
