"""A linear head on an encoder's stages: what interactive mode previews with, as a network."""

from __future__ import annotations

from torch import Tensor

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.modules import initialize
from napari_blockseg.nets.network import ENCODER_REACH, Network, round_up
from napari_blockseg.nets.stages import FINEST, LinearHead, pixel_stage


class PixelsAndStages(Encoder):
    """An encoder with the pixels of each cell as its first stage; its weights have the same names.

    Parameters
    ----------
    encoder : Encoder
        Shared, not copied.
    """

    def __init__(self, encoder: Encoder) -> None:
        channels = (2 * encoder.n_channels, *encoder.channels)
        super().__init__(encoder.backbone, channels, (FINEST, *encoder.strides), (), ())
        self.mean, self.std = encoder.mean, encoder.std

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the stages of images (n, channels, rows, cols) in 0..1, that of pixels first."""
        # A root has no gradient at 0, and nothing learns here.
        return [pixel_stage(images.detach()), *super().forward(images)]


def build_linear(encoder: Encoder, config: NetworkConfig, n_classes: int) -> Network:
    """Return a linear head on all stages of an encoder and the pixels."""
    stages = PixelsAndStages(encoder)
    decoder = LinearHead(stages.channels, stages.strides, n_classes, config.stride)
    initialize(decoder)
    return Network(stages, decoder, config.stride, round_up(ENCODER_REACH + config.stride))
