"""Pseudo-labels: what a steadier network is sure of, where nobody labelled."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_blockseg.learn.losses.labelled import Loss, crop_losses
from napari_blockseg.learn.losses.target import Target, block_mean

#: Mean chance over a block from which on the guess is taken for a label.
CONFIDENT = 0.95
#: Share of a run over which pseudo-labels gain their full weight.
RAMP = 0.3


def ramp_up(progress: float) -> float:
    """Return the share of its full weight that a term has at a share of the run.

    Parameters
    ----------
    progress : float
        Share of the run, 0 to 1.

    Notes
    -----
    ``exp(-5 (1 - t)^2)`` with t rising to 1 over the first 30 % of the run: S. Laine, T. Aila,
    "Temporal Ensembling for Semi-Supervised Learning" (ICLR 2017), who take 27 %.
    """
    return math.exp(-5 * (1 - min(1.0, max(0.0, progress / RAMP))) ** 2)


@torch.no_grad()
def confident_guesses(
    logits: Tensor, targets: list[Target], threshold: float = CONFIDENT
) -> list[Target]:
    """Return targets that hold, on unlabelled cells, the classes that a network is sure of.

    Parameters
    ----------
    logits : (n, classes, rows, cols) tensor
        Of the crops, by the network that guesses.
    targets : list of n Target
        Their labels.
    threshold : float
        A guess counts from this mean chance over the cell's pixels on.

    Returns
    -------
    list of n Target
        -1 where a cell is labelled, the network is not sure, or nothing belongs to the image.
    """
    return [
        target.with_cells(_guess(one, target, threshold))
        for one, target in zip(logits, targets, strict=True)
    ]


def _guess(logits: Tensor, target: Target, threshold: float) -> Tensor:
    chance, guess = block_mean(target.fit(logits).softmax(0), target).max(0)
    taken = (chance >= threshold) & (target.cells < 0) & target.has_image()
    return torch.where(taken, guess, -1)


def pseudo_loss(
    logits: Tensor, guesses: list[Target], targets: list[Target], weights: Tensor, kind: Loss
) -> Tensor:
    """Return the loss of confident guesses, a mean over all unlabelled cells of a batch.

    Parameters
    ----------
    logits : (n, classes, rows, cols) tensor
        Of the network in training.
    guesses : list of n Target
        From :func:`confident_guesses`, by another network (the running mean of the weights).
    targets : list of n Target
        The labels.
    weights : (classes,) float tensor
        Weight of each class.
    kind : {"block", "pixel", "logits", "soft"}
        The loss, as that of labelled cells.

    Notes
    -----
    ``1/U sum_{u: max_c t_c(u) >= 0.95} w_g L(u, g)`` over the U unlabelled cells u, with t the mean
    chances by the guessing network and g its guess. Guesses as labels: D.-H. Lee (ICML workshop
    2013); by the mean of the weights: A. Tarvainen, H. Valpola (NeurIPS 2017); the threshold, and
    dividing by all unlabelled cells so that the term grows as guesses get sure: K. Sohn et al.,
    "FixMatch" (NeurIPS 2020).
    """
    parts = [crop_losses(one, guess, kind) for one, guess in zip(logits, guesses, strict=True)]
    losses = torch.cat([losses for losses, _ in parts])
    weight = weights[torch.cat([classes for _, classes in parts])]
    unlabelled = sum(int(((one.cells < 0) & one.has_image()).sum()) for one in targets)
    return (losses * weight).sum() / max(1, unlabelled) + 0.0 * logits.sum()
