"""What training adds to the loss of labelled cells, as its config says."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.learn.devices import mixed_precision
from napari_blockseg.learn.losses.crf import gated_crf
from napari_blockseg.learn.losses.pseudo import confident_guesses, pseudo_loss, ramp_up
from napari_blockseg.learn.losses.target import Target
from napari_blockseg.nets.network import Network


class ExtraTerms:
    """The terms for what lies between labels: gated CRF, and pseudo-labels.

    Parameters
    ----------
    config : TrainConfig
        ``gated_crf`` and ``pseudo_labels`` are their weights; 0 leaves a term out, at no cost.
    teacher : Network
        Makes the pseudo-labels: the running mean of the weights, in eval mode.
    """

    def __init__(self, config: TrainConfig, teacher: Network) -> None:
        self._config = config
        self._teacher = teacher

    def __call__(
        self,
        logits: Tensor,
        images: Tensor,
        targets: list[Target],
        weights: Tensor,
        progress: float,
    ) -> Tensor:
        """Return the weighted sum of the terms for one batch, a scalar.

        Parameters
        ----------
        logits : (n, classes, rows, cols) tensor
            Of the network in training.
        images : (n, channels, rows, cols) tensor
            The crops, in 0..1.
        targets : list of n Target
            Their labels.
        weights : (classes,) float tensor
            Weight of each class.
        progress : float
            Share of the run that is done; pseudo-labels gain weight with it.
        """
        total = logits.new_zeros((), dtype=torch.float32)
        if self._config.gated_crf:
            inside = torch.stack([target.inside(*images.shape[-2:]) for target in targets])
            total = total + self._config.gated_crf * gated_crf(logits, images, inside)
        if self._config.pseudo_labels:
            with torch.no_grad(), mixed_precision(images.device):
                guessed = self._teacher(images)
            guesses = confident_guesses(guessed, targets)
            weight = self._config.pseudo_labels * ramp_up(progress)
            loss = pseudo_loss(logits, guesses, targets, weights, self._config.loss)
            total = total + weight * loss
        return total
