"""Planes to look at: the same labels through blocks of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.cli.spectrum.findings import Example, View
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, class_counts

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo

IntArray = NDArray[np.integer[Any]]

#: Sizes of the strip, in pixels.
STRIP = (4, 8, 16, 32)
#: Larger planes are shown in part, so that a block stays visible, in pixels.
_WINDOW = 512
_MASKS_FOR_TWO = 4


class Choice:
    """Keeps the planes that show most classes: one, or of many masks one of each half.

    Parameters
    ----------
    total : int
        How many masks there are.
    """

    def __init__(self, total: int) -> None:
        self._half = total // 2 if total >= _MASKS_FOR_TWO else total
        self._best: dict[bool, tuple[float, int, IntArray]] = {}

    def offer(self, number: int, plane_number: int, plane: IntArray) -> None:
        """Look at a plane of mask `number`."""
        late, interest = number >= self._half, _interest(plane)
        if late not in self._best or interest > self._best[late][0]:
            self._best[late] = (interest, number, plane)

    @property
    def best(self) -> list[tuple[int, IntArray]]:
        """(mask number, plane) of the chosen ones."""
        return [(number, plane) for _, number, plane in self._best.values()]


def _interest(values: IntArray) -> float:
    """Return how many classes there are, and in the fraction how evenly they share the plane."""
    counts = np.bincount(values[values > 0].ravel())
    shares = counts[counts > 0] / max(counts.sum(), 1)
    entropy = float(-(shares * np.log(shares)).sum())
    return len(shares) + entropy / 100


def mask_example(
    name: str, mask: IntArray, classes: Sequence[ClassInfo], blocks: Sequence[int]
) -> Example:
    """Return a dense mask, and what blocks of 4 to 32 pixels leave of it."""
    mask = mask[_window(mask, max(STRIP))]
    views = [View(1, mask)]
    for block in (block for block in STRIP if block in blocks):
        labels = BlockLabels.from_mask(mask, block, len(classes))
        views.append(_view(block, labels.to_mask(), mask, classes))
    return Example(name, tuple(views))


def painted_example(
    painted: Sequence[BlockLabels],
    names: Sequence[str],
    classes: Sequence[ClassInfo],
    pixels: Callable[[str], Any],
) -> Example:
    """Return the plane with the most classes as it is painted, and on grids of 2 b and 4 b."""
    planes = [
        (item.plane(index) if index else item, name, index)
        for item, name in zip(painted, names, strict=True)
        for index in np.ndindex(item.grid.leading_shape)
        if item.values[index].any()
    ]
    labels, name, index = max(planes, key=lambda one: _interest(one[0].values))
    block = labels.grid.block
    given = labels.to_mask()
    window = _window(given, 4 * block)
    views = [View(block, given[window])]
    for coarser in (2 * block, 4 * block):
        values = _most_painted(given, coarser, len(classes))
        views.append(_view(coarser, values[window], given[window], classes))
    image = pixels(name)
    return Example(name, tuple(views), None if image is None else image[index][window])


def _most_painted(values: IntArray, block: int, n_classes: int) -> IntArray:
    """Return blocks of the class that is painted most in each, however little that is."""
    counts = class_counts(values, block, n_classes)[..., 1:]
    best = np.where(counts.any(-1), counts.argmax(-1) + 1, 0)
    return BlockLabels(BlockGrid(values.shape, block), best).to_mask()


def _view(block: int, values: IntArray, given: IntArray, classes: Sequence[ClassInfo]) -> View:
    # Void, and blocks that the coarser grid leaves open, are no mistakes.
    seen = (given > 0) & (values > 0)
    right = float((values == given)[seen].mean()) if seen.any() else 0.0
    gone = set(np.unique(given)) - set(np.unique(values)) - {0}
    return View(block, values, right, tuple(c.name for c in classes if c.value in gone))


def _window(values: IntArray, multiple: int) -> tuple[slice, slice]:
    """Return the part of a large plane with the most classes, on the grid of `multiple`."""
    side = max(_WINDOW // multiple, 1) * multiple
    rows, cols = values.shape
    starts = (_starts(n, side, multiple) for n in (rows, cols))
    corners = list(product(*starts))
    row, col = max(corners, key=lambda at: _interest(values[at[0] :, at[1] :][:side, :side]))
    return slice(row, min(row + side, rows)), slice(col, min(col + side, cols))


def _starts(length: int, side: int, multiple: int) -> list[int]:
    """Return where windows start along an axis, so that the last one reaches its end."""
    if length <= side:
        return [0]
    last = -(-(length - side) // multiple) * multiple
    return [*range(0, last, side), last]
