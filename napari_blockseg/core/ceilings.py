"""Ceilings: how well block labels and band-limited labels can describe dense masks at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.labels import class_counts
from napari_blockseg.core.metrics import BoundaryF, Confusion, boundary_scores
from napari_blockseg.core.spectrum import LargestClass, class_spectra, energy_below, low_pass

IntArray = NDArray[np.integer[Any]]
BLOCKS = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, eq=False)
class Ceiling:
    """What one block size can describe; shares 0..1, NaN for classes that never appear.

    Attributes
    ----------
    block : int
        Block size, in pixels.
    miou, pixel_accuracy, boundary_f : float or None
        Of the block-majority labels against the masks.
    band_limited_miou, band_limited_boundary_f : float or None
        Of the argmax of the labels band-limited to ``0.5 / block``.
    energy : float or None
        Share of the one-hot maps' energy without DC in that band, all classes together.
    iou, class_boundary_f : (K,) float array
        Of the block-majority labels, per class.
    band_limited_iou, class_band_limited_boundary_f : (K,) float array
        Of the band-limited labels, per class.
    class_energy : (K,) float array
        `energy` per class.
    owned_blocks : (K,) int array
        Blocks whose majority each class is.
    """

    block: int
    miou: float | None
    pixel_accuracy: float | None
    boundary_f: float | None
    band_limited_miou: float | None
    band_limited_boundary_f: float | None
    energy: float | None
    iou: NDArray[np.float64]
    class_boundary_f: NDArray[np.float64]
    band_limited_iou: NDArray[np.float64]
    class_band_limited_boundary_f: NDArray[np.float64]
    class_energy: NDArray[np.float64]
    owned_blocks: NDArray[np.int64]


class _Score:
    """Confusion and boundary F of one kind of labels at one block size."""

    def __init__(self, n_classes: int) -> None:
        self.confusion = Confusion(n_classes)
        self.boundary = BoundaryF(n_classes)


class CeilingTable:
    """Sums ceilings over masks, one mask at a time, so that memory does not grow with them.

    Parameters
    ----------
    n_classes : int
        K.
    blocks : sequence of int
        Block sizes, in pixels.

    Notes
    -----
    Each mask is cut at the bottom and right to multiples of the largest block; smaller ones are
    skipped and counted. Void counts nowhere; majority ties go to the lowest value. mIoU and IoU
    come from the confusion summed over all masks, boundary F is averaged over the masks that have
    the class. Energies and low-passed maps are computed in float32, one class after the other.

    Examples
    --------
    >>> table = CeilingTable(2, blocks=(2, 4))
    >>> table.add(np.array([[1, 1, 1, 2]] * 4))
    True
    >>> [round(row.pixel_accuracy, 2) for row in table.rows()]
    [0.75, 0.75]
    """

    def __init__(self, n_classes: int, blocks: tuple[int, ...] = BLOCKS) -> None:
        self.n_classes = n_classes
        self.blocks = tuple(sorted(blocks))
        self.images = 0
        self.skipped = 0
        self.pixels_used = 0
        self._majority = {b: _Score(n_classes) for b in self.blocks}
        self._band_limited = {b: _Score(n_classes) for b in self.blocks}
        self._owned = {b: np.zeros(n_classes, np.int64) for b in self.blocks}
        self._energy = np.zeros((n_classes, len(self.blocks) + 1))

    def add(self, mask: IntArray) -> bool:
        """Count one dense mask, (rows, cols), 0 = void; return whether it was large enough.

        Raises
        ------
        LabelError
            If a value lies outside 0..K.
        """
        largest = self.blocks[-1]
        rows, cols = (n // largest * largest for n in mask.shape)
        mask = np.asarray(mask)[:rows, :cols]
        if not mask.any():
            self.skipped += 1
            return False
        self.images += 1
        self.pixels_used += int(np.count_nonzero(mask))
        majority = [self._block_majority(mask, block) for block in self.blocks]
        labels = majority + self._low_passed(mask)
        edges = boundary_scores(mask, labels, self.n_classes)
        scores = [*self._majority.values(), *self._band_limited.values()]
        for score, predicted, found in zip(scores, labels, edges, strict=True):
            score.confusion.add(mask, predicted)
            score.boundary.count(found)
        return True

    def _block_majority(self, mask: IntArray, block: int) -> IntArray:
        counts = class_counts(mask, block, self.n_classes)
        best = counts[..., 1:].argmax(-1) + 1
        seen = counts[..., 1:].any(-1)
        self._owned[block] += np.bincount(best[seen], minlength=self.n_classes + 1)[1:]
        majority: IntArray = best.astype(np.uint16).repeat(block, 0).repeat(block, 1)
        return majority

    def _low_passed(self, mask: IntArray) -> list[IntArray]:
        # One FFT a class serves the energy and every block size.
        shape = (mask.shape[0], mask.shape[1])
        cutoffs = np.array([0.5 / b for b in reversed(self.blocks)] + [1.0])
        largest = [LargestClass() for _ in self.blocks]
        for value, spectrum in class_spectra(mask, self.n_classes):
            power = spectrum.real**2 + spectrum.imag**2
            self._energy[value - 1] += energy_below(power, shape, cutoffs)
            for block, one in zip(self.blocks, largest, strict=True):
                one.add(value, low_pass(spectrum, shape, 0.5 / block))
        return [one.values(self.n_classes) for one in largest]

    def rows(self) -> list[Ceiling]:
        """Return one :class:`Ceiling` a block size, finest first."""
        return [self._row(i, block) for i, block in enumerate(self.blocks)]

    def _row(self, i: int, block: int) -> Ceiling:
        majority, band_limited = self._majority[block], self._band_limited[block]
        # Energies lie by rising cutoff: the coarsest block first, all of it last.
        inside, total = self._energy[:, len(self.blocks) - 1 - i], self._energy[:, -1]
        unseen = np.full(self.n_classes, np.nan)
        return Ceiling(
            block=block,
            miou=majority.confusion.miou(),
            pixel_accuracy=majority.confusion.pixel_accuracy(),
            boundary_f=majority.boundary.mean(),
            band_limited_miou=band_limited.confusion.miou(),
            band_limited_boundary_f=band_limited.boundary.mean(),
            energy=float(inside.sum() / total.sum()) if total.sum() > 0 else None,
            iou=majority.confusion.iou(),
            class_boundary_f=majority.boundary.scores(),
            band_limited_iou=band_limited.confusion.iou(),
            class_band_limited_boundary_f=band_limited.boundary.scores(),
            class_energy=np.divide(inside, total, out=unseen, where=total > 0),
            owned_blocks=self._owned[block],
        )
