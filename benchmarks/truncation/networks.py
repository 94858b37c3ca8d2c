"""The networks that are timed: a variant of ours, or segmentation_models_pytorch's own."""

from __future__ import annotations

from typing import Any

import torch
from plan import BATCH, DATA, Variant
from torch import Tensor, nn

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.learn.optim import build_optimizer
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost_scaled import AtScale
from napari_blockseg.nets.folding import fold_batch_norm

SIDE, N_CLASSES = 512, 21
#: A training step is that of the study on this data set.
STEP_DATA = "camvid"


class SmpNetwork(nn.Module):
    """segmentation_models_pytorch's DeepLabV3Plus, in the same two steps as ours.

    Parameters
    ----------
    encoder : str
        timm's name.
    """

    def __init__(self, encoder: str) -> None:
        import segmentation_models_pytorch as smp
        from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        super().__init__()
        model = smp.DeepLabV3Plus(f"tu-{encoder}", encoder_weights=None, classes=N_CLASSES)
        self.encoder, self.decoder, self.head = (
            model.encoder,
            model.decoder,
            model.segmentation_head,
        )
        self.register_buffer("mean", torch.tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits for images in 0..1, rows and cols multiples of 16."""
        return self.to_image(self.coarse_logits(images), images)

    def coarse_logits(self, images: Tensor) -> Tensor:
        """Return logits at stride 4; the normalisation of images is part of it, as in ours."""
        images = (images - self.mean) / self.std
        return self.head[0](self.decoder(self.encoder(images)))  # type: ignore[no-any-return]

    def to_image(self, coarse: Tensor, images: Tensor) -> Tensor:
        """Return coarse logits on the images' pixels."""
        return self.head[1](coarse)  # type: ignore[no-any-return]


def make_network(variant: Variant) -> SmpNetwork | AtScale:
    """Return a variant with random weights, in training form; it takes images of full size."""
    config = NetworkConfig(**{"shortcut": False, **variant.network, "weights": "none"})
    if variant.real_smp:
        return SmpNetwork(config.encoder)
    return AtScale(build_network(config, N_CLASSES), variant.scale)


def for_inference(variant: Variant) -> SmpNetwork | AtScale:
    """Return a variant as prediction runs it: batch norm folded, channels last."""
    network = make_network(variant).eval()
    if isinstance(network, AtScale):
        network.network = fold_batch_norm(network.network, 3)
    else:
        network = fold_batch_norm(network, 3)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_image() -> Tensor:
    """Return the image that is predicted: values do not matter."""
    image = torch.rand(1, 3, SIDE, SIDE)
    return image.contiguous(memory_format=torch.channels_last)


class Training:
    """Training steps of a variant as the study trains it on one data set, on random crops.

    A step is: forward, cross-entropy of every pixel of the crop, backward, clipping, AdamW. Drawing
    crops and the running mean of the weights are left out: they are the same for all. The input at
    half scale has crops of the same content, as in the study.

    Parameters
    ----------
    variant : Variant
        Which network.
    """

    def __init__(self, variant: Variant) -> None:
        made = make_network(variant)
        network = made.network if isinstance(made, AtScale) else made
        self._network = network.train().to(memory_format=torch.channels_last)
        self._optimizer = build_optimizer(self._network, TrainConfig())
        side, batch = crop_side(variant), BATCH[STEP_DATA]
        images = torch.rand(batch, 3, side, side)
        self._images = images.contiguous(memory_format=torch.channels_last)
        self._labels = torch.randint(0, N_CLASSES, (batch, side, side))

    def step(self) -> None:
        """Take one step."""
        logits = self._network(self._images)
        loss: Any = nn.functional.cross_entropy(logits, self._labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        self._optimizer.step()


def crop_side(variant: Variant) -> int:
    """Return the side of a crop in pixels of the network's input, a multiple of 32."""
    return -(-round(DATA[STEP_DATA].crop * variant.scale) // 32) * 32
