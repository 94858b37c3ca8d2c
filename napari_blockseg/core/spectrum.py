"""Label spectra: how much of a label map lies below a cutoff frequency.

Frequencies are in cycles per pixel, 0 to 0.5. The band is square, ``max(|f_row|, |f_col|) <=
cutoff``, to match a square grid; a block of b pixels resolves up to ``0.5 / b``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]

# The inclusive band must hold its own edge in spite of rounding.
_EDGE = 1e-12
MIN_COVERAGE = 0.05
MIN_BLOCKS = 50
_MIN_PAIRS = 0.25


@dataclass(frozen=True, eq=False)
class LabelSpectrum:
    """Share of each class's energy (without its mean) below each cutoff.

    Attributes
    ----------
    cutoffs : (n,) float array
        Cycles per pixel, rising, up to 0.5 / block.
    energy : (K, n) float array
        Share 0..1; NaN for a class that is absent or covers everything.
    mean : (n,) float array
        The classes together: energies summed, then divided.
    error : (K, n) float array
        Standard error of `energy`; zero when every block is labelled.
    coverage : float
        Share of blocks that are labelled.
    enough : bool
        Whether there is enough paint to say anything.
    """

    cutoffs: FloatArray
    energy: FloatArray
    mean: FloatArray
    error: FloatArray
    coverage: float
    enough: bool


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


def label_spectrum(
    values: IntArray, n_classes: int, block: int = 1, cutoffs: FloatArray | None = None
) -> LabelSpectrum:
    """Return the label spectrum of one plane, with or without holes.

    Parameters
    ----------
    values : (rows, cols) int array
        Block labels (or a dense mask with ``block=1``): 0 = unlabelled, 1..K.
    n_classes : int
        K.
    block : int
        Pixels a cell; only turns cycles per cell into cycles per pixel.
    cutoffs : (n,) float array, optional
        Cycles per pixel, rising; by default :func:`default_cutoffs`.

    Notes
    -----
    Where every cell is labelled, this is the power of the one-hot maps. With holes, the power of
    ``B * W`` would mostly show where someone painted. So the autocovariance is estimated lag by
    lag from pairs of labelled cells, ``A(lag) = corr((B - mean) W)(lag) / corr(W)(lag)``, and its
    Fourier transform is the spectrum (the Blackman-Tukey way). Lags with too few pairs are taken
    as uncorrelated. The error is half the difference between two halves of the paint.
    """
    cutoffs = default_cutoffs(block) if cutoffs is None else np.asarray(cutoffs, float)
    values = np.asarray(values)
    labelled = values > 0
    n_labelled = int(labelled.sum())
    coverage = n_labelled / labelled.size
    if n_labelled == 0:
        nothing = np.full((n_classes, len(cutoffs)), np.nan)
        return LabelSpectrum(cutoffs, nothing, nothing[0], nothing, 0.0, False)
    band, total = _band_and_total(values, n_classes, cutoffs * block)
    energy, mean = _shares(band, total)
    error = np.zeros_like(energy)
    if n_labelled < labelled.size:
        error = _half_difference(values, n_classes, cutoffs * block)
    enough = coverage >= MIN_COVERAGE and n_labelled >= min(MIN_BLOCKS, labelled.size)
    return LabelSpectrum(cutoffs, energy, mean, error, coverage, enough)


def _band_and_total(
    values: IntArray, n_classes: int, cutoffs: FloatArray
) -> tuple[FloatArray, FloatArray]:
    labelled = (values > 0).astype(np.float64)
    shape = (values.shape[0], values.shape[1])
    maps = one_hot(values, n_classes)
    if labelled.all():
        power = np.abs(fft.rfft2(maps)) ** 2
    else:
        power = _power_from_pairs(maps, labelled, shape)
    everything = np.append(cutoffs, 1.0)
    below = energy_below(power, shape, everything)
    return below[:, :-1], below[:, -1]


def _power_from_pairs(maps: FloatArray, labelled: FloatArray, shape: tuple[int, int]) -> FloatArray:
    n_labelled = labelled.sum()
    share = maps.sum(axis=(1, 2), keepdims=True) / n_labelled
    # Without its mean the map is small where nothing is known: what the holes leak is small too.
    power = np.abs(fft.rfft2((maps - share) * labelled)) ** 2
    together = fft.irfft2(power, s=shape)
    pairs = np.round(fft.irfft2(np.abs(fft.rfft2(labelled)) ** 2, s=shape))
    # With random holes every lag has about n * coverage pairs; far fewer means a lag that the
    # strokes hardly span, where the quotient is noise.
    known = pairs >= max(1.0, _MIN_PAIRS * n_labelled * labelled.mean())
    auto = np.where(known, together / np.maximum(pairs, 1.0), 0.0)
    return fft.rfft2(auto).real * labelled.size


def _shares(band: FloatArray, total: FloatArray) -> tuple[FloatArray, FloatArray]:
    present = total > 1e-9 * max(float(total.max(initial=0.0)), 1.0)
    energy = np.full(band.shape, np.nan)
    energy[present] = np.clip(band[present] / total[present, None], 0.0, 1.0)
    if not present.any():
        return energy, np.full(band.shape[1], np.nan)
    return energy, np.clip(band[present].sum(0) / total[present].sum(), 0.0, 1.0)


def _half_difference(values: IntArray, n_classes: int, cutoffs: FloatArray) -> FloatArray:
    # Patches of 4 x 4 blocks go to one half together: paint comes in strokes, and halves drawn
    # block by block would look more alike than they are.
    rows, cols = -(-values.shape[0] // 4), -(-values.shape[1] // 4)
    side = np.random.default_rng(0).random((rows, cols)) < 0.5
    side = side.repeat(4, 0).repeat(4, 1)[: values.shape[0], : values.shape[1]]
    halves = [
        _shares(*_band_and_total(np.where(part, values, 0), n_classes, cutoffs))[0]
        for part in (side, ~side)
        if (values[part] > 0).any()
    ]
    if len(halves) < 2:
        return np.full((n_classes, len(cutoffs)), np.nan)
    return np.abs(halves[0] - halves[1]) / 2
