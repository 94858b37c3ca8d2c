"""What is painted, as points for the head: gathered once, again only where strokes fell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.learn.interactive.features import TILE, FeatureMaker, Index, PlaneFeatures
from napari_blockseg.learn.interactive.head import MAX_POINTS, Sample, gather, label_points, thinned
from napari_blockseg.learn.interactive.holdout import GrowingHoldout
from napari_blockseg.learn.interactive.scoring import Points

#: Memory for the features under what is painted, in bytes; of more, classes are thinned, the most
#: frequent one first. A fit looks at `MAX_POINTS` of about a million points that fit in here.
MAX_BYTES = 2**30

Cells = NDArray[np.int16]
Place = tuple[str, Index]


@dataclass(frozen=True)
class Gathered:
    """Points of a tile, as many for each of its cells that are kept, in the order of the cells.

    ``cells`` (m,) are numbered row by row over the plane; ``features`` (n, channels) in half
    precision, ``classes``, ``held`` (out or not) and ``places`` are of the points.
    """

    cells: NDArray[np.intp]
    features: Tensor
    classes: NDArray[np.int64]
    held: NDArray[np.bool_]
    places: NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Memory that the features take."""
        return self.features.numel() * self.features.element_size()

    @property
    def per_cell(self) -> int:
        """Points of each cell."""
        return len(self.classes) // max(1, len(self.cells))

    def only(self, kept: NDArray[np.bool_]) -> Gathered:
        """Return the points of some of the cells."""
        points = kept.repeat(self.per_cell)
        return Gathered(
            self.cells[kept],
            self.features[torch.from_numpy(points)],
            self.classes[points],
            self.held[points],
            self.places[points],
        )


