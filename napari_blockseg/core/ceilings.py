"""Ceilings: how well block labels and band-limited labels can describe dense masks at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_blockseg.core.labels import class_counts
from napari_blockseg.core.metrics import BoundaryF, Confusion
from napari_blockseg.core.spectrum import band_limit, energy_below, one_hot

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
    band_limited_miou : float or None
        Of the argmax of the labels band-limited to ``0.5 / block``.
    energy : float or None
        Share of the one-hot maps' energy without DC in that band, all classes together.
    iou, class_energy : (K,) float array
        The same per class.
    owned_blocks : (K,) int array
        Blocks whose majority each class is.
    """

    block: int
    miou: float | None
    pixel_accuracy: float | None
    boundary_f: float | None
    band_limited_miou: float | None
    energy: float | None
    iou: NDArray[np.float64]
    class_energy: NDArray[np.float64]
    owned_blocks: NDArray[np.int64]


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
    skipped and counted. Void counts nowhere; majority ties go to the lowest value.

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
        self._majority = {b: Confusion(n_classes) for b in self.blocks}
        self._band_limited = {b: Confusion(n_classes) for b in self.blocks}
        self._boundary = {b: BoundaryF(n_classes) for b in self.blocks}
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
        maps = one_hot(mask, self.n_classes)
        self._add_energy(maps)
        for block in self.blocks:
            self._add_block(mask, maps, block)
        return True

    def _add_energy(self, maps: NDArray[np.floating[Any]]) -> None:
        power = np.abs(fft.rfft2(maps)) ** 2
        cutoffs = np.array([0.5 / b for b in reversed(self.blocks)] + [1.0])
        self._energy += energy_below(power, maps.shape[1:], cutoffs)

    def _add_block(self, mask: IntArray, maps: NDArray[np.floating[Any]], block: int) -> None:
        counts = class_counts(mask, block, self.n_classes)
        best = counts[..., 1:].argmax(-1) + 1
        seen = counts[..., 1:].any(-1)
        self._owned[block] += np.bincount(best[seen], minlength=self.n_classes + 1)[1:]
        majority = best.repeat(block, 0).repeat(block, 1)
        self._majority[block].add(mask, majority)
        self._boundary[block].add(mask, majority)
        low_passed = band_limit(maps, 0.5 / block).argmax(0) + 1
        self._band_limited[block].add(mask, low_passed)

    def rows(self) -> list[Ceiling]:
        """Return one :class:`Ceiling` a block size, finest first."""
        total = self._energy[:, -1]
        rows = []
        for i, block in enumerate(self.blocks):
            inside = self._energy[:, len(self.blocks) - 1 - i]
            rows.append(
                Ceiling(
                    block=block,
                    miou=self._majority[block].miou(),
                    pixel_accuracy=self._majority[block].pixel_accuracy(),
                    boundary_f=self._boundary[block].mean(),
                    band_limited_miou=self._band_limited[block].miou(),
                    energy=float(inside.sum() / total.sum()) if total.sum() > 0 else None,
                    iou=self._majority[block].iou(),
                    class_energy=np.divide(
                        inside, total, out=np.full(self.n_classes, np.nan), where=total > 0
                    ),
                    owned_blocks=self._owned[block],
                )
            )
        return rows
