"""The label spectrum of a grid that is being painted: only what a stroke touches is done again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum.bands import FloatArray, IntArray, default_cutoffs
from napari_blockseg.core.spectrum.labels import (
    LabelSpectrum,
    Meter,
    check_plane,
    check_values,
    spectrum_of,
)
from napari_blockseg.core.spectrum.pairs import Lattice, Mask, class_energy
from napari_blockseg.core.spectrum.waves import LiveWaves

# Above this many cells strokes are followed in float32, and settle() makes up for it.
_FLOAT64_CELLS = 2**20
# So many cells of classes that a stroke did not touch are done again with it.
_MORE_CELLS = 2**19


class LiveSpectrum:
    """Keeps the label spectrum of one plane up to date while cells change.

    Painting where nothing was painted changes the pair counts of every class a little. The
    classes that were touched follow at once, and as many others as there is time for, those that
    waited longest first (on grids up to 128 x 128 with 21 classes: all). :meth:`settle` does the
    rest and the error bands; until then ``result().settled`` is False. For one thread at a time.

    Parameters
    ----------
    n_classes : int
        K.
    block : int
        Pixels a cell.
    cutoffs : (n,) float array, optional
        Cycles per pixel, rising; by default :func:`default_cutoffs`.
    """

    def __init__(self, n_classes: int, block: int = 1, cutoffs: FloatArray | None = None) -> None:
        self.n_classes = n_classes
        self.block = block
        self.cutoffs = default_cutoffs(block) if cutoffs is None else np.asarray(cutoffs, float)
        self._generation = 0
        self._result: LabelSpectrum | None = None
        self.reset(np.zeros((1, 1), np.uint16))

    def reset(self, values: IntArray) -> None:
        """Start from a whole plane, (rows, cols): 0 = unlabelled, 1..K.

        Raises
        ------
        LabelError
            If `values` is not a plane, or holds something outside 0..K.
        """
        values = np.asarray(values)
        check_plane(values)
        check_values(values, self.n_classes)
        self._values = values.astype(np.uint16)
        self._counts = np.bincount(self._values.ravel(), minlength=self.n_classes + 1)
        shape = (values.shape[0], values.shape[1])
        dtype: Any = np.float64 if values.size <= _FLOAT64_CELLS else np.float32
        self._waves = LiveWaves(shape, dtype)
        self._lattice = Lattice.of(shape, self.cutoffs * self.block, dtype)
        self._mask: Mask | None = None
        self._band = np.zeros((self.n_classes, len(self.cutoffs)))
        self._total = np.zeros(self.n_classes)
        self._error = np.full_like(self._band, np.nan)
        # What each class's numbers belong to: the state of the mask (-1: not even its own labels).
        self._mask_state = 0
        self._state = np.full(self.n_classes, -1)
        self._settled = np.zeros(self.n_classes, bool)
        self._changed()

    def change(self, index: IntArray, new: IntArray) -> None:
        """Set cells to new values; of a cell that comes twice the last value counts.

        Parameters
        ----------
        index : (n, 2) int array
            Rows and columns.
        new : (n,) int array
            Values, 0..K.

        Raises
        ------
        LabelError
            If a value lies outside 0..K or a cell outside the grid.
        """
        rows, cols, new = self._different(np.asarray(index).reshape(-1, 2), np.asarray(new))
        if len(rows) == 0:
            return
        old = self._values[rows, cols].astype(np.int64)
        self._values[rows, cols] = new
        for value in np.union1d(old, new):
            step = (new == value).astype(int) - (old == value)
            self._counts[value] += step.sum()
            if value:
                self._waves.add(int(value), rows, cols, step)
                self._state[value - 1] = -1
                self._settled[value - 1] = False
        shown = (new > 0).astype(int) - (old > 0)
        if shown.any():
            self._waves.add(0, rows, cols, shown)
            self._mask = None
            self._mask_state += 1
            self._settled[:] = False
        self._changed()

    def follow(self, values: IntArray) -> None:
        """Find the cells that changed and change them; a plane of another shape starts anew.

        Raises
        ------
        LabelError
            As :meth:`reset` and :meth:`change`.
        """
        values = np.asarray(values)
        if values.shape != self._values.shape:
            self.reset(values)
            return
        rows, cols = np.nonzero(values != self._values)
        self.change(np.stack([rows, cols], 1), values[rows, cols])

    def result(self) -> LabelSpectrum:
        """Return the spectrum of the present labels; it never changes afterwards."""
        if self._result is None:
            self._refresh()
            self._result = self._frozen()
        return self._result

    def settle(self, go_on: Callable[[], bool] | None = None) -> bool:
        """Bring every class and every error band up to date, from the labels alone.

        Takes about as long as :func:`label_spectrum`: 3 s for 2048 x 2048 cells and 21 classes.

        Parameters
        ----------
        go_on : callable, optional
            Asked before each class; False ends it there, with what is done kept.

        Returns
        -------
        bool
            Whether everything is up to date.
        """
        self._clear(~self._present())
        self._result = None
        late = np.flatnonzero(~self._settled)
        if len(late) == 0:
            return True
        meter = Meter(self._values, Lattice.of(self._lattice.shape, self.cutoffs * self.block))
        for k in late:
            if go_on is not None and not go_on():
                return False
            found = meter.measure(int(k) + 1, int(self._counts[k + 1]))
            self._band[k], self._total[k], self._error[k] = found
            self._state[k] = self._mask_state
            self._settled[k] = True
        return True

    def _refresh(self) -> None:
        self._clear(~self._present())
        late = np.flatnonzero(self._present() & (self._state < self._mask_state))
        if len(late) == 0:
            return
        late = late[np.argsort(self._state[late], kind="stable")]
        more = max(np.count_nonzero(self._state[late] < 0), _MORE_CELLS // self._lattice.size)
        mask = self._measured_mask()
        for k in late[:more]:
            parts = self._waves.of(int(k) + 1, self._values == k + 1)
            found = class_energy(parts, int(self._counts[k + 1]), mask)
            self._band[k], self._total[k] = found.band, found.total
            self._state[k] = self._mask_state
            if mask.whole:
                self._error[k] = 0.0
                self._settled[k] = self._band.dtype == parts.dtype

    def _measured_mask(self) -> Mask:
        if self._mask is None:
            parts = self._waves.of(0, self._values > 0)
            self._mask = Mask.of(parts, self._cells, self._lattice)
        return self._mask

    @property
    def _cells(self) -> int:
        return int(self._counts[1:].sum())

    def _present(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        # A class that is nowhere, or everywhere, has no energy.
        there: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = self._counts[1:] > 0
        return there & (self._counts[1:] < self._cells)

    def _clear(self, classes: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> None:
        for numbers in (self._band, self._total, self._error):
            numbers[classes] = 0.0
        self._state[classes] = self._mask_state
        self._settled[classes] = True

    def _frozen(self) -> LabelSpectrum:
        found = spectrum_of(
            self.cutoffs,
            self._band,
            self._total,
            self._error,
            self._cells,
            self._lattice.size,
            self.block,
        )
        return replace(found, generation=self._generation, settled=bool(self._settled.all()))

    def _different(self, index: IntArray, new: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        # The cells that really change, each once.
        shape = self._values.shape
        if len(new) != len(index):
            raise LabelError(f"Got {len(index)} cells and {len(new)} values; give one for each.")
        check_values(new, self.n_classes)
        if len(index) and not ((index >= 0).all() and (index < shape).all()):
            raise LabelError(
                f"Got cells from {index.min(0)} to {index.max(0)}; the grid is {shape}."
            )
        flat = index[:, 0] * shape[1] + index[:, 1]
        once, last = np.unique(flat[::-1], return_index=True)
        new = new[::-1][last]
        differ = new != self._values.ravel()[once]
        rows, cols = np.divmod(once[differ], shape[1])
        return rows, cols, new[differ].astype(np.int64)

    def _changed(self) -> None:
        self._generation += 1
        self._result = None
