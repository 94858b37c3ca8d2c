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
ComplexArray = NDArray[np.complexfloating[Any, Any]]

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


def low_pass(spectrum: ComplexArray, shape: tuple[int, int], cutoff: float) -> FloatArray:
    """Return the maps of these spectra without everything above a cutoff.

    Parameters
    ----------
    spectrum : (..., rows, cols // 2 + 1) complex array
        rfft2 of real maps; it can serve many cutoffs.
    shape : (rows, cols)
        Of the maps.
    cutoff : float
        Cycles per cell, 0 to 0.5; the band includes it.

    Returns
    -------
    (..., rows, cols) float array
    """
    rows = np.abs(fft.fftfreq(shape[0])) <= cutoff + _EDGE
    cols = int(np.count_nonzero(fft.rfftfreq(shape[1]) <= cutoff + _EDGE))
    # Columns outside are zero before and after the inverse along the rows: only those inside
    # need one.
    inside = np.where(rows[:, None], spectrum[..., :cols], 0)
    low: FloatArray = fft.irfft(fft.ifft(inside, axis=-2), n=shape[1], axis=-1)
    return low


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

    Notes
    -----
    The inclusive band ``max(|f_row|, |f_col|) <= 0.5 / b`` holds N / b + 1 frequencies along an
    axis of N, not N / b: both of the Nyquist pair. (An odd number of blocks has no such pair.)
    """
    return low_pass(fft.rfft2(maps), (maps.shape[-2], maps.shape[-1]), cutoff)


def default_cutoffs(block: int = 1, n: int = 32) -> FloatArray:
    """Return `n` cutoffs spaced by equal ratios up to the block Nyquist, cycles per pixel."""
    return np.geomspace(0.5 / block / 64, 0.5 / block, n)


def both_sides(cols: int) -> FloatArray:
    """Return how many bins of a full fft2 each column of an rfft2 stands for, (cols // 2 + 1,).

    Parameters
    ----------
    cols : int
        Of the maps. A bin and its conjugate at the negative frequency share one column, except
        in the first column and, when `cols` is even, the last.
    """
    counts = np.full(cols // 2 + 1, 2.0)
    counts[0] = 1.0
    if cols % 2 == 0:
        counts[-1] = 1.0
    return counts


def sum_below(terms: FloatArray, shape: tuple[int, int], cutoffs: FloatArray) -> FloatArray:
    """Sum real terms of a two-sided spectrum below each cutoff, DC included.

    Parameters
    ----------
    terms : (..., rows, cols // 2 + 1) float array
        A real number a bin of an rfft2, the same at a frequency and at its negative.
    shape : (rows, cols)
        Of the maps.
    cutoffs : (n,) float array
        Rising, cycles per cell.

    Returns
    -------
    (..., n) float64 array
        Over the full (two-sided) spectrum.
    """
    place = _first_cutoff(shape, cutoffs)
    sides = both_sides(shape[1])
    below = np.zeros((*terms.shape[:-2], len(cutoffs)))
    for index in np.ndindex(terms.shape[:-2]):
        # Sums in float64, whatever the terms are.
        sums = np.bincount(place, (terms[index] * sides).ravel(), minlength=len(cutoffs) + 1)
        below[index] = np.cumsum(sums)[: len(cutoffs)]
    return below


def _first_cutoff(shape: tuple[int, int], cutoffs: FloatArray) -> IntArray:
    # The first cutoff that includes a bin; bins beyond the last one land in an extra place. The
    # place of the larger frequency is the larger place: no need to search once a bin.
    edges = np.asarray(cutoffs, float) + _EDGE
    rows = np.searchsorted(edges, np.abs(fft.fftfreq(shape[0])), side="left")
    cols = np.searchsorted(edges, fft.rfftfreq(shape[1]), side="left")
    return np.maximum(rows[:, None], cols[None, :]).ravel()


def energy_below(
    power: FloatArray, shape: tuple[int, int], cutoffs: FloatArray, dc: bool = False
) -> FloatArray:
    """Sum the power of an rfft2 below each cutoff.

    Parameters
    ----------
    power : (K, rows, cols // 2 + 1) float array
        ``|rfft2|**2`` of real maps.
    shape : (rows, cols)
        Of the maps.
    cutoffs : (n,) float array
        Rising, cycles per cell.
    dc : bool
        Whether the bin of the mean counts. As a share of the energy it mostly says how common a
        class is, so it is left out by default.

    Returns
    -------
    (K, n) float array
        Over the full (two-sided) spectrum.

    Notes
    -----
    By Parseval, the sum over all bins is ``rows * cols * sum(map**2)``, or without the mean
    ``rows * cols * sum((map - mean)**2)``.
    """
    if not dc:
        # Not subtracted from the sum: the mean's bin can be far larger than all the rest.
        power = power.copy()
        power[..., 0, 0] = 0.0
    return sum_below(power, shape, cutoffs)
