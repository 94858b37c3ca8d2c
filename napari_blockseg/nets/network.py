"""What every network is: an encoder, a decoder on a grid, and logits at any image size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.stages import FINEST, LinearHead, pixel_stage
from napari_blockseg.nets.truncation import upsample

MULTIPLE = 32
#: Pixels beyond its own cell that an encoder is given to look at; measured, with 112 pixels more
#: tiles agree.
ENCODER_REACH = 7 * 16


class Network(nn.Module):
    """Images in, logits out.

    Parameters
    ----------
    encoder : Encoder
        Features at several strides; takes images in 0..1.
    decoder : nn.Module
        From the encoder's features to logits on the decoder's grid.
    decoder_stride : int
        Pixels per cell of that grid.
    halo : int
        Pixels of context that a tile needs around it, a multiple of 32.
    align_corners : bool
        Whether logits are spread from corner to corner, as some libraries do, and not by the
        centers of cells. Prediction by tiles goes by the centers, always.
    logits_stride : int, optional
        Pixels per cell of the coarse logits; by default those of the decoder's grid. A decoder can
        give several logits a cell.

    Attributes
    ----------
    shortcut : LinearHead or None
        What is added to the decoder's logits; see :meth:`add_shortcut`.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: nn.Module,
        decoder_stride: int,
        halo: int,
        align_corners: bool = False,
        logits_stride: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.decoder_stride = decoder_stride
        self.output_stride = encoder.strides[-1]
        self.halo = halo
        self.align_corners = align_corners
        self.logits_stride = logits_stride or decoder_stride
        self.shortcut: LinearHead | None = None
        #: All coarse logits pass through: whoever wants them listens here.
        self.logits = nn.Identity()

    def add_shortcut(self, n_classes: int) -> None:
        """Add a linear map of the pixels and of every stage of the encoder, on the decoder's grid.

        It starts at zero. Its weights can be found in seconds with the encoder as it is (they are a
        convex problem), so that the decoder has to learn only what a linear map cannot say.
        """
        channels = (2 * self.encoder.n_channels, *self.encoder.channels)
        strides = (FINEST, *self.encoder.strides)
        # What its convolution draws is not wanted: with or without, all else is drawn alike.
        with torch.random.fork_rng(devices=[]):
            self.shortcut = LinearHead(channels, strides, n_classes, self.decoder_stride)
        for parameter in self.shortcut.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes, rows, cols) for images (n, channels, rows, cols) in 0..1."""
        rows, cols = images.shape[-2:]
        logits = upsample(self.coarse_logits(images), self.logits_stride, self.align_corners)
        return logits[..., :rows, :cols]

    def coarse_logits(self, images: Tensor) -> Tensor:
        """Return logits on the grid of `logits_stride`.

        Returns
        -------
        (n, classes, cell rows, cell cols) tensor
            Covers the image padded at its bottom and right to a multiple of 32 pixels.

        Raises
        ------
        NetworkError
            If the images have another number of channels than the network.
        """
        if images.ndim != 4 or images.shape[1] != self.encoder.n_channels:
            raise NetworkError(
                f"Got images of shape {tuple(images.shape)}; this network takes (n, "
                f"{self.encoder.n_channels}, rows, cols). Give images with "
                f"{self.encoder.n_channels} channel(s) or build a network for yours."
            )
        padded = pad_to_multiple(images, MULTIPLE)
        return self.decode(padded, self.encoder(padded))

    def decode(self, images: Tensor, features: list[Tensor]) -> Tensor:
        """Return coarse logits from images, sides multiples of 32, and the encoder's features."""
        logits: Tensor = self.decoder(features)
        if self.shortcut is None:
            return self.logits(logits)  # type: ignore[no-any-return]
        # A root, that of the deviation, has no gradient at 0, and pixels do not learn.
        linear: Tensor = self.shortcut([pixel_stage(images.detach()), *features])
        added = upsample(linear, self.decoder_stride // self.logits_stride)
        return self.logits(logits + added.to(logits.dtype))  # type: ignore[no-any-return]


def pad_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Return images continued by their last row and column to a multiple of pixels."""
    rows, cols = images.shape[-2:]
    below, right = -rows % multiple, -cols % multiple
    if not below and not right:
        return images
    return F.pad(images, (0, right, 0, below), mode="replicate")


def round_up(pixels: int) -> int:
    """Return the next multiple of 32 pixels."""
    return -(-pixels // MULTIPLE) * MULTIPLE
