"""The square band: which frequencies of a map lie below a cutoff, and how much energy they hold.

Frequencies are in cycles per pixel, 0 to 0.5. The band is square, ``max(|f_row|, |f_col|) <=
cutoff``, to match a square grid; a block of b pixels resolves up to ``0.5 / b``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]

# The inclusive band must hold its own edge in spite of rounding.
_EDGE = 1e-12


def one_hot(values: IntArray, n_classes: int, dtype: Any = np.float64) -> FloatArray:
    """Return the one-hot maps B, (K, rows, cols); 0 in `values` is 0 in every map."""
    classes = np.arange(1, n_classes + 1).reshape(-1, 1, 1)
    maps: FloatArray = (np.asarray(values)[None] == classes).astype(dtype)
    return maps


def square_frequency(shape: tuple[int, int]) -> FloatArray:
    """Return ``max(|f_row|, |f_col|)`` of every bin of an rfft2, cycles per cell."""
    rows = np.abs(fft.fftfreq(shape[0]))
    cols = fft.rfftfreq(shape[1])
    return np.maximum(rows[:, None], cols[None, :])


def band_limit(maps: FloatArray, cutoff: float) -> FloatArray:
    """Remove everything above a cutoff: the ideal low-pass over the last two axes.

    Parameters
    ----------
    maps : (..., rows, cols) float array
        For instance one-hot maps.
    cutoff : float
        Cycles per cell of `maps`, 0 to 0.5; the band includes it.

    Returns
    -------
    float array of the same shape
        With negative lobes at edges (about -0.2 for labels): they belong to it.
    """
    shape = (maps.shape[-2], maps.shape[-1])
    inside = square_frequency(shape) <= cutoff + _EDGE
    return fft.irfft2(fft.rfft2(maps) * inside, s=shape)


def default_cutoffs(block: int = 1, n: int = 32) -> FloatArray:
    """Return `n` cutoffs spaced by equal ratios up to the block Nyquist, cycles per pixel."""
    return np.geomspace(0.5 / block / 64, 0.5 / block, n)


def energy_below(power: FloatArray, shape: tuple[int, int], cutoffs: FloatArray) -> FloatArray:
    """Sum the power of an rfft2 below each cutoff, without DC.

    Parameters
    ----------
    power : (K, rows, cols // 2 + 1) float array
        ``|rfft2|**2`` of real maps.
    shape : (rows, cols)
        Of the maps.
    cutoffs : (n,) float array
        Rising, cycles per cell.

    Returns
    -------
    (K, n) float array
        Over the full (two-sided) spectrum.
    """
    twice = np.full(shape[1] // 2 + 1, 2.0)
    twice[0] = 1.0
    if shape[1] % 2 == 0:
        twice[-1] = 1.0
    frequency = square_frequency(shape)
    # The first cutoff that includes a bin; bins beyond the last one land in an extra place.
    place = np.searchsorted(cutoffs + _EDGE, frequency.ravel(), side="left")
    weights = (power * twice).reshape(len(power), -1)
    weights[:, 0] = 0.0
    sums = [np.bincount(place, row, minlength=len(cutoffs) + 1) for row in weights]
    return np.cumsum(np.stack(sums).astype(np.float64), axis=1)[:, : len(cutoffs)]
