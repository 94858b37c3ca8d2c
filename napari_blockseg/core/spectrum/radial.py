"""The radially averaged spectrum: a curve for the eye, never for a cutoff.

A block grid is square, and so is its band: all numbers that mean something come from
:func:`~napari_blockseg.core.spectrum.energy_below`. A radial band gives other ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_blockseg.core.spectrum.band_limited import class_spectra
from napari_blockseg.core.spectrum.bands import FloatArray, IntArray, both_sides


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Energy by distance from zero frequency, in rings of equal width.

    Attributes
    ----------
    frequencies : (n,) float array
        Middle of each ring, cycles per pixel. Rings go on to the corners of the spectrum, at
        ``0.5 * sqrt(2)`` cycles per cell.
    energy : (K, n) float array
        Sum of the power of the bins in each ring, without DC; the rings add up to all of it.
    bins : (n,) int array
        Bins of the two-sided spectrum in each ring.
    """

    frequencies: FloatArray
    energy: FloatArray
    bins: NDArray[np.int64]

    @property
    def mean_power(self) -> FloatArray:
        """Energy a bin, (K, n): what one usually plots; NaN in rings without a bin."""
        empty = np.full(self.energy.shape, np.nan)
        mean: FloatArray = np.divide(self.energy, self.bins, out=empty, where=self.bins > 0)
        return mean


def radial_profile(
    power: FloatArray, shape: tuple[int, int], rings: int = 32, block: int = 1
) -> RadialProfile:
    """Return the radial profile of power spectra.

    Parameters
    ----------
    power : (K, rows, cols // 2 + 1) float array
        ``|rfft2|**2`` of real maps.
    shape : (rows, cols)
        Of the maps.
    rings : int
        From 0 to Nyquist; some more reach the corners.
    block : int
        Pixels a cell; only turns cycles per cell into cycles per pixel.
    """
    radius = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None, :]).ravel()
    width = 0.5 / rings
    n = int(np.sqrt(0.5) / width) + 1
    # A radius on a ring's edge belongs to the ring that starts there, whatever rounding says.
    ring = np.floor(radius / width + 1e-9).astype(np.int64)
    sides = np.broadcast_to(both_sides(shape[1]), power.shape[-2:]).ravel().copy()
    sides[0] = 0.0
    energy = np.zeros((len(power), n))
    for i, one in enumerate(power):
        energy[i] = np.bincount(ring, one.ravel() * sides, minlength=n)
    bins = np.bincount(ring, sides, minlength=n).astype(np.int64)
    return RadialProfile((np.arange(n) + 0.5) * width / block, energy, bins)


def radial_label_profile(
    values: IntArray, n_classes: int, rings: int = 32, block: int = 1
) -> RadialProfile:
    """Return the radial profile of the one-hot maps of a label map without holes.

    Parameters
    ----------
    values : (rows, cols) int array
        1..K. Unlabelled cells (0) are 0 in every map: with many of them the profile shows where
        someone painted, not what.
    n_classes : int
        K; classes that are not there have no energy.
    rings, block
        As in :func:`radial_profile`.
    """
    shape = (values.shape[0], values.shape[1])
    power = np.zeros((n_classes, shape[0], shape[1] // 2 + 1), np.float32)
    for value, spectrum in class_spectra(values, n_classes):
        power[value - 1] = spectrum.real**2 + spectrum.imag**2
    return radial_profile(power, shape, rings, block)
