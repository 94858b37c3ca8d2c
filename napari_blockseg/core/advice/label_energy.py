"""How much of the labels' energy a decoder's grid can hold, from block labels with holes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_blockseg.core.config import STRIDES
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum import MIN_BLOCKS, MIN_COVERAGE
from napari_blockseg.core.spectrum.pairs import (
    Lattice,
    Mask,
    class_energy,
    drawn_share,
    multiplicity,
    power_variance,
    waves,
)

IntArray = NDArray[np.integer[Any]]
FloatArray = NDArray[np.floating[Any]]

# Strides end at 32 pixels: windows far wider than that lose nothing, and bound time and memory.
_WINDOW = 1024
# Cells times classes to look at, a few seconds' worth; beyond it windows are chosen evenly.
_BUDGET = 16_000_000
# A grid holds one of the two phases of its own Nyquist: half of that energy counts as held.
_BESIDE = 1e-6


@dataclass(frozen=True)
class LabelEnergy:
    """What grids of several strides can hold of the labels, all classes together.

    Attributes
    ----------
    strides : tuple of int
        Working pixels a cell, rising; the first is the full grid.
    energy : tuple of float
        Share of the energy (without the mean) at frequencies up to ``0.5 / stride``.
    error : tuple of float
        Standard error of what lies between the full grid and this one, from having seen part of
        the labels.
    block : float
        Side of a block in working pixels.
    cells : int
        Labelled blocks.
    coverage : float
        Share of the blocks, of the planes with paint, that is labelled.
    """

    strides: tuple[int, ...]
    energy: tuple[float, ...]
    error: tuple[float, ...]
    block: float
    cells: int
    coverage: float

    @property
    def enough(self) -> bool:
        """Whether there is enough paint, of at least two classes, to say anything."""
        painted = self.cells >= MIN_BLOCKS and self.coverage >= MIN_COVERAGE
        return painted and not any(math.isnan(one) for one in self.energy)

    def cut(self, stride: int) -> float:
        """Return the share of energy between the Nyquist of the full grid and of this stride."""
        return max(self.energy[0] - self.energy[self.strides.index(stride)], 0.0)

    def cut_error(self, stride: int) -> float:
        """Return the standard error of :meth:`cut`."""
        return self.error[self.strides.index(stride)]


def label_energy(
    planes: Sequence[IntArray],
    n_classes: int,
    block: int,
    scale: float,
    strides: Sequence[int] = STRIDES,
) -> LabelEnergy:
    """Measure how much of the labels a decoder's grid can hold.

    Parameters
    ----------
    planes : sequence of (rows, cols) int arrays
        Block labels, 0 = unlabelled, 1..K; planes without paint do not count.
    n_classes : int
        K.
    block : int
        Block size, in pixels of the image.
    scale : float
        Working pixels per pixel of the image.
    strides : sequence of int
        Working pixels a cell, rising.

    Raises
    ------
    LabelError
        If a value lies above `n_classes`, or block or scale are not positive.

    Notes
    -----
    Block labels say nothing above their own Nyquist, and on their own grid all of their energy lies
    below it: taken so, no stride up to a block would cost anything. Networks that learn from blocks
    do follow borders more finely than these, though, and lose that on a coarser grid. So the labels
    are taken as DRAWN, every block a square of its pixels. In the autocovariance that is a straight
    line from one block to the next, which is what straight borders have; the energy above f then
    falls as 1 / f. Structures thinner than a block are not seen. With holes the autocovariance
    comes from pairs of labelled blocks (:mod:`~napari_blockseg.core.spectrum.pairs`). How far this
    is from the energy of dense masks: ``benchmarks/results/stride_loss.json``.
    """
    if block < 1 or not scale > 0:
        raise LabelError(f"Got block {block} and scale {scale}; expected positive numbers.")
    cutoffs = np.array([0.5 * scale / stride * block for stride in reversed(strides)])
    painted = [plane for plane in map(np.asarray, planes) if plane.any()]
    largest = max((int(plane.max()) for plane in painted), default=0)
    if largest > n_classes:
        raise LabelError(
            f"Got label value {largest}; expected 0 (unlabelled) to {n_classes}. Check that "
            "labels and class list belong together."
        )
    band, variance, total = np.zeros(len(cutoffs)), np.zeros(len(cutoffs)), 0.0
    for window in _windows(painted, n_classes):
        below, unsure, everything = _window_energy(window, n_classes, cutoffs, block)
        band, variance, total = band + below, variance + unsure, total + everything
    cells = sum(int(np.count_nonzero(plane)) for plane in painted)
    size = sum(plane.size for plane in painted)
    nothing = np.full(len(cutoffs), np.nan)
    share = np.maximum.accumulate(np.clip(band / total, 0.0, 1.0)) if total > 0 else nothing
    error = np.sqrt(variance) / total if total > 0 else nothing
    return LabelEnergy(
        strides=tuple(strides),
        energy=tuple(float(one) for one in share[::-1]),
        error=tuple(float(one) for one in error[::-1]),
        block=block * scale,
        cells=cells,
        coverage=cells / size if size else 0.0,
    )


def _window_energy(
    values: IntArray, n_classes: int, cutoffs: FloatArray, block: int
) -> tuple[FloatArray, FloatArray, float]:
    """Return band (n,), variance of its cuts (n,) and total of one window, classes together."""
    counts = np.bincount(values.ravel(), minlength=n_classes + 1)[1:]
    n = int(counts.sum())
    shape = (values.shape[0], values.shape[1])
    n_cutoffs = len(cutoffs)
    around = np.concatenate([cutoffs * (1 - _BESIDE), cutoffs * (1 + _BESIDE)])
    lattice = Lattice.of(shape, around, pixels=block)
    mask = Mask.of(waves((values > 0).astype(float)), n, lattice)
    weights = None if mask.whole else _Weights.of(shape, cutoffs, block)
    band, squares, totals = np.zeros(n_cutoffs), np.zeros(n_cutoffs), [0.0]
    for k in np.flatnonzero((counts > 0) & (counts < n)):
        parts = waves((values == k + 1).astype(float))
        found = class_energy(parts, int(counts[k]), mask)
        band = band + (found.band[:n_cutoffs] + found.band[n_cutoffs:]) / 2
        totals.append(found.total)
        if weights is not None and found.covariance is not None:
            squares += weights.variance(power_variance(found.covariance, mask)) * found.total**2
    # What one class loses another wins. Of two classes the errors are the same and add up; of many
    # alike they are nearly independent.
    total = sum(totals)
    alike = total**2 / max(sum(one**2 for one in totals), 1e-300)
    return band, squares * alike / max(alike - 1, 1.0), total


@dataclass(frozen=True, eq=False)
class _Weights:
    """How much of each frequency of a grid lies between the finest and another cutoff."""

    cuts: FloatArray
    often: FloatArray

    @classmethod
    def of(cls, shape: tuple[int, int], cutoffs: FloatArray, block: int) -> _Weights:
        rows, cols = (drawn_share(fft.rfftfreq(n), cutoffs, block).T for n in shape)
        boxes = rows[:, :, None] * cols[:, None, :]
        often = multiplicity(shape[0])[:, None] * multiplicity(shape[1])
        return cls(boxes[-1] - boxes, often)

    def variance(self, each: FloatArray) -> FloatArray:
        """Return the variance of each cut, (n,), from that of each frequency's share.

        Shares are divided by the sum of all, whose error is taken out.
        """
        means = (self.cuts * self.often).sum((1, 2), keepdims=True) / self.often.sum()
        counted = self.often * each
        counted[0, 0] = 0.0
        variance: FloatArray = ((self.cuts - means) ** 2 * counted).sum((1, 2))
        return variance


def _windows(planes: Sequence[IntArray], n_classes: int) -> list[IntArray]:
    """Return parts of the planes that are painted, evenly spread where there are too many."""
    parts = [
        plane[top : top + _WINDOW, left : left + _WINDOW]
        for plane in planes
        for top in range(0, plane.shape[0], _WINDOW)
        for left in range(0, plane.shape[1], _WINDOW)
    ]
    parts = [part for part in parts if part.any()]
    work = n_classes * sum(part.size for part in parts)
    wanted = max(1, len(parts) * _BUDGET // work) if work > _BUDGET else len(parts)
    return [parts[i] for i in np.linspace(0, len(parts) - 1, wanted).round().astype(int)]
