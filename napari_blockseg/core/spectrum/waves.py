"""The DFTs of a grid's maps, in real form, kept while cells change."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_blockseg.core.spectrum.bands import FloatArray, IntArray
from napari_blockseg.core.spectrum.pairs import waves

# Memory for them, in bytes: all of 21 classes on 2048 x 2048 cells in float32.
_MEMORY = 400 * 2**20
_STRIP = 64


class LiveWaves:
    """The :func:`waves` of maps that change a few cells at a time.

    A changed cell adds a product of two waves. So a stroke that lies in r rows and c columns costs
    a matrix product over min(r, c), less than an FFT; many scattered cells cost one FFT.

    Parameters
    ----------
    shape : (rows, cols)
        Of the grid.
    dtype
        float64, or float32 for half the time and memory.
    """

    def __init__(self, shape: tuple[int, int], dtype: Any) -> None:
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self._kept: dict[int, FloatArray] = {}
        self._tables: tuple[FloatArray, FloatArray] | None = None
        size = 4 * (shape[0] // 2 + 1) * (shape[1] // 2 + 1) * self._dtype.itemsize
        self._most = max(4, _MEMORY // size)
        # From here on an FFT is as quick.
        self._widest = min(shape) // 8

    def of(self, name: int, values: np.ndarray[Any, Any]) -> FloatArray:
        """Return the waves of a map; `values` (rows, cols) says what it is if it is not kept."""
        parts = self._kept.pop(name, None)
        if parts is None:
            if len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            parts = waves(values.astype(self._dtype))
        # Put back last: what was used least lately goes first.
        self._kept[name] = parts
        return parts

    def add(self, name: int, rows: IntArray, cols: IntArray, step: IntArray) -> None:
        """Add `step` (n,) to the map at cells (rows, cols), both (n,), each cell once."""
        moved = step != 0
        rows, row = np.unique(rows[moved], return_inverse=True)
        cols, col = np.unique(cols[moved], return_inverse=True)
        if name not in self._kept or len(rows) == 0:
            return
        if min(len(rows), len(cols)) > self._widest:
            del self._kept[name]
            return
        box = np.zeros((len(rows), len(cols)), self._dtype)
        box[row, col] = step[moved]
        self._add_box(self._kept[name], rows, cols, box)

    def _add_box(self, parts: FloatArray, rows: IntArray, cols: IntArray, box: FloatArray) -> None:
        if self._tables is None:
            first, second = (_cell_waves(n, self._dtype) for n in self._shape)
            self._tables = (first, second)
        left, right = self._tables[0][rows], self._tables[1][cols]
        if len(rows) <= len(cols):
            right = box @ right
        else:
            left = box.T @ left
        # In strips that stay in the cache.
        for start in range(0, len(parts), _STRIP):
            parts[start : start + _STRIP] += left[:, start : start + _STRIP].T @ right


def _cell_waves(n: int, dtype: np.dtype[Any]) -> FloatArray:
    # Row i: cosines, then sines, of a one at place i; whole turns are taken off for exactness.
    turns = np.outer(np.arange(n), np.arange(n // 2 + 1)) % n * (2 * np.pi / n)
    table: FloatArray = np.hstack([np.cos(turns), np.sin(turns)]).astype(dtype)
    return table
