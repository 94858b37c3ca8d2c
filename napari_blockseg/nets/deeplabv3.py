"""DeepLabV3: an encoder, ASPP, logits at the encoder's end. No decoder: what truncation must beat.

Notes
-----
Chen, Papandreou, Schroff, Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
arXiv 1706.05587. The head is the ASPP and one 1x1 convolution, on the output stride's grid or on a
coarser one; forms "paper" and "light" have the ASPP of :mod:`~napari_blockseg.nets.deeplabv3plus`.
"""

from __future__ import annotations

from torch import Tensor, nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.deeplabv3plus import (
    ASPP_WIDTH,
    aspp_rates,
    pooling_window,
    reach_of,
)
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.modules import ASPP, LightASPP, initialize
from napari_blockseg.nets.network import ENCODER_REACH, Network, round_up
from napari_blockseg.nets.truncation import Way, way_down


class PlainHead(nn.Module):
    """ASPP on the encoder's last features, then logits.

    Parameters
    ----------
    aspp : nn.Module
        On the encoder's last features.
    head : nn.Module
        To logits.
    way : Way
        From the encoder's grid to that of both.
    """

    def __init__(self, aspp: nn.Module, head: nn.Module, way: Way) -> None:
        super().__init__()
        # The last layer before the logits has one name in every network.
        self.fuse, self.head, self.before_way = aspp, head, way

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return coarse logits from the encoder's features."""
        return self.head(self.fuse(self.before_way(features[-1])))  # type: ignore[no-any-return]


def build_deeplabv3(encoder: Encoder, config: NetworkConfig, n_classes: int) -> Network:
    """Return DeepLabV3 on an encoder, in the config's light or paper form."""
    stride = config.stride
    rates, window = aspp_rates(config, stride), pooling_window(config, stride)
    kind = ASPP if config.form == "paper" else LightASPP
    width, n_high = ASPP_WIDTH[config.form], encoder.channels[-1]
    decoder = PlainHead(
        kind(n_high, width, rates, window),
        nn.Conv2d(width, n_classes, 1),
        way_down(config.truncation, n_high, encoder.strides[-1], stride),
    )
    initialize(decoder)
    halo = round_up(reach_of(rates, window, stride) + ENCODER_REACH)
    return Network(encoder, decoder, stride, halo)
