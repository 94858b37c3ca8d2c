"""Encoders from timm: features at several strides, with pretrained weights for any channels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.same_padding import without_padded_copies
from napari_blockseg.nets.weights import load_file_weights, load_imagenet_weights

GOOD_ENCODERS = (
    "tf_efficientnet_lite0",
    "resnet18",
    "resnet50",
    "mobilenetv2_100",
    "regnety_004",
    "mobilenetv3_large_100",
)


class Encoder(nn.Module):
    """A timm backbone with its normalisation.

    Parameters
    ----------
    backbone : nn.Module
        timm's ``features_only`` form.
    channels, strides : sequence of int
        Of each of its feature maps, fine to coarse.
    mean, std : sequence of float
        Of each input channel, for images in 0..1.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        strides: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    @property
    def n_channels(self) -> int:
        """Channels of the images it takes."""
        return self.mean.shape[1]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return feature maps, fine to coarse, of images (n, channels, rows, cols) in 0..1."""
        return self.backbone((images - self.mean) / self.std)  # type: ignore[no-any-return]


def build_encoder(name: str, weights: str, n_channels: int, output_stride: int) -> Encoder:
    """Build an encoder by name.

    Parameters
    ----------
    name : str
        A timm model that accepts ``output_stride``.
    weights : str
        "imagenet", "none", or the path of a state dict (.safetensors or .pth).
    n_channels : int
        Channels of the images.
    output_stride : int
        Pixels per cell of the last features: 8 or 16.

    Raises
    ------
    NetworkError
        If timm does not know the name, or the model cannot be dilated, or the weights cannot be
        had.
    """
    backbone = _dilated_backbone(name, output_stride)
    mean, std = _normalization(name)
    if weights == "imagenet":
        mean, std = load_imagenet_weights(backbone, name) or (mean, std)
    elif weights != "none":
        load_file_weights(backbone, weights)
    channels, strides = backbone.feature_info.channels(), backbone.feature_info.reduction()
    mean, std = _adapt_first_conv(backbone, mean, std, n_channels)
    return Encoder(backbone, channels, strides, mean, std)


def _dilated_backbone(name: str, output_stride: int) -> Any:
    known = timm.list_models()
    if name.split(".")[0] not in known:
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
        raise NetworkError(
            f"Got encoder {name!r}, which timm does not have. Near it: {', '.join(near) or 'none'}."
            f" Encoders that are known to work: {', '.join(GOOD_ENCODERS)}."
        )
    try:
        backbone: Any = timm.create_model(name, features_only=True, output_stride=output_stride)
        strides = backbone.feature_info.reduction()
    # Each family of timm refuses in its own way: an unknown argument, an assertion, a missing hook.
    except (TypeError, AssertionError, AttributeError, RuntimeError, ValueError) as error:
        raise _not_dilatable(name, output_stride) from error
    if strides[-1] != output_stride or 4 not in strides:
        raise _not_dilatable(name, output_stride)
    without_padded_copies(backbone)
    return backbone


def _not_dilatable(name: str, output_stride: int) -> NetworkError:
    return NetworkError(
        f"Got encoder {name!r}, which has no form with output stride {output_stride} and features "
        "at stride 4; DeepLabV3+ needs both. Choose a convolutional encoder, for instance: "
        f"{', '.join(GOOD_ENCODERS)}."
    )


def _normalization(name: str) -> tuple[Sequence[float], Sequence[float]]:
    found = timm.get_pretrained_cfg(name)
    return (found.mean, found.std) if found is not None else ((0.5,) * 3, (0.5,) * 3)


def _adapt_first_conv(
    backbone: nn.Module, mean: Sequence[float], std: Sequence[float], n_channels: int
) -> tuple[list[float], list[float]]:
    """Make the first convolution take `n_channels`; return mean and std for them.

    One channel g: the result equals the original on the grey image (g, g, g), except for the
    zero padding of encoders whose channels have unequal means. More: the weights are repeated and
    scaled by 3 / n, so that activations keep their size.
    """
    if n_channels == 3:
        return list(mean), list(std)
    conv = next(
        module
        for module in backbone.modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == 3
    )
    old = conv.weight.detach()
    conv.in_channels = n_channels
    if n_channels > 3:
        pick = [i % 3 for i in range(n_channels)]
        conv.weight = nn.Parameter(old[:, pick] * (3 / n_channels))
        return [mean[i] for i in pick], [std[i] for i in pick]
    # sum_c w_c (g - m_c) / s_c = w (g - m) / s + constant, with m and s the means of m_c and s_c.
    m, s = sum(mean) / 3, sum(std) / 3
    scale = torch.tensor([s / part for part in std]).view(1, 3, 1, 1)
    shift = torch.tensor([(m - mean[i]) / std[i] for i in range(3)]).view(1, 3, 1, 1)
    folded = (old * scale).sum(1, keepdim=True)
    conv.weight = nn.Parameter(folded.repeat(1, n_channels, 1, 1) / n_channels)
    constant = (old * shift).sum((1, 2, 3))
    if constant.abs().max() > 1e-6:
        before = 0.0 if conv.bias is None else conv.bias.detach()
        conv.bias = nn.Parameter(before + constant)
    return [m] * n_channels, [s] * n_channels
