"""Label spectra: how much of a label map lies below a cutoff, with or without holes in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum.bands import (
    FloatArray,
    IntArray,
    default_cutoffs,
)
from napari_blockseg.core.spectrum.pairs import Lattice, Mask, class_energy, share_error, waves

MIN_COVERAGE = 0.05
MIN_BLOCKS = 50


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
        Standard error of `energy`; zero when every cell is labelled.
    coverage : float
        Share of blocks that are labelled.
    enough : bool
        Whether there is enough paint to say anything.
    band : (K, n) float array
        Energy below each cutoff, of the labelled cells, in pixels: shares of planes can be summed.
    total : (K,) float array
        Energy of each class in all frequencies but the mean, in the same unit.
    cells, size : int
        How many cells are labelled, and how many there are.
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
    size: int = 0
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

    Raises
    ------
    LabelError
        If `values` is not a plane, or holds something outside 0..K.

    Notes
    -----
    Where every cell is labelled, this is the power of the one-hot maps. With holes, the power of
    ``B * W`` would mostly show where someone painted; so the autocovariance is estimated lag by
    lag from pairs of labelled cells, and its Fourier transform is the spectrum. Formulas and
    sources are in :mod:`~napari_blockseg.core.spectrum.pairs`. Shares never fall with the cutoff:
    where the estimate does, the largest so far is given.

    What it cannot see: paint that keeps away from borders makes labels look smoother than they
    are (by about 0.2 of a share where each stroke stays inside one region; see
    ``benchmarks/results/painted_spectrum.json``), and the error band does not know of it.
    """
    cutoffs = default_cutoffs(block) if cutoffs is None else np.asarray(cutoffs, float)
    values = np.asarray(values)
    check_plane(values)
    check_values(values, n_classes)
    counts = np.bincount(values.ravel(), minlength=n_classes + 1)[1:]
    band, error = np.zeros((2, n_classes, len(cutoffs)))
    total = np.zeros(n_classes)
    n = int(counts.sum())
    if n:
        lattice = Lattice.of((values.shape[0], values.shape[1]), cutoffs * block)
        meter = Meter(values, lattice)
        for k in range(n_classes):
            if 0 < counts[k] < n:
                band[k], total[k], error[k] = meter.measure(k + 1, int(counts[k]))
    return spectrum_of(cutoffs, band, total, error, n, values.size, block)


def check_plane(values: IntArray) -> None:
    """Raise LabelError unless labels are (rows, cols) with at least one cell."""
    if values.ndim != 2 or values.size == 0:
        raise LabelError(
            f"Got labels of shape {values.shape}; expected one plane, (rows, cols), with cells in "
            "it. Take a stack plane by plane."
        )


def check_values(values: IntArray, n_classes: int) -> None:
    """Raise LabelError unless labels are 0 to `n_classes`."""
    if values.size and not 0 <= int(values.min()) <= int(values.max()) <= n_classes:
        raise LabelError(
            f"Got values from {values.min()} to {values.max()}; expected 0 (unlabelled) to "
            f"{n_classes}, the number of classes."
        )


class Meter:
    """Measures one class of a plane after the other, exactly and from the labels alone.

    Parameters
    ----------
    values : (rows, cols) int array
        Labels, not all 0.
    lattice : Lattice
        Of their grid, in float64.
    """

    def __init__(self, values: IntArray, lattice: Lattice) -> None:
        self._values = values
        known = values > 0
        self._map = known.astype(np.float64)
        self._mask = Mask.of(waves(self._map), int(known.sum()), lattice)
        self._parts = np.empty_like(self._mask.parts)

    def measure(self, value: int, count: int) -> tuple[FloatArray, float, FloatArray]:
        """Return band (n,), total, both in cells, and error (n,) of a class with `count` cells."""
        np.copyto(self._map, self._values == value)
        found = class_energy(waves(self._map, self._parts), count, self._mask)
        error = np.zeros_like(found.band)
        if found.covariance is not None:
            error = share_error(found.covariance, self._mask)
        return found.band, found.total, error


def spectrum_of(
    cutoffs: FloatArray,
    band: FloatArray,
    total: FloatArray,
    error: FloatArray,
    cells: int,
    size: int,
    block: int = 1,
) -> LabelSpectrum:
    """Return what these energies, in cells of `block` pixels, say; as in :class:`LabelSpectrum`."""
    energy, mean = _shares(band, total)
    coverage = cells / size if size else 0.0
    enough = cells > 0 and coverage >= MIN_COVERAGE and cells >= min(MIN_BLOCKS, size)
    known = np.where(np.isnan(energy) & (cells < size), np.nan, error)
    arrays = (cutoffs.copy(), energy, mean, known, band * block**2, total * block**2)
    for one in arrays:
        one.flags.writeable = False
    return LabelSpectrum(*arrays[:4], coverage, enough, *arrays[4:], cells, size)


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
    errors = [np.where(one.total > 0, one.error.T * one.total, 0.0).T for one in spectra]
    error = np.sqrt(np.sum(np.square(errors), axis=0)) / np.where(total > 0, total, 1.0)[:, None]
    cells, size = (sum(getattr(one, name) for one in spectra) for name in ("cells", "size"))
    whole = spectrum_of(first.cutoffs, band, total, error, cells, size)
    return replace(whole, settled=all(one.settled for one in spectra))


def _shares(band: FloatArray, total: FloatArray) -> tuple[FloatArray, FloatArray]:
    present = total > 0
    energy = np.full(band.shape, np.nan)
    energy[present] = _rising(band[present] / total[present, None])
    if not present.any():
        return energy, np.full(band.shape[1], np.nan)
    return energy, _rising(band[present].sum(0) / total[present].sum())


def _rising(share: FloatArray) -> FloatArray:
    rising: FloatArray = np.maximum.accumulate(np.clip(share, 0.0, 1.0), axis=-1)
    return rising
