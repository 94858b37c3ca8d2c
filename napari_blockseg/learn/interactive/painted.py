"""What is painted, as points for the head: gathered once, again only where strokes fell."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.learn.interactive.features import TILE, FeatureMaker, Index, PlaneFeatures
from napari_blockseg.learn.interactive.head import gather, label_points
from napari_blockseg.learn.interactive.holdout import GrowingHoldout
from napari_blockseg.learn.interactive.scoring import Points

Cells = NDArray[np.int16]
Place = tuple[str, Index]


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
        self._found: dict[Place, tuple[Tensor, NDArray[np.int64], NDArray[np.bool_]]] = {}
        self._open: list[Place] = []

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled cells of each class, (classes,)."""
        counts = [np.bincount(c[c >= 0], minlength=self._n_classes) for c in self.cells.values()]
        total: NDArray[np.int64] = np.sum(counts, axis=0, initial=0) + np.zeros(
            self._n_classes, np.int64
        )
        return total

    @property
    def open(self) -> list[Place]:
        """Tiles whose labels are not gathered yet, in the order in which to do it."""
        return list(self._open)

    def update(self, name: str, plane: PlaneFeatures, grid: BlockGrid, cells: Cells) -> None:
        """Take in the class index of each label cell of a plane, -1 = unlabelled."""
        self.planes[name], self.cells[name], self.grids[name] = plane, cells, grid
        self.holdout.update(self.cells, {name: cells})
        kept = [place for place in self._open if place[0] != name]
        gone = {place for place in self._found if place[0] == name}
        for tile in np.unique(self._tile_of(plane, np.argwhere(cells >= 0)), axis=0):
            place = (name, (int(tile[0]), int(tile[1])))
            gone.discard(place)
            kept.append(place)
        for place in gone:
            del self._found[place]
        self._open = kept

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
        chosen = np.full_like(cells, -1)
        chosen[tuple(inside.T)] = cells[tuple(inside.T)]
        places, classes = label_points(chosen, plane.grid)
        held = np.where(self.holdout.mask(name), chosen, np.int16(-1))
        at = (places * (plane.grid.split / plane.grid.side)).astype(int)
        points = gather(self._maker.get(plane, tile), places)
        self._found[place] = (points, classes, held[tuple(at.T)] >= 0)

    def points(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return all gathered points: (n, channels), class indices (n,), held out (n,) bool."""
        found = list(self._found.values())
        return (
            torch.cat([points for points, _, _ in found]),
            torch.from_numpy(np.concatenate([classes for _, classes, _ in found])),
            torch.from_numpy(np.concatenate([held for _, _, held in found])),
        )

    @property
    def has_points(self) -> bool:
        """Whether anything is gathered."""
        return bool(self._found)

    def gathered(self) -> list[Place]:
        """Return the tiles whose labels are gathered."""
        return list(self._found)

    def held_out(self) -> list[Points]:
        """Return the held-out points of every plane that has some."""
        found = []
        for name, cells in self.cells.items():
            held = np.where(self.holdout.mask(name), cells, np.int16(-1))
            places, classes = label_points(held, self.planes[name].grid)
            if len(classes):
                found.append(Points(self.planes[name], places, classes))
        return found

    def training_cells(self, name: str) -> Cells:
        """Return the class indices of a plane without what is held out."""
        return np.where(self.holdout.mask(name), np.int16(-1), self.cells[name])

    def _tile_of(self, plane: PlaneFeatures, cells: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the tile (n, 2) in which the center of each cell (n, 2) lies."""
        width = plane.grid.side / plane.grid.split
        tiles: NDArray[np.int64] = ((cells + 0.5) * width // TILE).astype(np.int64)
        return tiles
