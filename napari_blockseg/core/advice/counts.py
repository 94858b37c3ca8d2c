"""How often two labelled blocks some way apart have different classes: all the advice looks at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import BlockLabels

# Steps from one block to the other, (rows, cols), in blocks: along rows, columns and diagonals.
LAGS = (
    *((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)),
    *((1, 2), (2, 1), (1, -2), (2, -1), (2, 2), (2, -2)),
    *((0, 3), (3, 0), (0, 4), (4, 0), (3, 3), (3, -3)),
    *((0, 6), (6, 0), (4, 4), (4, -4), (0, 8), (8, 0)),
)
_SQUARES = sorted({row * row + col * col for row, col in LAGS})
# Distances of those pairs, in blocks, rising.
DISTANCES = tuple(math.sqrt(square) for square in _SQUARES)
_REACH = 8


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Pairs of labelled blocks by distance; counts of images can be kept and summed.

    Attributes
    ----------
    block : int
        Block size, in pixels.
    blocks : int
        All blocks of the planes that have paint, labelled or not.
    owned : (K,) int array
        Labelled blocks of each class.
    alike, unlike : (K, n) int array
        Pairs at each of :data:`DISTANCES` of which both blocks, or exactly one, have the class.
    """

    block: int
    blocks: int
    owned: NDArray[np.int64]
    alike: NDArray[np.int64]
    unlike: NDArray[np.int64]

    @classmethod
    def of(cls, labels: BlockLabels, n_classes: int) -> PairCounts:
        """Count the pairs of one image or stack; pairs never span two planes.

        Parameters
        ----------
        labels : BlockLabels
            May have holes. Planes of a stack without any paint are left out.
        n_classes : int
            K.

        Raises
        ------
        LabelError
            If a value lies above `n_classes`.
        """
        return count_pairs([labels], n_classes)

    @classmethod
    def sum(cls, counts: Iterable[PairCounts]) -> PairCounts:
        """Return the counts of several images together.

        Raises
        ------
        LabelError
            If there are none, or block sizes or classes differ.
        """
        items = list(counts)
        if not items:
            raise LabelError("Got no pair counts to sum; give those of at least one image.")
        if len({(item.block, item.owned.size) for item in items}) > 1:
            raise LabelError(
                "Got pair counts of different block sizes or classes; count all images on one "
                "block size and one class list."
            )
        return cls(
            items[0].block,
            sum(item.blocks for item in items),
            np.sum([item.owned for item in items], axis=0),
            np.sum([item.alike for item in items], axis=0),
            np.sum([item.unlike for item in items], axis=0),
        )

    @property
    def labelled(self) -> int:
        """Labelled blocks."""
        return int(self.owned.sum())

    @property
    def coverage(self) -> float:
        """Share of the blocks that are labelled, 0 to 1."""
        return self.labelled / self.blocks if self.blocks else 0.0


def count_pairs(labels: Iterable[BlockLabels], n_classes: int) -> PairCounts:
    """Count the pairs of several images at once, which is quicker than one by one.

    Parameters
    ----------
    labels : iterable of BlockLabels
        At least one, all at one block size.
    n_classes : int
        K.

    Raises
    ------
    LabelError
        If there are none, block sizes differ, or a value lies above `n_classes`.
    """
    items = list(labels)
    if not items:
        raise LabelError("Got no block labels to count pairs in; give those of one image or more.")
    if len({item.grid.block for item in items}) > 1:
        raise LabelError(
            f"Got block sizes {sorted({item.grid.block for item in items})}; expected one. Put "
            "all labels on one grid first."
        )
    planes = [plane for item in items for plane in _painted_planes(item)]
    owned = np.bincount(
        np.concatenate([plane.ravel() for plane in planes] or [np.zeros(0, np.uint8)]),
        minlength=n_classes + 1,
    )[1:]
    if owned.size > n_classes:
        raise LabelError(
            f"Got label value {owned.size}; expected 0 (unlabelled) to {n_classes}. Check that "
            "labels and class list belong together."
        )
    alike = np.zeros((n_classes, len(DISTANCES)), np.int64)
    unlike = np.zeros_like(alike)
    present = np.flatnonzero(owned)
    if present.size:
        alike[present], unlike[present] = _pairs(planes, present + 1)
    sizes = sum(plane.size for plane in planes)
    return PairCounts(items[0].grid.block, sizes, owned, alike, unlike)


def _painted_planes(labels: BlockLabels) -> list[NDArray[Any]]:
    stack = labels.values.reshape(-1, *labels.values.shape[-2:])
    return [plane for plane in stack if plane.any()]


def _pairs(
    planes: list[NDArray[Any]], present: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # Only classes that are there, as 1, 2, ...: a long class list costs nothing.
    n = present.size + 1
    place = np.zeros(int(present[-1]) + 1, np.int32)
    place[present] = np.arange(1, n)
    sheet = place[_sheet(planes)]
    width, flat = sheet.shape[1], sheet.ravel()
    first = flat * np.int32(n)
    alike = np.zeros((n - 1, len(DISTANCES)), np.int64)
    unlike = np.zeros_like(alike)
    for row, col in LAGS:
        step = row * width + col
        joint = np.bincount(first[:-step] + flat[step:], minlength=n * n)
        both = joint.reshape(n, n)[1:, 1:]
        same, at = both.diagonal(), _SQUARES.index(row * row + col * col)
        alike[:, at] += same
        unlike[:, at] += both.sum(0) + both.sum(1) - 2 * same
    return alike, unlike


def _sheet(planes: list[NDArray[Any]]) -> NDArray[Any]:
    # All planes on one sheet with empty blocks between them, so that no pair spans two planes.
    width = max(plane.shape[1] for plane in planes) + _REACH
    height = sum(plane.shape[0] + _REACH for plane in planes)
    sheet = np.zeros((height, width), np.result_type(*planes))
    top = 0
    for plane in planes:
        sheet[top : top + plane.shape[0], : plane.shape[1]] = plane
        top += plane.shape[0] + _REACH
    return sheet
