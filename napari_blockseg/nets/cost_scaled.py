"""A network that looks at a smaller image than the one it is given."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from napari_blockseg.nets.network import Network


class AtScale(nn.Module):
    """Shrinks images, runs a network, and brings its logits back to the images' grid.

    At scale 1 it is the network itself.

    Parameters
    ----------
    network : Network
        What runs.
    scale : float
        Pixels of the network's input per pixel of the image, above 0 and at most 1.
    """

    def __init__(self, network: Network, scale: float) -> None:
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes, rows, cols) for images (n, channels, rows, cols)."""
        if self.scale == 1:
            return self.network(images)  # type: ignore[no-any-return]
        return self.to_image(self.coarse_logits(images), images)

    def coarse_logits(self, images: Tensor) -> Tensor:
        """Return the network's logits on their own grid; the shrinking is part of it."""
        return self.network.coarse_logits(shrink(images, self.scale))

    def to_image(self, coarse: Tensor, images: Tensor) -> Tensor:
        """Return coarse logits on the images' pixels: in one step, whatever the scale."""
        rows, cols = images.shape[-2:]
        network = self.network
        full = F.interpolate(
            coarse,
            scale_factor=network.logits_stride / self.scale,
            mode="bilinear",
            align_corners=network.align_corners,
        )
        return full[..., :rows, :cols]


def shrink(images: Tensor, scale: float) -> Tensor:
    """Return images at a scale, antialiased, as training and prediction shrink them."""
    if scale == 1:
        return images
    size = [round(length * scale) for length in images.shape[-2:]]
    return F.interpolate(images, size, mode="bilinear", antialias=True)
