"""The head as a model like any other: what previews can be kept, predict, explain, be exported."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.learn.checkpoint import Model, ModelSpec, library_versions
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.head import Head
from napari_blockseg.learn.interactive.painted import PaintedPlanes
from napari_blockseg.nets import smp
from napari_blockseg.nets.linear import build_linear
from napari_blockseg.nets.network import Network


class HeadModels:
    """Makes models of heads, all on one copy of the encoder.

    Parameters
    ----------
    foundation : Foundation
        Its encoder is the one that the heads' features are from.
    painted : PaintedPlanes
        What the heads are fitted to.
    classes : sequence of ClassInfo
        The classes.
    config : TrainConfig
        As it was asked for.
    """

    def __init__(
        self,
        foundation: Foundation,
        painted: PaintedPlanes,
        classes: Sequence[ClassInfo],
        config: TrainConfig,
    ) -> None:
        self._foundation, self._painted = foundation, painted
        self._classes, self._config = tuple(classes), config
        self._network_config = linear_config(foundation.config)
        self._made: tuple[Head, Network] | None = None

    def rename(self, classes: Sequence[ClassInfo]) -> None:
        """Give the classes other names or colors."""
        self._classes = tuple(classes)

    def model(
        self, head: Head, miou: float | None, iou: dict[str, float | None], seconds: float
    ) -> Model:
        """Return the model of a head.

        Parameters
        ----------
        head : Head
            Fitted to what is painted.
        miou, iou
            Its held-out scores, of all classes and each; None and empty before it was scored.
        seconds : float
            Since the session began.
        """
        device = self._foundation.maker.encoder.device
        if self._made is None or self._made[0] is not head:
            self._made = (head, self._network(head).to(device))
        return Model(self._spec(miou, iou, seconds), self._made[1], device)

    @torch.no_grad()
    def _network(self, head: Head) -> Network:
        if self._made is None:
            # The foundation's own must stay able to learn.
            encoder = copy.deepcopy(self._foundation.network.encoder)
            network = build_linear(encoder, self._network_config, len(self._classes))
            network.eval().requires_grad_(False)
        else:
            network = self._made[1]
        weight, bias = head.folded()
        linear = network.decoder.get_submodule("head")
        linear.get_parameter("weight").copy_(weight.T[:, :, None, None])
        linear.get_parameter("bias").copy_(bias)
        return network

    def _spec(self, miou: float | None, iou: dict[str, float | None], seconds: float) -> ModelSpec:
        name, plane = next(iter(self._painted.planes.items()))
        return ModelSpec(
            classes=self._classes,
            network=self._network_config,
            train=self._config,
            normalization=plane.normalization,
            n_channels=plane.pixels.shape[-1],
            block=self._painted.grids[name].block,
            scale=plane.grid.scale,
            seconds=seconds,
            n_labelled_blocks=int(self._painted.counts.sum()),
            val_miou=miou,
            val_iou=iou,
            versions=library_versions(),
        )


def linear_config(config: NetworkConfig) -> NetworkConfig:
    """Return the config of a head on the encoder of another network."""
    own = config.form != "smp"
    return NetworkConfig(
        network="linear",
        encoder=config.encoder if own else smp.timm_name(config.encoder),
        weights=config.weights if own else "none",
        output_stride=config.output_stride,
        decoder_stride=4,
    )
