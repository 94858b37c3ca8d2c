"""Cross-entropy that ignores unlabelled blocks: of pixels, of blocks' mean softmax, of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_blockseg.nets.truncation import upsample

_EPS = 1e-6
#: Blocks along a side of the group whose class fractions are one soft label.
SOFT_CELLS = 2

Loss = Literal["block", "pixel", "soft"]


@dataclass(frozen=True)
class Target:
    """What one crop should become.

    Parameters
    ----------
    cells : (rows, cols) int64 tensor
        Class index per label cell, -1 = unlabelled.
    side : int
        Pixels of the logits per cell.
    split : int
        Cells per pixel of the logits along an axis; above 1 only where `side` is 1.
    valid : (rows, cols) bool tensor or None
        Which pixels of the crop belong to the image; None = all.
    """

    cells: Tensor
    side: int
    split: int = 1
    valid: Tensor | None = None

    def to(self, device: torch.device) -> Target:
        """Return the same on another device."""
        valid = None if self.valid is None else self.valid.to(device)
        return Target(self.cells.to(device), self.side, self.split, valid)


def crop_losses(logits: Tensor, target: Target, kind: Loss) -> tuple[Tensor, Tensor]:
    """Return the loss of every labelled cell (or pixel) of one crop, and its class.

    Parameters
    ----------
    logits : (classes, rows, cols) tensor
        Of the crop; the cells lie at its upper left.
    target : Target
        The labels.
    kind : {"block", "pixel", "soft"}
        "block": ``-log mean_{pixels of the block} softmax``; "pixel": the mean over the block's
        pixels of ``-log softmax``, so that blocks weigh the same in both; "soft": ``-log`` of the
        softmax averaged over the labelled part of a group of 2 x 2 cells. Over a group that adds
        up to the cross-entropy of its class fractions (a soft label) times its labelled cells.

    Returns
    -------
    losses : (n,) float tensor
        One per labelled cell.
    classes : (n,) int64 tensor
        Class index of each.
    """
    if target.split > 1:
        logits = upsample(logits[None], target.split)[0]
    rows, cols = target.cells.shape[0] * target.side, target.cells.shape[1] * target.side
    logits = logits[:, :rows, :cols].float()
    labelled = target.cells >= 0
    classes = target.cells[labelled]
    if kind == "soft":
        scores = _group_mean(_block_mean(logits.softmax(0), target), labelled)
        scores = scores.clamp_min(_EPS).log()
    elif target.side == 1:
        scores = F.log_softmax(logits, 0)
    elif kind == "block":
        mean = _block_mean(logits.softmax(0), target)
        scores = mean.clamp_min(_EPS).log()
    else:
        scores = _block_mean(F.log_softmax(logits, 0), target)
    per_cell = scores.permute(1, 2, 0)[labelled]
    return -per_cell.gather(1, classes[:, None])[:, 0], classes


def _block_mean(values: Tensor, target: Target) -> Tensor:
    """Return the mean over each cell's pixels, only those that belong to the image."""
    if target.valid is None:
        return F.avg_pool2d(values[None], target.side)[0]
    rows, cols = values.shape[-2:]
    inside = target.valid[:rows, :cols].to(values.dtype)[None, None]
    share = F.avg_pool2d(inside, target.side)
    return (F.avg_pool2d(values[None] * inside, target.side) / share.clamp_min(_EPS))[0]


def _group_mean(cells: Tensor, labelled: Tensor) -> Tensor:
    """Return the mean over the labelled cells of each cell's group, (classes, rows, cols)."""
    rows, cols = labelled.shape
    pad = (0, -cols % SOFT_CELLS, 0, -rows % SOFT_CELLS)
    weight = F.pad(labelled.to(cells.dtype), pad)[None, None]
    sums = F.avg_pool2d(F.pad(cells, pad)[None] * weight, SOFT_CELLS)
    means = sums / F.avg_pool2d(weight, SOFT_CELLS).clamp_min(_EPS)
    return F.interpolate(means, scale_factor=SOFT_CELLS, mode="nearest")[0, :, :rows, :cols]


def batch_loss(logits: Tensor, targets: list[Target], weights: Tensor, kind: Loss) -> Tensor:
    """Return the class-weighted mean over all labelled cells of a batch; 0 where there are none.

    Parameters
    ----------
    logits : (n, classes, rows, cols) tensor
        Of the crops.
    targets : list of n Target
        Their labels.
    weights : (classes,) float tensor
        Weight of each class.
    kind : {"block", "pixel", "soft"}
        See :func:`crop_losses`.
    """
    parts = [crop_losses(one, target, kind) for one, target in zip(logits, targets, strict=True)]
    losses = torch.cat([losses for losses, _ in parts])
    weight = weights[torch.cat([classes for _, classes in parts])]
    # Adding a zero of the logits keeps the graph where no cell is labelled.
    return (losses * weight).sum() / weight.sum().clamp_min(_EPS) + 0.0 * logits.sum()


def class_weights(counts: Tensor, balance: float) -> Tensor:
    """Return loss weights per class, bounded, with mean 1 over the labelled cells.

    Parameters
    ----------
    counts : (classes,) tensor
        Labelled cells of each class.
    balance : float
        0 gives equal weights; 1 the inverse square root of the frequency.

    Returns
    -------
    (classes,) float tensor
        Between 1/4 and 4 times one another's geometric mean; classes without labels get 1.
    """
    counts = counts.float()
    present = counts > 0
    weights = torch.ones_like(counts)
    if not present.any():
        return weights
    log = -0.5 * balance * counts[present].log()
    weights[present] = (log - log.mean()).clamp(-1.386, 1.386).exp()
    return weights / ((weights * counts).sum() / counts.sum())