class PaintedPlanes:
    """Labels of planes, with the features under them.

    Parameters
    ----------
    maker : FeatureMaker
        Where features come from.
    n_classes : int
        Number of classes.
    seed : int
        Of what is held out.
    """

    def __init__(self, maker: FeatureMaker, n_classes: int, seed: int) -> None:
        self._maker = maker
        self._n_classes = n_classes
        self.holdout = GrowingHoldout(n_classes, seed)
        self.planes: dict[str, PlaneFeatures] = {}
        self.cells: dict[str, Cells] = {}
        self.grids: dict[str, BlockGrid] = {}
        self._found: dict[Place, Gathered] = {}
        self._open: list[Place] = []
        #: Of the cells of each class that are not held out, one in so many is kept: powers of two.
        self._one_in = np.ones(n_classes, np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled cells of each class, (classes,)."""
        counts = [np.bincount(c[c >= 0], minlength=self._n_classes) for c in self.cells.values()]
        total: NDArray[np.int64] = np.sum(counts, axis=0, initial=0) + np.zeros(
            self._n_classes, np.int64
        )
        return total

    @property
    def n_held_out(self) -> int:
        """Labelled cells that are held out."""
        return sum(
            int((self.holdout.mask(name) & (cells >= 0)).sum())
            for name, cells in self.cells.items()
        )

    @property
    def open(self) -> list[Place]:
        """Tiles whose labels are not gathered yet, in the order in which to do it."""
        return list(self._open)

    def update(self, name: str, plane: PlaneFeatures, grid: BlockGrid, cells: Cells) -> list[str]:
        """Take in the class index of each label cell of a plane, -1 = unlabelled.

        Returns
        -------
        list of str
            Planes of which training sees something else: this one, and those of which less is
            held out now.
        """
        before = self.cells.get(name)
        held_before = {other: self.holdout.known(other) for other in (*self.cells, name)}
        self.planes[name], self.cells[name], self.grids[name] = plane, cells, grid
        given = sorted(self.holdout.update(self.cells, {name: cells}))
        for other in (name, *given):
            held = held_before[other]
            changed = np.ones(self.cells[other].shape, bool)
            if held is not None and held.shape == changed.shape:
                changed = held != self.holdout.mask(other)
            if other == name and before is not None and before.shape == cells.shape:
                changed |= before != cells
            self._open_where(other, changed)
        return [name, *given]

    def _open_where(self, name: str, changed: NDArray[np.bool_]) -> None:
        """Let the tiles of changed cells be gathered anew, or forget what was there."""
        plane = self.planes[name]
        labelled = {(name, tile) for tile in self._tiles_of(plane, self.cells[name] >= 0)}
        for tile in self._tiles_of(plane, changed):
            place = (name, tile)
            if place in self._open:
                self._open.remove(place)
            if place in labelled:
                self._open.append(place)
            else:
                self._found.pop(place, None)

    def gather(self, place: Place) -> None:
        """Gather the labels of one tile; computes its features where they are missing.

        Raises
        ------
        ImageError
            If that cannot be; the tile is not tried again until it is painted on.
        """
        self._open.remove(place)
        name, tile = place
        plane, cells = self.planes[name], self.cells[name]
        inside = np.argwhere(cells >= 0)
        inside = inside[(self._tile_of(plane, inside) == tile).all(1)]
        at = tuple(inside.T)
        numbers = np.ravel_multi_index(at, cells.shape)
        kept = self._is_kept(numbers, cells[at], self.holdout.mask(name)[at])
        inside, numbers = inside[kept], numbers[kept]
        chosen = np.full_like(cells, -1)
        chosen[tuple(inside.T)] = cells[tuple(inside.T)]
        places, classes = label_points(chosen, plane.grid.side / plane.grid.split)
        held = np.where(self.holdout.mask(name), chosen, np.int16(-1))
        of = (places * (plane.grid.split / plane.grid.side)).astype(int)
        features = self._features(place, numbers, places)
        self._found[place] = Gathered(numbers, features, classes, held[tuple(of.T)] >= 0, places)
        self._thin()

    def _is_kept(
        self, numbers: NDArray[np.intp], classes: NDArray[Any], held: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Return which cells (n,) of a plane are kept: as if drawn, and always the same ones."""
        drawn = (numbers.astype(np.uint64) * np.uint64(2654435761) >> np.uint64(16)).astype(int)
        kept: NDArray[np.bool_] = held | (drawn % self._one_in[classes] == 0)
        return kept

    def _thin(self) -> None:
        """Keep half the cells of the most frequent class, until the memory does."""
        while sum(one.nbytes for one in self._found.values()) > MAX_BYTES:
            free = [np.bincount(one.classes[~one.held]) for one in self._found.values()]
            counts = np.sum([np.pad(n, (0, self._n_classes - len(n))) for n in free], axis=0)
            if counts.max() <= MAX_POINTS:
                return
            self._one_in[counts.argmax()] *= 2
            for place, one in self._found.items():
                each = slice(None, None, one.per_cell or None)
                kept = self._is_kept(one.cells, one.classes[each], one.held[each])
                self._found[place] = one.only(kept)

    def _features(
        self, place: Place, numbers: NDArray[np.intp], places: NDArray[np.float32]
    ) -> Tensor:
        """Return the features at places; those of cells that had a label before are there."""
        old = self._found.get(place)
        plane = self.planes[place[0]]
        if old is None or not len(numbers):
            return gather(self._maker.get(plane, place[1]), places).half()
        at = np.searchsorted(old.cells, numbers).clip(max=len(old.cells) - 1)
        same = old.cells[at] == numbers
        per_cell, channels = len(places) // len(numbers), old.features.shape[1]
        found = torch.empty(len(numbers), per_cell, channels, dtype=torch.float16)
        kept = old.features.view(-1, per_cell, channels)
        found[torch.from_numpy(same)] = kept[torch.from_numpy(at[same])]
        if not same.all():
            new = gather(self._maker.get(plane, place[1]), places[np.repeat(~same, per_cell)])
            found[torch.from_numpy(~same)] = new.half().view(-1, per_cell, channels)
        return found.view(-1, channels)

    def sample(self, most: int, blind: bool = False) -> Sample:
        """Return about so many of the gathered points; `blind`: of those not held out."""
        found = list(self._found.values())
        classes = np.concatenate([one.classes for one in found])
        held = np.concatenate([one.held for one in found])
        kept = np.flatnonzero(~held) if blind else np.arange(len(classes))
        # What is not kept counts nevertheless: a class weighs what is painted of it.
        stands_for = np.where(held, 1, self._one_in[classes])[kept]
        counts = np.bincount(classes[kept], stands_for, self._n_classes).astype(np.int64)
        chosen = kept[thinned(classes[kept], most)]
        parts, start = [], 0
        for one in found:
            low, high = np.searchsorted(chosen, (start, start + len(one.classes)))
            parts.append(one.features[torch.from_numpy(chosen[low:high] - start)].float())
            start += len(one.classes)
        return Sample(torch.cat(parts), torch.from_numpy(classes[chosen]), torch.from_numpy(counts))

    @property
    def n_points(self) -> int:
        """Gathered points."""
        return sum(len(one.classes) for one in self._found.values())

    def gathered(self) -> list[Place]:
        """Return the tiles whose labels are gathered."""
        return list(self._found)

    def held_out(self) -> list[Points]:
        """Return the held-out points of every plane that has some, as far as they are gathered."""
        parts: dict[str, list[Gathered]] = {}
        for (name, _), one in self._found.items():
            if one.held.any():
                parts.setdefault(name, []).append(one)
        return [
            Points(
                self.planes[name],
                np.concatenate([one.places[one.held] for one in found]),
                np.concatenate([one.classes[one.held] for one in found]),
                torch.cat([one.features[torch.from_numpy(one.held)] for one in found]).float(),
            )
            for name, found in parts.items()
        ]

    def training_cells(self, name: str) -> Cells:
        """Return the class indices of a plane without what is held out."""
        return np.where(self.holdout.mask(name), np.int16(-1), self.cells[name])

    def _tiles_of(self, plane: PlaneFeatures, cells: NDArray[np.bool_]) -> list[Index]:
        """Return the tiles in which some of the cells (rows, cols) lie."""
        tiles = np.unique(self._tile_of(plane, np.argwhere(cells)), axis=0)
        return [(int(row), int(col)) for row, col in tiles]

    def _tile_of(self, plane: PlaneFeatures, cells: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the tile (n, 2) in which the center of each cell (n, 2) lies."""
        width = plane.grid.side / plane.grid.split
        tiles: NDArray[np.int64] = ((cells + 0.5) * width // TILE).astype(np.int64)
        return tiles
