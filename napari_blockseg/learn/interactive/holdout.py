"""Which painted blocks score the head and the network: a choice that grows with the paint."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int16]

#: Cells along a side of a superblock: neighbours are too like each other to be parted.
SIDE = 8
#: One superblock in so many is held out.
ONE_IN = 6
#: Cells that a class has to have in training before any of it is held out.
MIN_TRAIN = 12


class GrowingHoldout:
    """Superblocks held out of training, decided as they are painted.

    The first strokes of a class are always learned from. What was learned from is never held out
    later; what is held out is given to training when a class turns up in it that training lacks.

    Parameters
    ----------
    n_classes : int
        Number of classes.
    seed : int
        Of the choice.
    """

    def __init__(self, n_classes: int, seed: int = 0) -> None:
        self._n_classes = n_classes
        self._seed = seed
        self._held: dict[tuple[str, int, int], bool] = {}
        self._masks: dict[str, NDArray[np.bool_]] = {}

    def update(self, planes: Mapping[str, Cells], changed: Mapping[str, Cells]) -> None:
        """Take in what was painted.

        Parameters
        ----------
        planes : mapping of str to (rows, cols) int array
            Class index of each cell of every plane by name, -1 = unlabelled.
        changed : mapping of str to (rows, cols) int array
            Those of them that changed.
        """
        train = np.zeros(self._n_classes, np.int64)
        for name, cells in planes.items():
            kept = cells[(cells >= 0) & ~self._known(name, cells)]
            if name not in changed:
                train += np.bincount(kept, minlength=self._n_classes)
        for name, cells in changed.items():
            mask = np.zeros(cells.shape, bool)
            for row, col in _painted(cells):
                part = (
                    slice(row * SIDE, (row + 1) * SIDE),
                    slice(col * SIDE, (col + 1) * SIDE),
                )
                counts = np.bincount(cells[part][cells[part] >= 0], minlength=self._n_classes)
                held = self._decide((name, row, col), counts, train)
                mask[part] = held
                train += 0 if held else counts
            self._masks[name] = mask

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return which cells of a plane are held out, (rows, cols)."""
        return self._masks[name]

    def _decide(
        self, place: tuple[str, int, int], counts: NDArray[np.int64], train: NDArray[np.int64]
    ) -> bool:
        """Return whether a superblock is held out, given what training has without it."""
        enough = bool(np.all(train[counts > 0] >= MIN_TRAIN))
        held = self._held.get(place, self._drawn(place)) and enough
        self._held[place] = held
        return held

    def _drawn(self, place: tuple[str, int, int]) -> bool:
        digest = hashlib.sha256(repr((self._seed, place)).encode()).digest()
        return digest[0] % ONE_IN == 0

    def _known(self, name: str, cells: Cells) -> NDArray[np.bool_]:
        mask = self._masks.get(name)
        if mask is None or mask.shape != cells.shape:
            return np.zeros(cells.shape, bool)
        return mask


def _painted(cells: Cells) -> list[tuple[int, int]]:
    places = np.unique(np.argwhere(cells >= 0) // SIDE, axis=0)
    return [(int(row), int(col)) for row, col in places]
