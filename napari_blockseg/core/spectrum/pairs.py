"""Spectra from pair counts: what a map with holes in it says about the map without them.

A class with labels B (one-hot), known where W = 1, has the autocovariance
``A(lag) = corr((B - p) W, (B - p) W)(lag) / corr(W, W)(lag)``, the mean over the pairs of labelled
cells that lie `lag` apart; p is the class's share of the labelled cells. Its Fourier transform is
the spectrum (Wiener and Khinchin; as an estimate, Blackman and Tukey). Lags are circular: with no
holes, where every lag has as many pairs as there are cells, this is the power of the one-hot map.

The band is square, so lags, or frequencies, (r, c) and (-r, c) weigh alike, and the mean of both
is all that is kept: arrays of (rows // 2 + 1, cols // 2 + 1), here called quarters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from napari_blockseg.core.spectrum.bands import FloatArray

# The inclusive band must hold its own edge in spite of rounding.
_EDGE = 1e-12
# With random holes every lag has about n * coverage pairs; far fewer means a lag that the strokes
# hardly span, where the quotient is noise: it is taken as uncorrelated.
_MIN_PAIRS = 0.25
# A share lies in 0..1: no standard error is larger.
_LARGEST_ERROR = 0.5
_STRIP = 64


@dataclass(frozen=True, eq=False)
class BoxSums:
    """Sums over square boxes around zero: ``sum_rc X[r, c] rows[r, j] cols[c, j]`` for each j.

    The boxes, in this order: the mean alone, each cutoff, everything.
    """

    rows: FloatArray
    cols: FloatArray

    def __call__(self, quarter: FloatArray) -> tuple[FloatArray, float]:
        """Return the energy below each cutoff, (n,), and in all, both without the mean's."""
        sums = np.einsum("rj,rj->j", self.rows, quarter @ self.cols)
        return sums[1:-1] - sums[0], float(sums[-1] - sums[0])


