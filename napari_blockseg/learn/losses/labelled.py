"""Partial cross-entropy: of pixels, of blocks' mean softmax or mean logits, of groups of blocks."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_blockseg.learn.losses.target import EPS, Target, block_mean

#: Blocks along a side of the group whose class fractions are one soft label.
SOFT_CELLS = 2

Loss = Literal["block", "pixel", "logits", "soft"]


def crop_losses(logits: Tensor, target: Target, kind: Loss) -> tuple[Tensor, Tensor]:
    """Return the loss of every labelled cell (or pixel) of one crop, and its class.

    Parameters
    ----------
    logits : (classes, rows, cols) tensor
        Of the crop; the cells lie at its upper left.
    target : Target
        The labels. A labelled cell without a pixel in the image is passed over.
    kind : {"block", "pixel", "logits", "soft"}
        What is compared with the label; see Notes.

    Returns
    -------
    losses : (n,) float tensor
        One per labelled cell.
    classes : (n,) int64 tensor
        Class index of each.

    Notes
    -----
    With logits Y, softmax S and a block of n pixels that is labelled c, the loss of the block is

    - "pixel": ``-1/n sum_pixels log S_c``, the partial cross-entropy that is customary for weak
      labels. Every pixel should have the block's class.
    - "block": ``-log (1/n sum_pixels S_c)``. The chance that a pixel drawn from the block has the
      class: what lies within the block may differ.
    - "logits": ``-log softmax_c (1/n sum_pixels Y)``. The logits low-passed to the block grid and
      sampled there, so that nothing above its Nyquist frequency is asked for: the band-limited
      view (Chen, Chiu, Wu, arXiv 2012.14123, take the low-resolution grid as that of the labels).
    - "soft": ``-log`` of the softmax averaged over the labelled part of a group of 2 x 2 cells.
      Over a group that adds up to the cross-entropy of its class fractions (a soft label) times
      its labelled cells.

    By Jensen's inequality neither "block" nor "logits" exceeds "pixel", and all three are the same
    where the logits do not vary within a block.
    """
    logits = target.fit(logits)
    labelled = (target.cells >= 0) & target.has_image()
    classes = target.cells[labelled]
    per_cell = _scores(logits, target, labelled, kind).permute(1, 2, 0)[labelled]
    return -per_cell.gather(1, classes[:, None])[:, 0], classes


def _scores(logits: Tensor, target: Target, labelled: Tensor, kind: Loss) -> Tensor:
    """Return the log of what each cell is given for each class, (classes, rows, cols)."""
    if kind == "soft":
        chances = _group_mean(block_mean(logits.softmax(0), target), labelled)
        return chances.clamp_min(EPS).log()
    if target.side == 1:
        return F.log_softmax(logits, 0)
    if kind == "block":
        return block_mean(logits.softmax(0), target).clamp_min(EPS).log()
    if kind == "logits":
        return F.log_softmax(block_mean(logits, target), 0)
    return block_mean(F.log_softmax(logits, 0), target)


def _group_mean(cells: Tensor, labelled: Tensor) -> Tensor:
    """Return the mean over the labelled cells of each cell's group, (classes, rows, cols)."""
    rows, cols = labelled.shape
    pad = (0, -cols % SOFT_CELLS, 0, -rows % SOFT_CELLS)
    weight = F.pad(labelled.to(cells.dtype), pad)[None, None]
    sums = F.avg_pool2d(F.pad(cells, pad)[None] * weight, SOFT_CELLS)
    means = sums / F.avg_pool2d(weight, SOFT_CELLS).clamp_min(EPS)
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
    kind : {"block", "pixel", "logits", "soft"}
        See :func:`crop_losses`.
    """
    parts = [crop_losses(one, target, kind) for one, target in zip(logits, targets, strict=True)]
    losses = torch.cat([losses for losses, _ in parts])
    weight = weights[torch.cat([classes for _, classes in parts])]
    # Adding a zero of the logits keeps the graph where no cell is labelled.
    return (losses * weight).sum() / weight.sum().clamp_min(EPS) + 0.0 * logits.sum()
