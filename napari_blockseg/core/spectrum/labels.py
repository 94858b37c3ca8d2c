"""Label spectra: how much of a label map lies below a cutoff, with or without holes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum.bands import (
    FloatArray,
    IntArray,
    default_cutoffs,
    energy_below,
    one_hot,
)

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
    band : (K, n) float array
        Energy below each cutoff, of the labelled cells, in pixels: shares of planes can be summed.
    total : (K,) float array
        Energy of each class in all frequencies but the mean, in the same unit.
    cells : int
        How many cells are labelled.
    generation : int
        Rises with every change of a :class:`LiveSpectrum`; 0 otherwise.
    settled : bool
        Whether everything, the error too, belongs to the present labels.
    """

    cutoffs: FloatArray
    energy: FloatArray
    mean: FloatArray
    error: FloatArray
    coverage: float
    enough: bool
    band: FloatArray
    total: FloatArray
    cells: int = 0
    generation: int = 0
    settled: bool = True


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
        return LabelSpectrum(
            cutoffs,
            nothing,
            nothing[0],
            nothing,
            0.0,
            False,
            np.zeros_like(nothing),
            np.zeros(n_classes),
        )
    band, total = _band_and_total(values, n_classes, cutoffs * block)
    energy, mean = _shares(band, total)
    error = np.zeros_like(energy)
    if n_labelled < labelled.size:
        error = _half_difference(values, n_classes, cutoffs * block)
    enough = coverage >= MIN_COVERAGE and n_labelled >= min(MIN_BLOCKS, labelled.size)
    # From the power of the whole grid to the energy of the pixels that are labelled.
    scale = block**2 * n_labelled / labelled.size**2
    return LabelSpectrum(
        cutoffs,
        energy,
        mean,
        error,
        coverage,
        enough,
        band * scale,
        total * scale,
        n_labelled,
    )


def combine(spectra: Sequence[LabelSpectrum]) -> LabelSpectrum:
    """Return the spectrum of several planes or images together: energies summed, then divided.

    Parameters
    ----------
    spectra : sequence of LabelSpectrum
        With the same cutoffs and classes; planes without paint count for coverage only.

    Raises
    ------
    LabelError
        If there is none, or cutoffs or classes differ.
    """
    if not spectra:
        raise LabelError("Got no spectrum to combine; give those of at least one plane.")
    first = spectra[0]
    for other in spectra:
        same = other.band.shape == first.band.shape and np.allclose(other.cutoffs, first.cutoffs)
        if not same:
            raise LabelError(
                "Got spectra with different cutoffs or numbers of classes; measure all planes "
                "with the same ones to combine them."
            )
    band = np.sum([one.band for one in spectra], axis=0)
    total = np.sum([one.total for one in spectra], axis=0)
    # Planes err independently: variances of the energies add.
    errors = [np.nan_to_num(one.error) * one.total[:, None] for one in spectra]
    spread = np.sqrt(np.sum(np.square(errors), axis=0))
    error = np.divide(
        spread, total[:, None], out=np.full_like(band, np.nan), where=total[:, None] > 0
    )
    energy, mean = _shares(band, total)
    cells = sum(one.cells for one in spectra)
    whole = sum(one.cells / one.coverage if one.coverage > 0 else 0.0 for one in spectra)
    coverage = cells / whole if whole else 0.0
    enough = coverage >= MIN_COVERAGE and cells >= MIN_BLOCKS
    return LabelSpectrum(first.cutoffs, energy, mean, error, coverage, enough, band, total, cells)


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
