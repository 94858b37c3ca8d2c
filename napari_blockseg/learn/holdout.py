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

SHARE = 0.1
MAX_IMAGES = 16
MIN_IMAGES = 3
MIN_CLASS_BLOCKS = 5
_SUPERBLOCKS_ALONG = 6
_KEEP_SHARE = 0.6


@dataclass(frozen=True)
class Holdout:
    """Held-out cells: whole images, or superblocks of ``size`` cells in images.

    ``images`` are ids; ``superblocks`` maps an id to (row, col) pairs in units of ``size`` cells.
    """

    kind: Literal["images", "superblocks", "none"]
    images: tuple[str, ...] = ()
    superblocks: tuple[tuple[str, int, tuple[tuple[int, int], ...]], ...] = ()

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

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "kind": self.kind,
            "images": list(self.images),
            "superblocks": [
                [name, size, [list(p) for p in places]] for name, size, places in self.superblocks
            ],
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
        )


NO_HOLDOUT = Holdout("none")


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