@dataclass(frozen=True, eq=False)
class Lattice:
    """What depends on the shape of a grid and on the cutoffs only.

    Attributes
    ----------
    shape : (rows, cols)
        Of the grid, in cells.
    of_lags : BoxSums
        Energy from an autocovariance: its boxes are Dirichlet kernels.
    of_frequencies : BoxSums
        Energy from a power: its boxes are bands.
    bins : (n,) float array
        Share of all frequencies that lie in each band, the mean not counted.
    """

    shape: tuple[int, int]
    of_lags: BoxSums
    of_frequencies: BoxSums
    bins: FloatArray

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        cutoffs: FloatArray,
        dtype: Any = np.float64,
        pixels: int = 1,
    ) -> Lattice:
        """Return the lattice of a grid.

        Parameters
        ----------
        shape : (rows, cols)
            Of the grid, in cells.
        cutoffs : (n,) float array
            Rising, in cycles per cell.
        dtype : dtype
            Of the sums.
        pixels : int
            Side of a cell in pixels of the map that is asked about: 1 for the map of the cells
            themselves, b for that map drawn with squares of b x b pixels (:func:`drawn_share`).
            Cutoffs may then lie above the grid's Nyquist.
        """
        boxes = np.concatenate([[0.0], cutoffs, [np.inf]])
        inside = [drawn_share(fft.rfftfreq(n), boxes, pixels) for n in shape]
        often = [multiplicity(n)[:, None] for n in shape]
        kernels = [even_dft(part, n, 0) for part, n in zip(inside, shape, strict=True)]
        lags, bands = (
            BoxSums(*((part * many).astype(dtype) for part, many in zip(parts, often, strict=True)))
            for parts in (kernels, inside)
        )
        below, _ = bands(np.ones((shape[0] // 2 + 1, shape[1] // 2 + 1)))
        return cls(shape, lags, bands, below / (shape[0] * shape[1]))

    @property
    def size(self) -> int:
        """How many cells the grid has."""
        return self.shape[0] * self.shape[1]

    def dft(self, quarter: FloatArray) -> FloatArray:
        """Return the DFT of a map that is even along rows and columns, as a quarter."""
        return even_dft(even_dft(quarter, self.shape[0], 0), self.shape[1], 1)


def drawn_share(frequencies: FloatArray, cutoffs: FloatArray, pixels: int) -> FloatArray:
    """Return how much of a grid's frequency lies below each cutoff once its cells are drawn.

    Parameters
    ----------
    frequencies : (m,) float array
        Of the grid, cycles per cell, 0 to 0.5.
    cutoffs : (n,) float array
        Cycles per cell.
    pixels : int
        b, the side of a cell in pixels.

    Returns
    -------
    (m, n) float array
        0..1; for b = 1 it is 0 or 1.

    Notes
    -----
    A wave on the grid, drawn with cells b pixels wide, is spread over its aliases: of its power,
    ``(sin(pi x) / (b sin(pi x / b)))**2`` is at x = f, f + 1, ... f + b - 1 cycles per cell, which
    sum to one. In the autocovariance this is linear interpolation between lags of whole cells.
    """
    aliases = frequencies[:, None] + np.arange(pixels)
    angle = np.pi * aliases / pixels
    below = np.abs(np.sin(angle)) < _EDGE
    kernel = np.sin(np.pi * aliases) / (pixels * np.where(below, 1.0, np.sin(angle)))
    power_of = np.where(below, 1.0, kernel**2)
    # Above the Nyquist of the pixels a frequency is its own alias.
    folded = np.abs(aliases - pixels * np.round(aliases / pixels))
    inside = folded[:, None, :] <= cutoffs[:, None] + _EDGE
    share: FloatArray = (inside * power_of[:, None, :]).sum(-1)
    return share


def multiplicity(n: int) -> FloatArray:
    """Return how many of n frequencies each of the first n // 2 + 1 stands for."""
    often = np.full(n // 2 + 1, 2.0)
    often[0] = 1.0
    if n % 2 == 0:
        often[-1] = 1.0
    return often


def even_dft(values: FloatArray, n: int, axis: int) -> FloatArray:
    """Return the DFT of even sequences of length `n`; they and it by their first n // 2 + 1."""
    if n % 2 == 0:
        even: FloatArray = fft.dct(values, type=1, axis=axis)
        return even
    rest = np.flip(np.take(values, np.arange(1, n // 2 + 1), axis), axis)
    whole: FloatArray = fft.rfft(np.concatenate([values, rest], axis), axis=axis)
    return whole.real


def waves(values: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Return the sums of a map with cosines and sines, the real form of its DFT.

    Parameters
    ----------
    values : (rows, cols) float array
        The map.
    out : float array, optional
        Where to put them: fresh memory for every map takes longer than the transform.

    Returns
    -------
    (2 * (rows // 2 + 1), 2 * (cols // 2 + 1)) float array
        Upper half: cosines along rows; lower half: sines. Left and right: the same for columns.
    """
    whole = fft.rfft2(values)
    rows, cols = values.shape[0] // 2 + 1, whole.shape[1]
    parts = np.empty((2 * rows, 2 * cols), values.dtype) if out is None else out
    plus, minus = whole[:rows], whole[-np.arange(rows)]
    np.add(plus.real, minus.real, out=parts[:rows, :cols])
    np.add(plus.imag, minus.imag, out=parts[:rows, cols:])
    np.subtract(minus.imag, plus.imag, out=parts[rows:, :cols])
    np.subtract(minus.real, plus.real, out=parts[rows:, cols:])
    np.negative(parts[:rows, cols:], out=parts[:rows, cols:])
    parts *= 0.5
    return parts


def power(parts: FloatArray, minus: FloatArray | None = None, share: float = 0.0) -> FloatArray:
    """Return the power of a map from its :func:`waves`, less `share` times others, as a quarter."""
    rows, cols = parts.shape[0] // 2, parts.shape[1] // 2
    quarter = np.empty((rows, cols), parts.dtype)
    # In strips that stay in the cache: half the time on large grids.
    for first in range(0, rows, _STRIP):
        last = min(first + _STRIP, rows)
        squares = np.zeros((last - first, 2 * cols), parts.dtype)
        for strip in (slice(first, last), slice(rows + first, rows + last)):
            part = parts[strip] if minus is None else parts[strip] - share * minus[strip]
            squares += part * part
        np.add(squares[:, :cols], squares[:, cols:], out=quarter[first:last])
    return quarter


@dataclass(frozen=True, eq=False)
class Mask:
    """Where labels are known, and how many pairs each lag has.

    Attributes
    ----------
    lattice : Lattice
        Of the grid.
    parts : float array
        Its :func:`waves`.
    n : int
        How many cells are labelled.
    pairs : float array
        Pairs of labelled cells at each lag, a quarter (means of two lags: halves occur).
    inverse : float array
        One over that, 0 for lags with too few of them.
    """

    lattice: Lattice
    parts: FloatArray
    n: int
    pairs: FloatArray
    inverse: FloatArray

    @classmethod
    def of(cls, parts: FloatArray, n: int, lattice: Lattice) -> Mask:
        """Return the mask with these :func:`waves` and `n` labelled cells."""
        pairs = np.round(2 * lattice.dft(power(parts)) / lattice.size) / 2
        known = pairs >= max(0.5, _MIN_PAIRS * n * n / lattice.size)
        inverse = known / np.maximum(pairs, 0.5)
        return cls(lattice, parts, n, pairs, inverse)

    @property
    def whole(self) -> bool:
        """Whether there are no holes."""
        return self.n == self.lattice.size


@dataclass(frozen=True, eq=False)
class ClassEnergy:
    """Energy of one class, in labelled cells: below each cutoff, (n,), and in all."""

    band: FloatArray
    total: float
    covariance: FloatArray | None


def class_energy(parts: FloatArray, count: int, mask: Mask) -> ClassEnergy:
    """Return the energy of one class.

    Parameters
    ----------
    parts : float array
        :func:`waves` of its one-hot map, zero in the holes.
    count : int
        How many cells have it.
    mask : Mask
        Where there are labels.
    """
    lattice = mask.lattice
    centred = power(parts, mask.parts, count / mask.n)
    if mask.whole:
        band, total = lattice.of_frequencies(centred)
        return ClassEnergy(band / lattice.size, total / lattice.size, None)
    covariance = lattice.dft(centred)
    covariance *= mask.inverse
    covariance /= lattice.size
    band, total = lattice.of_lags(covariance)
    scale = mask.n / lattice.size
    return ClassEnergy(band * scale, total * scale, covariance)


def share_error(covariance: FloatArray, mask: Mask) -> FloatArray:
    """Return the standard error of a class's share of energy below each cutoff, (n,).

    Parameters
    ----------
    covariance : float array
        Of the class, a quarter.
    mask : Mask
        Where there are labels.

    Notes
    -----
    The holes add to the map a noise ``(W / f - 1) (B - p)`` with f the coverage. For labels that
    do not know of the mask its autocovariance is ``A(lag) (pairs(lag) / (f**2 P) - 1)`` (P cells),
    so its power N and the labels' power S are Fourier transforms; at one frequency the estimated
    power then has the variance ``2 S N + N**2``. Those of a band add up, twice, since f and -f are
    one; and as shares are divided by the sum of all, the error of that is taken out. It sees
    strokes as well as random holes, but not a painter who keeps away from borders.
    """
    lattice = mask.lattice
    below, everything = lattice.of_frequencies(power_variance(covariance, mask))
    spread = below * (1 - 2 * lattice.bins) + lattice.bins**2 * everything
    smaller: FloatArray = np.minimum(np.sqrt(np.maximum(spread, 0.0)), _LARGEST_ERROR)
    return smaller


def power_variance(covariance: FloatArray, mask: Mask) -> FloatArray:
    """Return the variance of each frequency's share of a class's energy, a quarter.

    See :func:`share_error`: ``2 S N + N**2``, twice since f and -f are one.
    """
    lattice = mask.lattice
    ratio = covariance / max(float(covariance[0, 0]), 1e-300)
    holes = ratio * (mask.pairs * (lattice.size / mask.n**2) - 1)
    signal, noise = (np.maximum(lattice.dft(one), 0.0) for one in (ratio, holes))
    variance: FloatArray = 2 * (2 * signal * noise + noise**2) / lattice.size**2
    return variance
