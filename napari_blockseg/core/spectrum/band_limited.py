"""Band-limited labels: what is left of a label map when each class is low-passed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import fft

from napari_blockseg.core.spectrum.bands import ComplexArray, FloatArray, IntArray, low_pass


def class_spectra(
    values: IntArray, n_classes: int, dtype: Any = np.float32
) -> Iterator[tuple[int, ComplexArray]]:
    """Yield each class that is there with the rfft2 of its one-hot map, one after the other.

    Parameters
    ----------
    values : (rows, cols) int array
        0..K; 0 is 0 in every map.
    n_classes : int
        K.
    dtype : floating dtype
        float32 is twice as fast, and a map of zeros and ones loses nothing by it; its spectrum
        has a relative error of about 1e-7.

    Yields
    ------
    (int, (rows, cols // 2 + 1) complex array)
        Class value, 1..K rising, and spectrum. Memory holds one class at a time.
    """
    present = np.bincount(np.asarray(values).ravel(), minlength=n_classes + 1)[: n_classes + 1]
    for value in np.flatnonzero(present[1:]) + 1:
        yield int(value), fft.rfft2((values == value).astype(dtype))


class LargestClass:
    """The argmax over class maps that come one after the other, without holding them all.

    Notes
    -----
    As ``argmax(0) + 1`` over all K maps: ties go to the lowest class, and a class that is not
    given counts as a map of zeros (it can win only where all the others are in negative lobes).
    K is at most 65535.

    Examples
    --------
    >>> largest = LargestClass()
    >>> largest.add(1, np.array([[0.3, -0.1]]))
    >>> largest.add(3, np.array([[0.7, -0.2]]))
    >>> largest.values(3).tolist()
    [[3, 2]]
    """

    def __init__(self) -> None:
        self._best: FloatArray = np.empty((0, 0))
        self._value: IntArray = np.empty((0, 0), np.uint16)
        self._given: set[int] = set()

    def add(self, value: int, one: FloatArray) -> None:
        """Compare the map of a class, (rows, cols); values have to rise from call to call."""
        if not self._given:
            self._best = one.copy()
            self._value = np.full(one.shape, value, np.uint16)
        better = one > self._best
        self._best[better] = one[better]
        self._value[better] = value
        self._given.add(value)

    def values(self, n_classes: int) -> IntArray:
        """Return the class of the largest map, (rows, cols) ints 1..K."""
        absent = next((c for c in range(1, n_classes + 1) if c not in self._given), None)
        if absent is None:
            return self._value
        zero_wins = (self._best < 0) | ((self._best == 0) & (self._value > absent))
        return np.where(zero_wins, np.uint16(absent), self._value)


def band_limited_labels(values: IntArray, n_classes: int, cutoff: float) -> IntArray:
    """Return the argmax of the one-hot maps low-passed at a cutoff.

    Parameters
    ----------
    values : (rows, cols) int array
        1..K, or 0: 0 in every map.
    n_classes : int
        K.
    cutoff : float
        Cycles per cell, 0 to 0.5; the band includes it.

    Returns
    -------
    (rows, cols) int array
        1..K everywhere, also where `values` is 0; all 0 when all of `values` is.
    """
    shape = (values.shape[0], values.shape[1])
    largest = LargestClass()
    for value, spectrum in class_spectra(values, n_classes, np.float64):
        largest.add(value, low_pass(spectrum, shape, cutoff))
    return largest.values(n_classes) if values.any() else np.zeros(shape, np.uint16)
