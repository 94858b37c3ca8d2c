"""A deep aggregation net (DAN): the encoder's stages merged step by step, coarse to fine.

Notes
-----
It follows the ABSTRACT of Kuo, Tseng, Yan, Liu, Wang, "Deep Aggregation Net for Land Cover
Classification", CVPR Workshops 2018: a network that "extracts and combines multi-layer features".
Its body is not at hand and no code is public, so what a node does is our choice: a 3x3 convolution
over the concatenation of what is merged so far and the next finer stage, on the finer of the two
grids, but never on a finer one than the decoder's. The abstract's soft semantic labels are the loss
"soft" of training; its graph-based fine-tuning is left out. (This is neither the Dual Attention
Network nor Deep Layer Aggregation.)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.modules import ConvBlock, SeparableConv, initialize
from napari_blockseg.nets.network import ENCODER_REACH, Network, round_up
from napari_blockseg.nets.polyphase import LOW_LEVEL_STRIDE, GridDecoder, add_detail, detail_reach
from napari_blockseg.nets.truncation import Way, way_down

PAPER_WIDTH, LIGHT_WIDTH = 256, 96


class AggregationNode(nn.Module):
    """Coarse and fine features on one grid, concatenated, convolved.

    Parameters
    ----------
    conv : nn.Module
        On the concatenation.
    coarse_way, fine_way : Way
        To the node's grid.
    """

    def __init__(self, conv: nn.Module, coarse_way: Way, fine_way: Way) -> None:
        super().__init__()
        self.conv = conv
        self.coarse_way, self.fine_way = coarse_way, fine_way

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return (n, width, rows, cols) on the node's grid."""
        both = [self.coarse_way(coarse), self.fine_way(fine)]
        return self.conv(torch.cat(both, dim=1))  # type: ignore[no-any-return]


class AggregationDecoder(GridDecoder):
    """Nodes from the encoder's last stage to its first, then logits.

    Parameters
    ----------
    nodes : list of AggregationNode
        One fewer than the encoder has stages; coarse to fine.
    head : nn.Module
        To logits.
    low_index : int
        Which of the encoder's features have stride 4.
    """

    def __init__(self, nodes: list[AggregationNode], head: nn.Module, low_index: int) -> None:
        super().__init__()
        self.low_index = low_index
        self.nodes = nn.ModuleList(nodes[:-1])
        # The last layer before the logits has one name in every network.
        self.fuse = nodes[-1]
        self.head = head

    def fused(self, features: list[Tensor]) -> Tensor:
        """Return the last features before the logits, on the decoder's grid."""
        merged = features[-1]
        for node, feature in zip(self.nodes, features[-2:0:-1], strict=True):
            merged = node(merged, feature)
        return self.fuse(merged, features[0])  # type: ignore[no-any-return]


def build_dan(encoder: Encoder, config: NetworkConfig, n_classes: int) -> Network:
    """Return the deep aggregation net on an encoder.

    The "light" form has separable nodes of 96 channels, "paper" dense ones of 256.
    """
    strides = [max(stride, config.stride) for stride in encoder.strides]
    width = PAPER_WIDTH if config.form == "paper" else LIGHT_WIDTH
    nodes: list[AggregationNode] = []
    n_coarse, coarse = encoder.channels[-1], encoder.strides[-1]
    stages = zip(encoder.channels, encoder.strides, strides, strict=True)
    for n_fine, fine, grid in list(stages)[-2::-1]:
        n_both = n_coarse + n_fine
        dense = config.form == "paper"
        conv = ConvBlock(n_both, width, kernel=3) if dense else SeparableConv(n_both, width)
        coarse_way = way_down(config.truncation, n_coarse, coarse, grid)
        fine_way = way_down(config.truncation, n_fine, fine, grid)
        nodes.append(AggregationNode(conv, coarse_way, fine_way))
        n_coarse, coarse = width, grid
    low_index = encoder.strides.index(LOW_LEVEL_STRIDE)
    decoder = AggregationDecoder(nodes, nn.Conv2d(width, n_classes, 1), low_index)
    n_low = encoder.channels[low_index]
    initialize(decoder)
    stride = add_detail(decoder, config.truncation, config.stride, n_low, width, n_classes)
    # Each node sees one cell further, on its own grid.
    reach = sum(strides[:-1]) + detail_reach(decoder, config.stride)
    halo = round_up(reach + ENCODER_REACH)
    return Network(encoder, decoder, config.stride, halo, logits_stride=stride)
