"""One step of gradient descent: forward, loss, backward, the optimizer, the running mean."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.learn.devices import half_precision, mixed_precision
from napari_blockseg.learn.losses import ExtraTerms, batch_loss
from napari_blockseg.learn.optim import MeanWeights, build_optimizer, set_learning_rate
from napari_blockseg.learn.sampling import Batch
from napari_blockseg.nets.network import Network

MAX_GRADIENT = 5.0
MAX_BAD_STEPS = 20


class Descent:
    """What moves the weights of a network.

    Parameters
    ----------
    network : Network
        On the device; changes in place.
    config : TrainConfig
        The loss, its extra terms, the optimizer.
    device : torch.device
        Where it computes.

    Attributes
    ----------
    mean : MeanWeights
        The running mean of the weights, for whoever counts the steps to update.
    optimizer : torch.optim.Optimizer
        Its state is part of a run's.
    """

    def __init__(self, network: Network, config: TrainConfig, device: torch.device) -> None:
        self._network = network
        self._config = config
        self._device = device
        self.optimizer = build_optimizer(network, config)
        self.mean = MeanWeights(network)
        self._extra_terms = ExtraTerms(config, self.mean.network)
        self._scaler = torch.amp.GradScaler(
            device.type, enabled=half_precision(device) == torch.float16
        )
        self._bad_steps = 0

    def step(self, batch: Batch, weights: Tensor, rate: float, progress: float) -> float:
        """Descend along the gradient of one batch; return its loss.

        Parameters
        ----------
        batch : Batch
            Crops and their labels.
        weights : (classes,) tensor
            Of the classes.
        rate : float
            Learning rate.
        progress : float
            Share of the run that is done.
        """
        set_learning_rate(self.optimizer, rate)
        self._network.train()
        images = batch.images.to(self._device, memory_format=torch.channels_last)
        targets = [target.to(self._device) for target in batch.targets]
        with mixed_precision(self._device):
            logits = self._network(images)
        loss = batch_loss(logits, targets, weights, self._config.loss)
        loss = loss + self._extra_terms(logits, images, targets, weights, progress)
        self.forget()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self._network.parameters(), MAX_GRADIENT)
        if self._scaler.is_enabled() or torch.isfinite(norm):
            self._scaler.step(self.optimizer)
        self._scaler.update()
        return float(loss.detach())

    def forget(self) -> None:
        """Drop the gradients."""
        self.optimizer.zero_grad(set_to_none=True)

    def check(self, loss: float) -> None:
        """Count steps whose loss is no finite number.

        Raises
        ------
        ModelError
            After too many of them in a row.
        """
        self._bad_steps = 0 if abs(loss) < float("inf") else self._bad_steps + 1
        if self._bad_steps >= MAX_BAD_STEPS:
            raise ModelError(
                f"The loss has not been a finite number for {MAX_BAD_STEPS} steps; training went "
                f"astray at learning rate {self._config.learning_rate:g}. Use a smaller one."
            )
