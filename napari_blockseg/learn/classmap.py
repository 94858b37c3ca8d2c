"""The class of every image pixel from logits on a coarse grid, without all the logits between.

Between four neighbouring cell centers, bilinear interpolation weighs their logits with weights that
are not negative and add up to one. A class that is the largest at all four is therefore the largest
everywhere between them: only where the four disagree do the values between have to be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.learn.stitching import RowUpsampler
from napari_blockseg.nets.truncation import upsample

ClassArray = NDArray[np.integer[Any]]
# Logits that stay in a processor's cache while they are looked at.
_CHUNK_VALUES = 500_000
# Of the largest logit: what rounding may do to two interpolated values.
_CLOSE = 1e-5
# Above this share of places where cells disagree, computing everything is cheaper.
_MOSTLY = 0.5


class ClassUpsampler:
    """Classes of image rows from finished cell rows, as they come.

    Gives what :class:`~napari_blockseg.learn.stitching.RowUpsampler` followed by
    :func:`largest_class` gives (classes whose logits are equal to within rounding may change
    places), in a fraction of the time.

    Parameters
    ----------
    rows, cols : int
        Size of the image, in image pixels.
    cell : float
        Image pixels per cell. The short way needs a whole number.
    """

    def __init__(self, rows: int, cols: int, cell: float) -> None:
        self._rows, self._cols, self._factor = rows, cols, round(cell)
        self._slow = None if self._factor == cell else RowUpsampler(rows, cols, cell)
        self._kept = torch.zeros(0)
        self._first = 0

    def push(self, logits: Tensor, last: bool) -> Iterator[tuple[int, ClassArray]]:
        """Take more cell rows; yield (first image row, classes (n, cols)) pieces, from row 0 on.

        Parameters
        ----------
        logits : (channels, n, cell cols) tensor
            The next cell rows; they cover the columns of the image.
        last : bool
            Whether there are no more.
        """
        if self._slow is not None:
            for start, values in self._slow.push(logits, last):
                yield start, largest_class(values)
            return
        # Places between cells reach over the image's ends: there the last cell goes on.
        columns = F.pad(logits[None], (1, 1, 0, 0), mode="replicate")[0] if logits.numel() else None
        parts = [self._kept] if self._kept.ndim == 3 else []
        if columns is not None:
            parts += [columns] if parts else [columns[:, :1], columns]
        if last and parts:
            parts.append(parts[-1][:, -1:])
        if not parts:
            return
        cells = torch.cat(parts, 1)
        size = max(1, _CHUNK_VALUES // (cells.shape[0] * cells.shape[2]))
        for begin in range(0, cells.shape[1] - 1, size):
            end = min(begin + size, cells.shape[1] - 1)
            yield from self._cut(
                self._first + begin, _between(cells[:, begin : end + 1], self._factor)
            )
        self._first += cells.shape[1] - 1
        self._kept = cells[:, -1:].clone()

    def _cut(self, first: int, found: ClassArray) -> Iterator[tuple[int, ClassArray]]:
        """Yield what lies inside the image of the rows below cell row `first` - 1."""
        ahead = self._factor - self._factor // 2
        begin = first * self._factor - ahead
        start, stop = max(0, begin), min(self._rows, begin + len(found))
        if start < stop:
            yield start, found[start - begin : stop - begin, ahead : ahead + self._cols]


def largest_class(logits: Tensor) -> ClassArray:
    """Return which class has the largest logit, the first of equal ones.

    Parameters
    ----------
    logits : (channels, ...) tensor

    Returns
    -------
    (...) uint8 or int32 array

    Notes
    -----
    torch's argmax over the first axis was slower than these passes where it was tried.
    """
    best = logits[0].clone()
    found = torch.zeros(best.shape, dtype=_kind(len(logits)))
    for index in range(1, len(logits)):
        # Classes come in order, so that the last one that was better is the largest number.
        better = (logits[index] > best).to(found.dtype).mul_(index)
        torch.maximum(found, better, out=found)
        torch.maximum(best, logits[index], out=best)
    return found.numpy()


def _kind(n_classes: int) -> torch.dtype:
    return torch.uint8 if n_classes <= 256 else torch.int32


def _between(cells: Tensor, factor: int) -> ClassArray:
    """Return the classes between cell centers: ((rows - 1) * factor, (cols - 1) * factor)."""
    _, rows, cols = cells.shape
    classes, sure = _agreed(cells)
    rare = np.flatnonzero(~sure.ravel())
    if len(rare) > _MOSTLY * sure.size:
        return _all_between(cells, factor)
    out = classes.repeat(factor, 0).repeat(factor, 1)
    places = out.reshape(rows - 1, factor, cols - 1, factor)
    at = torch.from_numpy(rare // (cols - 1) * cols + rare % (cols - 1))
    flat, weights = cells.reshape(len(cells), -1), _weights(factor)
    size = max(1, _CHUNK_VALUES // (len(cells) * factor**2))
    for begin in range(0, len(rare), size):
        some = at[begin : begin + size]
        corners = torch.stack(
            [flat.index_select(1, some + step) for step in (0, 1, cols, cols + 1)]
        )
        values = (weights @ corners.flatten(1)).view(factor**2, len(cells), len(some))
        found = largest_class(values.transpose(0, 1))
        row, col = np.divmod(rare[begin : begin + size], cols - 1)
        places[row, :, col, :] = found.T.reshape(-1, factor, factor)
    return out


def _agreed(cells: Tensor) -> tuple[ClassArray, NDArray[np.bool_]]:
    """Return the class at the upper left cell of each place, and whether all four agree on it."""
    best = cells[0].clone()
    second = torch.full_like(best, -torch.inf)
    found = torch.zeros(best.shape, dtype=_kind(len(cells)))
    for index in range(1, len(cells)):
        value = cells[index]
        torch.maximum(found, (value > best).to(found.dtype).mul_(index), out=found)
        torch.maximum(second, torch.minimum(best, value), out=second)
        torch.maximum(best, value, out=best)
    largest = max(abs(float(value)) for value in torch.aminmax(cells))
    clear = (best - second > _CLOSE * largest).numpy()
    classes = found.numpy()
    upper = clear & np.pad(classes[:, 1:] == classes[:, :-1], ((0, 0), (0, 1)))
    sure = upper[:-1, :-1] & clear[:-1, 1:] & clear[1:, :-1] & clear[1:, 1:]
    sure &= upper[1:, :-1] & (classes[1:, :-1] == classes[:-1, :-1])
    return classes[:-1, :-1], sure


def _all_between(cells: Tensor, factor: int) -> ClassArray:
    ahead = factor - factor // 2
    values = upsample(cells[None], factor)[0]
    # torch's pieces begin half a cell before the first center.
    skip = factor - ahead
    rows, cols = (cells.shape[1] - 1) * factor, (cells.shape[2] - 1) * factor
    return largest_class(values[:, skip : skip + rows, skip : skip + cols])


def _weights(factor: int) -> Tensor:
    """Return the weights (factor**2, 4) of the corners for the pixels of a place.

    The first pixel lies on the first cell's center where the factor is odd, half a pixel beyond
    it where it is even.
    """
    share = (torch.arange(factor, dtype=torch.float64) + (0.5 if factor % 2 == 0 else 0.0)) / factor
    axis = torch.stack([1 - share, share], 1)
    return torch.einsum("ia,jb->ijab", axis, axis).reshape(factor**2, 4).float()
