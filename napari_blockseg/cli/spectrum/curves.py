"""The label spectrum of a whole set of labels, as curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.cli.spectrum.findings import LabelCurve
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.spectrum import (
    class_spectra,
    combine,
    default_cutoffs,
    energy_below,
    label_spectrum,
)

# From blocks of 256 pixels to single pixels, so that every power of two is one of them.
_OCTAVES, _AN_OCTAVE = 8, 4

FloatArray = NDArray[np.float64]


class DenseCurve:
    """Sums the spectra of dense masks, one at a time.

    Parameters
    ----------
    n_classes : int
        K.
    multiple : int
        Masks are cut at the bottom and right to multiples of this, in pixels, as for the ceilings.

    Notes
    -----
    Void is 0 in every map, as in the table of ceilings: at 0.5 / block the curve is its energy.
    """

    def __init__(self, n_classes: int, multiple: int) -> None:
        self.n_classes = n_classes
        self.multiple = multiple
        steps = np.arange(_OCTAVES * _AN_OCTAVE, -1, -1)
        self.cutoffs = 0.5 / 2.0 ** (steps / _AN_OCTAVE)
        # The last column is everything.
        self._sums = np.zeros((2, n_classes, len(self.cutoffs) + 1))

    def add(self, mask: NDArray[Any]) -> None:
        """Count one mask, (rows, cols), 0 = void."""
        rows, cols = (n // self.multiple * self.multiple for n in mask.shape)
        cutoffs = np.append(self.cutoffs, 1.0)
        for value, spectrum in class_spectra(mask[:rows, :cols], self.n_classes):
            power = spectrum.real**2 + spectrum.imag**2
            for with_dc, sums in enumerate(self._sums):
                below = energy_below(power, (rows, cols), cutoffs, dc=bool(with_dc))
                sums[value - 1] += below.reshape(-1)

    def result(self) -> LabelCurve:
        """Return the curves of all masks together."""
        (energy, mean), (with_dc, mean_with_dc) = map(_shares, self._sums)
        error = np.zeros_like(energy)
        return LabelCurve(self.cutoffs, energy, with_dc, error, mean, mean_with_dc)


def block_curve(painted: Sequence[BlockLabels], n_classes: int) -> LabelCurve:
    """Return the spectrum of block labels, with or without holes; all at one block size."""
    block = painted[0].grid.block
    cutoffs = default_cutoffs(block)
    spectra, means = [], np.zeros((n_classes, 1))
    for item in painted:
        for index in np.ndindex(item.grid.leading_shape):
            values = item.values[index]
            if not values.any():
                continue
            spectra.append(label_spectrum(values, n_classes, block, cutoffs))
            counts = np.bincount(values[values > 0], minlength=n_classes + 1)[1:, None]
            # What the mean of the map holds, in pixels, as `band` and `total` are.
            means += counts.astype(float) ** 2 / counts.sum() * block**2
    both = combine(spectra)
    sums = np.concatenate([both.band, both.total[:, None]], axis=1)
    with_dc, mean_with_dc = _shares(sums + means)
    return LabelCurve(
        cutoffs,
        both.energy,
        with_dc,
        both.error,
        both.mean,
        mean_with_dc,
        both.coverage,
        both.enough,
    )


def _shares(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (K, n) shares and (n,) those of all classes, of sums whose last column is all."""
    total = sums[:, -1:]
    shares = np.divide(
        sums[:, :-1], total, out=np.full(sums[:, :-1].shape, np.nan), where=total > 0
    )
    everything = sums.sum(0)
    if everything[-1] <= 0:
        return shares, np.full(sums.shape[1] - 1, np.nan)
    return shares, everything[:-1] / everything[-1]
