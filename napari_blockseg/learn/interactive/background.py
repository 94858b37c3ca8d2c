"""The whole network, learning behind the head that previews: no end, a piece at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.learn.checkpoint import Model, ModelSpec, library_versions, save_model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.dataset import Dataset
from napari_blockseg.learn.devices import mixed_precision
from napari_blockseg.learn.interactive.carrying import FROM_HEAD, Learned
from napari_blockseg.learn.interactive.features import FrozenEncoder
from napari_blockseg.learn.interactive.head import Head, put_head
from napari_blockseg.learn.losses import ExtraTerms, batch_loss, class_weights
from napari_blockseg.learn.optim import MeanWeights, build_optimizer, set_learning_rate
from napari_blockseg.nets.build import draws_decoder
from napari_blockseg.nets.modules import keep_center_taps
from napari_blockseg.nets.network import Network, pad_to_multiple
from napari_blockseg.nets.stages import pixel_stage
from napari_blockseg.nets.truncation import upsample

#: Share of the configured rate: there is no schedule that would bring it down in the end.
RATE_SHARE = 0.15
WARM_UP = 10
MAX_GRADIENT = 5.0
#: Steps after which terms that come in slowly are there in full.
_SETTLED = 1000
#: On a processor a piece of a step has to be short: strokes wait for it.
_CPU_CROP, _CPU_BATCH, _CPU_PIECES = 192, 2, 2

Note = Callable[[str, str], None]


class Background:
    """A network that learns from block labels piece by piece, beginning with a head.

    A network with a shortcut begins as the head: its shortcut is given the head's weights, and its
    decoder adds nothing. Without one, the first steps teach the decoder what the head has found,
    for every pixel of a crop, labelled or not. In these steps the encoder's features are the frozen
    ones; then all of it learns from the labels. Batch norm of the encoder stays fixed. Atrous
    convolutions that were drawn begin with their central taps alone: a preview after a hundred
    steps has no time to unlearn what the others say (decision 028).

    Parameters
    ----------
    network : Network
        To begin with; a copy is trained.
    frozen : FrozenEncoder
        A copy of its encoder, which the head is made for.
    images : sequence of TrainingImage
        With the labels to train on.
    classes, network_config, config
        As for a training.
    note : callable
        Takes (message, level) for what the user should know.
    learned : Learned, optional
        What goes on learning in place of `network`, and begins with no head.
    """

    def __init__(
        self,
        network: Network,
        frozen: FrozenEncoder,
        images: Sequence[TrainingImage],
        classes: Sequence[ClassInfo],
        network_config: NetworkConfig,
        config: TrainConfig,
        note: Note,
        learned: Learned | None = None,
    ) -> None:
        on_cpu = frozen.device.type == "cpu"
        self._classes = tuple(classes)
        self._network_config, self._asked = network_config, config
        sizes = {"crop": min(config.crop, _CPU_CROP), "batch_size": _CPU_BATCH} if on_cpu else {}
        self._config = config.model_copy(update={"validation": False, **sizes})
        self._pieces = _CPU_PIECES if on_cpu else 1
        self._frozen, self.device = frozen, frozen.device
        self._network = copy.deepcopy(network) if learned is None else learned.network
        if learned is None and draws_decoder(network_config):
            keep_center_taps(self._network.decoder)
        self._network.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = build_optimizer(self._network, config)
        self._mean = MeanWeights(self._network)
        self._extra_terms = ExtraTerms(self._config, self._mean.network)
        self.step = self._began_at = 0 if learned is None else max(learned.step, FROM_HEAD)
        self._piece = 0
        self._loss = 0.0
        self._begun_with: Head | None = None
        self.read(images, note)

    def read(self, images: Sequence[TrainingImage], note: Note) -> None:
        """Take other images to learn from; what was learned stays."""
        rng = np.random.default_rng([self._config.seed, self.step])
        self._data = Dataset(images, self._classes, self._config, rng, None, note)
        self._weigh_classes()

    def rename(self, classes: Sequence[ClassInfo]) -> None:
        """Give the classes other names or colors."""
        self._classes = tuple(classes)

    def update(self, changed: Mapping[str, BlockLabels]) -> None:
        """Take over labels to train on that changed, by name of the plane."""
        self._data.update(changed)
        if self._data.sampler.counts.sum():
            self._weigh_classes()

    @property
    def names(self) -> list[str]:
        """Planes that it learns from."""
        return self._data.ids

    @property
    def learning_rate(self) -> float:
        """Of the decoder, at the last step."""
        warm = min(1.0, (self.step - self._began_at) / WARM_UP)
        return RATE_SHARE * warm * self._config.learning_rate

    @property
    def can_learn(self) -> bool:
        """Whether there is a label to train on."""
        return bool(self._data.sampler.counts.sum())

    def learn(self, head: Head | None) -> float | None:
        """Learn from one piece of a step.

        Parameters
        ----------
        head : Head or None
            What the network begins with.

        Returns
        -------
        float or None
            The step's mean loss, when this piece was its last.
        """
        from_head = head is not None and self.step < FROM_HEAD
        self._set_mode(from_head)
        if from_head and head is not None:
            self._begin_with(head)
        batch = self._data.sampler.draw(self._config.batch_size)
        images = pad_to_multiple(batch.images.float(), 32)
        images = images.to(self.device, memory_format=torch.channels_last)
        with mixed_precision(self.device):
            with torch.set_grad_enabled(not from_head):
                seen = self._network.encoder(images)
            logits = self._network.decode(images, seen)
        learns_head = from_head and head is not None and self._network.shortcut is None
        said = self._said(head, images, seen) if learns_head and head is not None else None
        logits = logits.float()
        network = self._network
        full = upsample(logits, network.logits_stride, network.align_corners)
        rows, cols = batch.images.shape[-2:]
        targets = [target.to(self.device) for target in batch.targets]
        full, images = full[..., :rows, :cols], images[..., :rows, :cols]
        loss = batch_loss(full, targets, self._weights, self._config.loss)
        progress = min(1.0, self.step / _SETTLED)
        loss = loss + self._extra_terms(full, images, targets, self._weights, progress)
        if said is not None:
            loss = loss + _distance(logits, said)
        (loss / self._pieces).backward()  # type: ignore[no-untyped-call]
        self._loss += float(loss.detach()) / self._pieces
        self._piece += 1
        return self._take_step() if self._piece == self._pieces else None

    def model(self, val_miou: float | None, seconds: float) -> Model:
        """Return the running mean of the network; it changes with the next step."""
        spec = self._spec(val_miou, {}).model_copy(update={"seconds": seconds})
        return Model(spec, self._mean.network, self.device)

    def save(
        self, folder: Path, val_miou: float | None, iou: dict[str, float | None], seconds: float
    ) -> None:
        """Write the running mean as a model."""
        spec = self._spec(val_miou, iou).model_copy(update={"seconds": seconds})
        save_model(folder, spec, self._mean.network.state_dict())

    def _begin_with(self, head: Head) -> None:
        """Let the shortcut say what the head says; the decoder goes on with what it adds."""
        shortcut, begun_with = self._network.shortcut, self._begun_with
        if shortcut is None or head is begun_with:
            return
        if begun_with is None:
            put_head(self._network, head)
            self._mean = MeanWeights(self._network)
            self._extra_terms = ExtraTerms(self._config, self._mean.network)
        for network in (self._network, self._mean.network):
            if network.shortcut is not None:
                head.put_into(network.shortcut)
        self._begun_with = head

    def _set_mode(self, from_head: bool) -> None:
        self._network.train()
        self._network.encoder.eval()
        self._network.encoder.requires_grad_(not from_head)

    @torch.no_grad()
    def _said(self, head: Head, images: Tensor, seen: list[Tensor]) -> Tensor:
        """Return the head's probabilities for crops whose features are at hand."""
        stages = [pixel_stage(images), *self._frozen.on_grid(seen)]
        found = head.coarse([stage.float().cpu() for stage in stages], self._frozen.strides)
        return found.to(self.device).softmax(1)

    def _take_step(self) -> float:
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), MAX_GRADIENT)
        self.step += 1
        set_learning_rate(self._optimizer, self.learning_rate)
        if torch.isfinite(norm):
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._mean.update(self._network, self.step)
        loss, self._loss, self._piece = self._loss, 0.0, 0
        return loss

    def _weigh_classes(self) -> None:
        counts = torch.from_numpy(self._data.sampler.counts)
        self._weights = class_weights(counts, self._config.class_balance).to(self.device)

    def _spec(self, val_miou: float | None, iou: dict[str, float | None]) -> ModelSpec:
        data = self._data
        return ModelSpec(
            classes=self._classes,
            network=self._network_config,
            train=self._asked,
            normalization=data.normalization,
            n_channels=data.n_channels,
            block=data.block,
            scale=data.grid.scale,
            steps=self.step,
            n_labelled_blocks=data.n_train_blocks,
            val_miou=val_miou,
            val_iou=iou,
            versions=library_versions(),
        )


def _distance(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits against probabilities on the LRG."""
    if logits.shape[-2:] != wanted.shape[-2:]:
        wanted = F.interpolate(wanted, size=logits.shape[-2:], mode="area")
    return -(wanted * logits.log_softmax(1)).sum(1).mean()
