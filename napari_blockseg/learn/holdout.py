"""Which labelled blocks are kept out of training, to be scored.

Whole images when several are labelled; spatial superblocks (squares of many blocks) otherwise,
since single blocks are too like their neighbours; nothing when there is too little paint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[np.int16]
Edges = NDArray[np.intp]

SHARE = 0.1
MAX_IMAGES = 16
MIN_IMAGES = 3
MIN_CLASS_BLOCKS = 5
_SUPERBLOCKS_ALONG = 6
_KEEP_SHARE = 0.6


@dataclass(frozen=True)
class Holdout:
    """Held-out cells: whole images, or superblocks of ``size`` cells in images.

    ``images`` are ids; ``superblocks`` maps an id to (row, col) pairs in units of ``size`` cells of
    ``block`` pixels (None: cells of whoever asks).
    """

    kind: Literal["images", "superblocks", "none"]
    images: tuple[str, ...] = ()
    superblocks: tuple[tuple[str, int, tuple[tuple[int, int], ...]], ...] = ()
    block: int | None = None

    def mask(self, image_id: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return which cells of an image are held out, (rows, cols) bool."""
        held = np.zeros(shape, bool)
        if image_id in self.images:
            held[:] = True
        for name, size, places in self.superblocks:
            if name == image_id:
                for row, col in places:
                    held[row * size : (row + 1) * size, col * size : (col + 1) * size] = True
        return held

    def on_grid(
        self, image_id: str, size: tuple[int, int], block: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return what is held out in cells of any size.

        Parameters
        ----------
        image_id : str
            Which image.
        size : (rows, cols)
            Of the image, in pixels.
        block : int
            Side of a cell, in pixels.

        Returns
        -------
        scored : (rows, cols) bool array
            Cells that lie wholly in what is held out.
        spared : (rows, cols) bool array
            Cells with any pixel in it: they are not learned from.
        """
        own = block if self.block is None else self.block
        mask = self.mask(image_id, (-(-size[0] // own), -(-size[1] // own)))
        if own == block:
            return mask, mask
        rows, cols = (_overlapped(length, block, own) for length in size)
        held = sums_between(mask, rows, cols)
        cells = np.outer(rows[1] - rows[0], cols[1] - cols[0])
        return held == cells, held > 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kind": self.kind,
            "images": list(self.images),
            "superblocks": [
                [name, size, [list(p) for p in places]] for name, size, places in self.superblocks
            ],
            "block": self.block,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Holdout:
        """Return the hold-out that :meth:`to_dict` described."""
        return cls(
            values["kind"],
            tuple(values["images"]),
            tuple(
                (name, size, tuple((row, col) for row, col in places))
                for name, size, places in values["superblocks"]
            ),
            values.get("block"),
        )


NO_HOLDOUT = Holdout("none")


def sums_between(
    values: NDArray[Any], rows: tuple[Edges, Edges], cols: tuple[Edges, Edges]
) -> NDArray[np.int64]:
    """Return the sums over rectangles of an array: all that a grid of them makes.

    Parameters
    ----------
    values : (rows, cols) int or bool array
        What is summed.
    rows, cols : (first, stop)
        Where the rectangles begin and end along each axis, as index arrays.
    """
    total = np.zeros((values.shape[0] + 1, values.shape[1] + 1), np.int64)
    total[1:, 1:] = values.cumsum(0, dtype=np.int64).cumsum(1)
    down = total[rows[1]] - total[rows[0]]
    sums: NDArray[np.int64] = down[:, cols[1]] - down[:, cols[0]]
    return sums


def _overlapped(length: int, block: int, own: int) -> tuple[Edges, Edges]:
    """Return the first cell of `own` pixels that each cell of `block` overlaps, and the end."""
    first = np.arange(0, length, block)
    return first // own, -(-np.minimum(first + block, length) // own)


def choose_holdout(
    image_ids: Sequence[str], cells: Sequence[Cells], n_classes: int, seed: int
) -> Holdout:
    """Choose about a tenth of the labelled cells to hold out.

    Parameters
    ----------
    image_ids : sequence of str
        Names of the images.
    cells : sequence of (rows, cols) int arrays
        Class index of each cell of each image, -1 = unlabelled.
    n_classes : int
        Number of classes.
    seed : int
        Of the choice.

    Returns
    -------
    Holdout
        No class loses more than 40 % of its cells, and at least one class has 5 held-out cells;
        ``kind`` is "none" when that cannot be had.
    """
    rng = np.random.default_rng([seed, 0x401D])
    counts = np.stack([_count(image, n_classes) for image in cells])
    labelled = np.flatnonzero(counts.sum(1))
    if len(labelled) >= MIN_IMAGES:
        wanted = int(np.clip(round(SHARE * len(labelled)), 1, MAX_IMAGES))
        chosen = _choose(counts[labelled], rng, wanted, counts.sum() * 0.5)
        if len(chosen):
            return Holdout("images", tuple(image_ids[i] for i in sorted(labelled[chosen])))
    return _choose_superblocks(image_ids, cells, labelled, n_classes, rng)


def _choose_superblocks(
    image_ids: Sequence[str],
    cells: Sequence[Cells],
    labelled: NDArray[np.intp],
    n_classes: int,
    rng: np.random.Generator,
) -> Holdout:
    places: list[tuple[int, int, int]] = []
    counts: list[NDArray[np.int64]] = []
    sizes = {}
    for i in labelled:
        rows, cols = np.nonzero(cells[i] >= 0)
        # Squares are cut from the painted extent: paint in one corner can be split too.
        extent = max(np.ptp(rows), np.ptp(cols)) + 1
        sizes[i] = size = max(2, -(-int(extent) // _SUPERBLOCKS_ALONG))
        for row, col in np.unique(np.stack([rows // size, cols // size], 1), axis=0).tolist():
            part = cells[i][row * size : (row + 1) * size, col * size : (col + 1) * size]
            places.append((int(i), row, col))
            counts.append(_count(part, n_classes))
    if not places:
        return NO_HOLDOUT
    table = np.stack(counts)
    chosen = _choose(table, rng, len(places), table.sum() * 1.5 * SHARE)
    if not len(chosen) or table[chosen].sum(0).max() < MIN_CLASS_BLOCKS:
        return NO_HOLDOUT
    by_image: dict[int, list[tuple[int, int]]] = {}
    for index in sorted(chosen):
        image, row, col = places[index]
        by_image.setdefault(image, []).append((row, col))
    return Holdout(
        "superblocks",
        superblocks=tuple((image_ids[i], sizes[i], tuple(found)) for i, found in by_image.items()),
    )


def _choose(
    counts: NDArray[np.int64], rng: np.random.Generator, wanted: int, max_cells: float
) -> NDArray[np.intp]:
    """Pick parts at random so long as every class keeps most of its cells."""
    total = counts.sum(0)
    held = np.zeros_like(total)
    chosen: list[int] = []
    for index in rng.permutation(len(counts)):
        after = held + counts[index]
        if len(chosen) == wanted or held.sum() >= max_cells:
            break
        if np.all(total - after >= _KEEP_SHARE * total) and after.sum() <= max(
            max_cells, 0.3 * total.sum()
        ):
            chosen.append(int(index))
            held = after
    return np.array(chosen, np.intp)


def _count(cells: Cells, n_classes: int) -> NDArray[np.int64]:
    return np.bincount(cells[cells >= 0].ravel(), minlength=n_classes).astype(np.int64)
