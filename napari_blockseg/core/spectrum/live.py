"""The label spectrum of a grid that is being painted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum.bands import FloatArray, IntArray, default_cutoffs
from napari_blockseg.core.spectrum.labels import LabelSpectrum, label_spectrum


class LiveSpectrum:
    """Keeps the label spectrum of one plane up to date while cells change.

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
        self._values: IntArray = np.zeros((1, 1), np.uint16)
        self._generation = 0
        self._result: LabelSpectrum | None = None

    def reset(self, values: IntArray) -> None:
        """Start from a whole plane, (rows, cols): 0 = unlabelled, 1..K.

        Raises
        ------
        LabelError
            If `values` is not a plane, or holds something outside 0..K.
        """
        values = np.asarray(values)
        if values.ndim != 2:
            raise LabelError(f"Got labels of shape {values.shape}; a plane is (rows, cols).")
        self._check(values)
        self._values = values.astype(np.uint16)
        self._changed()

    def change(self, index: IntArray, new: IntArray) -> None:
        """Set cells: `index` (n, 2) rows and columns, `new` (n,) values; a cell counts once.

        Raises
        ------
        LabelError
            If a value lies outside 0..K.
        """
        index = np.asarray(index).reshape(-1, 2)
        self._check(np.asarray(new))
        self._values[index[:, 0], index[:, 1]] = new
        self._changed()

    def follow(self, values: IntArray) -> None:
        """Find the cells that changed, and change them; another shape starts anew."""
        values = np.asarray(values)
        if values.shape != self._values.shape:
            self.reset(values)
            return
        index = np.argwhere(values != self._values)
        if len(index):
            self.change(index, values[index[:, 0], index[:, 1]])

    def result(self) -> LabelSpectrum:
        """Return the spectrum of the present labels; it never changes afterwards."""
        if self._result is None:
            found = label_spectrum(self._values, self.n_classes, self.block, self.cutoffs)
            self._result = replace(found, generation=self._generation)
        return self._result

    def settle(self) -> None:
        """Complete what was left for later."""

    def _check(self, values: IntArray) -> None:
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= self.n_classes:
            raise LabelError(
                f"Got values from {values.min()} to {values.max()}; labels are 0 (unlabelled) to "
                f"{self.n_classes}."
            )

    def _changed(self) -> None:
        self._generation += 1
        self._result = None
