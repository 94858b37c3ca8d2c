"""What one crop should become, and means over its cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_blockseg.nets.truncation import upsample

EPS = 1e-6


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
    valid : (rows * side, cols * side) bool tensor or None
        What belongs to the image, pixel by pixel (cell by cell where `side` is 1); None = all.
    """

    cells: Tensor
    side: int
    split: int = 1
    valid: Tensor | None = None

    def to(self, device: torch.device) -> Target:
        """Return the same on another device."""
        valid = None if self.valid is None else self.valid.to(device)
        return Target(self.cells.to(device), self.side, self.split, valid)

    def with_cells(self, cells: Tensor) -> Target:
        """Return the same geometry with other labels."""
        return replace(self, cells=cells)

    def fit(self, logits: Tensor) -> Tensor:
        """Return the logits (classes, rows, cols) that lie under the cells, in float.

        Where cells are finer than the logits, these are interpolated.
        """
        if self.split > 1:
            logits = upsample(logits[None], self.split)[0]
        rows, cols = (length * self.side for length in self.cells.shape)
        logits = logits[:, :rows, :cols]
        return logits if logits.dtype == torch.float64 else logits.float()

    def share(self) -> Tensor | None:
        """Return which part of each cell belongs to the image, (rows, cols); None = all of all."""
        if self.valid is None:
            return None
        rows, cols = (length * self.side for length in self.cells.shape)
        return F.avg_pool2d(self.valid[:rows, :cols].float()[None, None], self.side)[0, 0]

    def has_image(self) -> Tensor:
        """Return which cells hold a pixel of the image, (rows, cols) bool."""
        share = self.share()
        return torch.ones_like(self.cells, dtype=torch.bool) if share is None else share > 0

    def inside(self, rows: int, cols: int) -> Tensor:
        """Return which pixels of the logits lie under cells and in the image, (rows, cols) bool."""
        covered = torch.zeros(rows, cols, dtype=torch.bool, device=self.cells.device)
        high, wide = (length * self.side // self.split for length in self.cells.shape)
        valid: Tensor | bool = True
        if self.valid is not None:
            part = self.valid[: high * self.split, : wide * self.split].float()
            valid = (F.avg_pool2d(part[None, None], self.split)[0, 0] == 1)[:rows, :cols]
        covered[:high, :wide] = valid
        return covered


def block_mean(values: Tensor, target: Target) -> Tensor:
    """Return the mean over each cell's pixels, only those that belong to the image.

    Parameters
    ----------
    values : (channels, rows, cols) tensor
        As :meth:`Target.fit` returns.
    target : Target
        The cells.

    Returns
    -------
    (channels, cell rows, cell cols) tensor
        0 where no pixel belongs to the image.
    """
    share = target.share()
    if target.valid is None or share is None:
        return F.avg_pool2d(values[None], target.side)[0]
    rows, cols = values.shape[-2:]
    inside = target.valid[:rows, :cols].to(values.dtype)[None, None]
    return F.avg_pool2d(values[None] * inside, target.side)[0] / share.to(values.dtype).clamp_min(
        EPS
    )
