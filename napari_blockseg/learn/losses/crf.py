"""The gated CRF loss: neighbours of like color should get like classes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

#: Standard deviations of the kernel in pixels and in color (0..1), and its reach in pixels.
SIGMA_PLACE = 6.0
SIGMA_COLOR = 0.1
RADIUS = 5
#: Pixels along a side of the cells on which it is computed. Logits lie on a grid of 4 and are
#: interpolated, so that 2 loses nothing of them, at a twentieth of the work.
GRID = 2

Window = tuple[Any, ...]


def gated_crf(
    logits: Tensor, images: Tensor, inside: Tensor | None = None, grid: int = GRID
) -> Tensor:
    """Return how much neighbours of like color differ in class, a mean over the cells.

    Parameters
    ----------
    logits : (n, classes, rows, cols) tensor
        Of the crops.
    images : (n, channels, rows, cols) tensor
        The crops, in 0..1.
    inside : (n, rows, cols) bool tensor, optional
        The gate: which pixels belong to the image. Pairs with another pixel count nothing.
    grid : int
        Pixels along a side of the cells on which it is computed; a last odd row or column is left
        out. 1 is the source's form.

    Returns
    -------
    () tensor
        0 where all neighbours have one class with certainty, or no pixel lies inside.

    Notes
    -----
    ``L = 1/n sum_i sum_{j near i} k_ij (1 - p_i . p_j)`` with p the softmax, j up to 5 pixels away
    along each axis, j != i, and
    ``k_ij = exp(-|place_i - place_j|^2 / (2 * 6^2) - |color_i - color_j|^2 / (2 * 0.1^2))``.
    This is the Potts form, all settings as published: A. Obukhov, S. Georgoulis, D. Dai, L. Van
    Gool, "Gated CRF Loss for Weakly Supervised Semantic Image Segmentation", arXiv 1906.04651
    (2019), which weighs it 0.1 beside the partial cross-entropy.

    Not in the source: ``|color|^2`` is three times the mean over the channels, so that a grey image
    gives the same as its copy in three channels; on a coarser grid colors and logits are means over
    the cells, the reach is the nearest number of cells, and a cell counts for its pixels. The
    source can also gate out labelled pixels. Here they take part: the label of a block does not
    say where in it the class lies, and that is what this term is for.
    """
    values = logits if logits.dtype == torch.float64 else logits.float()
    chances = F.avg_pool2d(values, grid).softmax(1)
    colors = F.avg_pool2d(images.to(values.dtype), grid) * (3 / images.shape[1]) ** 0.5
    if inside is None:
        gate = torch.ones_like(chances[:, :1])
    else:
        # As in the source: a cell that is not all inside is outside.
        gate = (F.avg_pool2d(inside[:, None].to(values.dtype), grid) == 1).to(values.dtype)
    total: Tensor = _Disagreement.apply(chances, colors, gate, grid)
    return total / gate.sum().clamp_min(1)


class _Disagreement(torch.autograd.Function):
    """Sum over ordered pairs of ``k_ij (1 - p_i . p_j)``, with the gradient by hand.

    The gradient is ``-2 sum_j k_ij p_j``, a sum that the value needs too: one pass over the pairs
    gives both, and none of their kernels has to be kept.
    """

    @staticmethod
    def forward(ctx: Any, chances: Tensor, colors: Tensor, gate: Tensor, grid: int) -> Tensor:
        near = torch.zeros_like(chances)
        total = chances.new_zeros(())
        for here, there, square in _pairs(chances.shape[-2], chances.shape[-1], grid):
            color = (colors[here] - colors[there]).square_().sum(1, keepdim=True)
            kernel = color.mul_(-0.5 / SIGMA_COLOR**2).add_(-0.5 * square / SIGMA_PLACE**2).exp_()
            kernel.mul_(gate[here]).mul_(gate[there]).mul_(grid**2)
            total += kernel.sum()
            near[here].addcmul_(kernel, chances[there])
            near[there].addcmul_(kernel, chances[here])
        ctx.save_for_backward(near)
        return 2 * total - (chances * near).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (near,) = ctx.saved_tensors
        return -2 * grads[0] * near, None, None, None


def _pairs(rows: int, cols: int, grid: int) -> Iterator[tuple[Window, Window, int]]:
    """Yield every unordered pair of offsets: windows, and their squared distance in pixels."""
    # Cells to each side, so that the whole window is as wide as the source's 11 pixels.
    reach = max(1, round(((2 * RADIUS + 1) / grid - 1) / 2))
    for down in range(min(reach, rows - 1) + 1):
        for right in range(-reach, reach + 1):
            if (down == 0 and right <= 0) or abs(right) >= cols:
                continue
            left, start = max(right, 0), max(-right, 0)
            here = (..., slice(0, rows - down), slice(start, cols - left))
            there = (..., slice(down, rows), slice(left, cols - start))
            yield here, there, grid**2 * (down**2 + right**2)
