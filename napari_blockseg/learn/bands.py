"""An image at working scale, a few rows at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.normalize import image_limits
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.data import working_band

Region = tuple[int, int, int, int]
# Pixels of an image that become numbers at once: they take twelve times their size for a moment.
_PIECE_PIXELS = 4_000_000


class _Cut:
    """A part of an image, cut out when its rows are asked for."""

    def __init__(self, pixels: Any, window: Region) -> None:
        self._pixels, self._window = pixels, window
        self.shape = (window[1] - window[0], window[3] - window[2], pixels.shape[2])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        top, bottom, left, right = self._window
        start, stop, _ = rows.indices(bottom - top)
        return np.asarray(self._pixels[top + start : top + stop, left:right])


class WorkingBands:
    """A window of an image at working scale, made band by band as tiles come to it.

    Looks like a (channels, rows, cols) float16 tensor that is sliced.

    Parameters
    ----------
    model : Model
        How values become 0..1, and the scale.
    pixels : (rows, cols, channels) array
        Raw values of the whole image; may be lazy.
    window : (row start, row stop, col start, col stop)
        In image pixels, on whole units of the model's working grid.
    limits : (low, high), optional
        Raw values of this image that become 0 and 1, where they are known.
    """

    def __init__(
        self,
        model: Model,
        pixels: Any,
        window: Region,
        limits: tuple[float, float] | None = None,
    ) -> None:
        self._pixels = _Cut(pixels, window)
        self._spec, self._grid = model.spec.normalization, model.spec.grid
        self._limits = image_limits(pixels, self._spec) if limits is None else limits
        self.shape = (pixels.shape[2], *self._grid.shape(*self._pixels.shape[:2]))
        self._band = torch.zeros(self.shape[0], 0, self.shape[2], dtype=torch.float16)
        self._first = 0

    def __getitem__(self, window: tuple[slice, slice, slice]) -> Tensor:
        """Return a window; what lies above it is let go of."""
        start, stop, _ = window[1].indices(self.shape[1])
        if not self._first <= start <= stop <= self._first + self._band.shape[1]:
            self._move(start, stop)
        return self._band[:, start - self._first : stop - self._first, window[2]]

    def _move(self, start: int, stop: int) -> None:
        """Make the rows down to `stop`, and keep those from `start` on that are there."""
        side = self._grid.side
        first, end = start // side * side, -(-stop // side) * side
        have = self._first + self._band.shape[1]
        begin = have if self._first <= first < have else first
        # Only what goes on is held while the new band is made.
        kept = self._band[:, first - self._first : begin - self._first].clone()
        self._band, self._first = self._band[:, :0].clone(), first
        band = torch.empty(self.shape[0], end - first, self.shape[2], dtype=torch.float16)
        band[:, : kept.shape[1]] = kept
        step = max(1, _PIECE_PIXELS // (self._grid.unit * self._pixels.shape[1])) * side
        for top in range(begin, end, step):
            bottom = min(top + step, end)
            band[:, top - first : bottom - first] = working_band(
                self._pixels, self._spec, self._grid, self._limits, top // side, bottom // side
            )
        self._band = band
