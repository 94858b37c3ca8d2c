"""DeepLabV3+ with the layers of segmentation_models_pytorch, for networks that were trained there.

Form "smp" takes the whole state dict of its ``DeepLabV3Plus`` (``--weights FILE``) and gives the
same logits, where rows and cols are multiples of 32 and images come in 0..1 (the normalisation that
belongs to the encoder's weights is inside). It is not the paper's form: separable convolutions
without batch norm in between, one more of them behind the ASPP, one instead of two behind the
concatenation, the mean of the whole input as image pooling, interpolation from corner to corner.

Notes
-----
A state dict does not say everything; this is taken for granted: the library's default rates 12, 24,
36 at both output strides (``decoder_atrous_rates`` of other values give other logits), five encoder
stages, and logits without an activation. Encoders go by that library's names: "tu-NAME" is timm's
NAME; "resnet18" and its like are its own, which dilate every convolution of a stage where timm
leaves the first as it is. Other encoders of its own differ too much and are refused by their
weights, which do not fit.

What cannot be as there: prediction by tiles goes by the centers of cells (up to 0.375 cells apart
at the edges of an image, equal in its middle), and image pooling sees the tile, not the image. A
decoder stride above 4 truncates it as it does the other forms.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.deeplabv3plus import Decoder, aspp_stride
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.modules import ConvBlock, initialize
from napari_blockseg.nets.network import ENCODER_REACH, Network, round_up
from napari_blockseg.nets.polyphase import LOW_LEVEL_STRIDE, add_detail, detail_reach
from napari_blockseg.nets.truncation import Way, upsample, way_down
from napari_blockseg.nets.weights import check_fit, read_state_dict

RATES = (12, 24, 36)
WIDTH, LOW_WIDTH = 256, 48
_DROPOUT = 0.5
_TIMM = "tu-"
# From that library's names to ours; all below them are the same.
_PREFIXES = {
    "decoder.aspp.": "aspp.",
    "decoder.block1.": "low_level.",
    "decoder.block2.": "fuse.",
    "segmentation_head.0.": "head.",
}


def timm_name(encoder: str) -> str:
    """Return timm's name of an encoder given by this library's or timm's name."""
    return encoder.removeprefix(_TIMM)


def build_smp(encoder: Encoder, config: NetworkConfig, n_classes: int) -> Network:
    """Return DeepLabV3+ with that library's layers.

    Decoder weights are drawn as in our other forms; :func:`load_decoder` replaces them.
    """
    os, stride = encoder.strides[-1], config.stride
    if config.encoder.startswith("resnet"):
        dilate_whole_stages(encoder, os)
    grid = aspp_stride(config, os)
    low_index = encoder.strides.index(LOW_LEVEL_STRIDE)
    n_low, n_high = encoder.channels[low_index], encoder.channels[-1]
    # The reach in pixels stays where the ASPP works on a coarser grid.
    rates = tuple(rate * os // grid for rate in RATES)
    after: Way = way_down(config.truncation, WIDTH, grid, stride)
    if grid > stride:
        after = partial(upsample, factor=grid // stride, align_corners=True)
    decoder = Decoder(
        nn.Sequential(_ASPP(n_high, rates), *_separable(WIDTH, 1)),
        ConvBlock(n_low, LOW_WIDTH),
        nn.Sequential(*_separable(WIDTH + LOW_WIDTH, 1)),
        nn.Conv2d(WIDTH, n_classes, 1),
        low_index=low_index,
        before_way=way_down(config.truncation, n_high, os, grid),
        after_way=after,
        low_way=way_down(config.truncation, n_low, LOW_LEVEL_STRIDE, stride),
    )
    initialize(decoder)
    logits_stride = add_detail(decoder, config.truncation, stride, n_low, WIDTH, n_classes)
    halo = round_up(rates[-1] * grid + detail_reach(decoder, stride) + ENCODER_REACH)
    return Network(encoder, decoder, stride, halo, align_corners=True, logits_stride=logits_stride)


def load_decoder(network: Network, path: str | Path) -> None:
    """Load the decoder's part of a state dict; a file with an encoder alone is left alone.

    Logits for another number of classes start anew: classes there have no names to go by.

    Raises
    ------
    NetworkError
        If the file cannot be read, or a tensor is missing or has another shape.
    """
    given = read_state_dict(Path(path))
    found = {
        ours + key.removeprefix(theirs): tensor
        for key, tensor in given.items()
        for theirs, ours in _PREFIXES.items()
        if key.startswith(theirs)
    }
    if not found:
        return
    own = network.decoder.state_dict()
    weight = found.get("head.weight")
    if weight is not None and len(weight) != len(own["head.weight"]):
        found |= {key: own[key] for key in ("head.weight", "head.bias")}
    # Ways down and the branch of a truncated decoder are ours.
    ours = {k: own[k] for k in own if k.endswith("_way.weight") or k.startswith("detail.")}
    found |= ours
    check_fit(
        {key: found.get(key) for key in own},
        own,
        f"The decoder in {Path(path).name}",
        "Form smp takes DeepLabV3Plus of segmentation_models_pytorch as it is by default (256 "
        "decoder_channels, separable ASPP, encoder_depth 5).",
    )
    network.decoder.load_state_dict({key: found[key] for key in own})


def dilate_whole_stages(encoder: Encoder, output_stride: int) -> None:
    """Dilate every 3x3 convolution of a ResNet's dilated stages, the first included."""
    for stage, stride in (("layer3", 16), ("layer4", 32)):
        rate = stride // output_stride
        for module in encoder.backbone.get_submodule(stage).modules():
            if rate > 1 and isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.dilation = module.padding = (rate, rate)


class _ASPP(nn.Module):
    """Branches and projection under that library's names."""

    def __init__(self, n_in: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        branches = [nn.Sequential(*_separable(n_in, rate)) for rate in rates]
        self.convs = nn.ModuleList([ConvBlock(n_in, WIDTH), *branches, _GlobalPooling(n_in)])
        project = ConvBlock(WIDTH * len(self.convs), WIDTH)
        self.project = nn.Sequential(*project, nn.Dropout(_DROPOUT))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, 256, rows, cols) from (n, n_in, rows, cols)."""
        seen = [branch(features) for branch in self.convs]
        return self.project(torch.cat(seen, dim=1))  # type: ignore[no-any-return]


class _GlobalPooling(nn.Sequential):
    """The mean of the whole input, everywhere."""

    def __init__(self, n_in: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *ConvBlock(n_in, WIDTH))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, 256, rows, cols) from (n, n_in, rows, cols)."""
        pool, conv, norm, relu = self
        # Batch norm comes after: it cannot train on one value a channel, as a batch of one gives.
        mean = conv(pool(features)).expand(-1, -1, *features.shape[-2:])
        return relu(norm(mean))  # type: ignore[no-any-return]


def _separable(n_in: int, rate: int) -> list[nn.Module]:
    """Return depthwise and 1x1 convolution with nothing between, batch norm, ReLU."""
    depthwise = nn.Conv2d(n_in, n_in, 3, padding=rate, dilation=rate, groups=n_in, bias=False)
    pointwise = nn.Conv2d(n_in, WIDTH, 1, bias=False)
    return [nn.Sequential(depthwise, pointwise), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
