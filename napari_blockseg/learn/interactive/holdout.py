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
ONE_IN = 7
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

    def update(self, planes: Mapping[str, Cells], changed: Mapping[str, Cells]) -> set[str]:
        """Take in what was painted.

        Parameters
        ----------
        planes : mapping of str to (rows, cols) int array
            Class index of each cell of every plane by name, -1 = unlabelled.
        changed : mapping of str to (rows, cols) int array
            Those of them that changed.

        Returns
        -------
        set of str
            Other planes, of which something is no longer held out: training lacks a class of it.
        """
        train = np.zeros(self._n_classes, np.int64)
        for name, cells in planes.items():
            if name not in changed:
                train += self._count(cells[~self._known(name, cells)])
        parts = []
        for name, cells in changed.items():
            self._masks[name] = np.zeros(cells.shape, bool)
            for row, col in _places(cells >= 0):
                area = _area(row, col)
                parts.append(((name, row, col), area, self._count(cells[area])))
                train += parts[-1][2]
        for place, area, counts in parts:
            left = train - counts
            enough = bool(np.all(left[counts > 0] >= MIN_TRAIN))
            self._held[place] = self._held.get(place, self._drawn(place)) and enough
            if self._held[place]:
                self._masks[place[0]][area] = True
                train = left
        others = {name: cells for name, cells in planes.items() if name not in changed}
        return self._give_back(others, train)

    def _give_back(self, planes: Mapping[str, Cells], train: NDArray[np.int64]) -> set[str]:
        """Give training what it lacks of what is held out on planes that did not change."""
        given = set()
        for name, cells in planes.items():
            mask = self._known(name, cells)
            lacking = mask & (cells >= 0) & (train < MIN_TRAIN)[cells]
            for row, col in _places(lacking):
                area = _area(row, col)
                counts = self._count(cells[area])
                if np.any(train[counts > 0] < MIN_TRAIN):
                    train = train + counts
                    self._held[name, row, col] = False
                    mask = mask.copy()
                    mask[area] = False
                    given.add(name)
            self._masks[name] = mask
        return given

    def mask(self, name: str) -> NDArray[np.bool_]:
        """Return which cells of a plane are held out, (rows, cols)."""
        return self._masks[name]

    def known(self, name: str) -> NDArray[np.bool_] | None:
        """Return :meth:`mask` as it was decided last, None for a plane that is new."""
        return self._masks.get(name)

    def _count(self, cells: Cells) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.bincount(cells[cells >= 0], minlength=self._n_classes)
        return counts

    def _drawn(self, place: tuple[str, int, int]) -> bool:
        """Return whether a superblock is on a lattice that has a point nearly everywhere."""
        name, row, col = place
        offset = hashlib.sha256(f"{self._seed} {name}".encode()).digest()[0]
        return (row + 3 * col + offset) % ONE_IN == 0

    def _known(self, name: str, cells: Cells) -> NDArray[np.bool_]:
        mask = self._masks.get(name)
        if mask is None or mask.shape != cells.shape:
            return np.zeros(cells.shape, bool)
        return mask


def _places(cells: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the superblocks in which some of the cells (rows, cols) lie."""
    places = np.unique(np.argwhere(cells) // SIDE, axis=0)
    return [(int(row), int(col)) for row, col in places]


def _area(row: int, col: int) -> tuple[slice, slice]:
    """Return the cells of a superblock."""
    return slice(row * SIDE, (row + 1) * SIDE), slice(col * SIDE, (col + 1) * SIDE)
