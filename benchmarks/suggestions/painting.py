"""The simulated annotator: labels the blocks that are chosen, by the majority of their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from data_sets import Source
from plan import BLOCK, DATA, Cell

from napari_blockseg.core.atomic import replacing
from napari_blockseg.core.chances import PlaneChances
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.suggest import METHODS, suggest_blocks
from napari_blockseg.learn.data import TrainingImage

# So many times what is missing is asked for: void blocks are passed over.
_SPARE = 1.5


class Annotator:
    """Knows the class of every block of the training images of a data set.

    Parameters
    ----------
    data : str
        A key of `plan.DATA`.
    """

    def __init__(self, data: str) -> None:
        source = Source(DATA[data], "train")
        self.classes = source.classes
        self._names = [info.name for info in source.classes]
        self._pixels: dict[str, Any] = {}
        self._truth: dict[str, BlockLabels] = {}
        for stem, pixels, mask in source.pairs():
            self._pixels[stem] = pixels
            self._truth[stem] = BlockLabels.from_mask(mask, BLOCK[data], len(self.classes))

    @property
    def labelable(self) -> int:
        """How many blocks have a class."""
        return sum(labels.n_labelled for labels in self._truth.values())

    def images(self, known: dict[str, Any]) -> list[TrainingImage]:
        """Return the images with the blocks of `known` labelled."""
        return [
            TrainingImage(
                stem,
                self._pixels[stem],
                truth.with_values(truth.values * known.get(stem, False)),
            )
            for stem, truth in self._truth.items()
        ]

    def drawn(self, cell: Cell) -> dict[str, Any]:
        """Return which blocks are labelled at random: larger shares hold the smaller ones."""
        places = [(stem, at) for stem, t in self._truth.items() for at in np.argwhere(t.values > 0)]
        order = np.random.default_rng(cell.seed).permutation(len(places))
        return self._marked({}, [places[i] for i in order[: self._wanted(cell)]])

    def chosen(
        self, cell: Cell, known: dict[str, Any], planes: list[PlaneChances]
    ) -> dict[str, Any]:
        """Return the blocks of `known` and those that are suggested by what a learner says."""
        labelled = np.sum([p.labels.counts(len(self.classes)) for p in planes], axis=0)[1:]
        missing = self._wanted(cell) - int(labelled.sum())
        found = suggest_blocks(
            *(planes, self._names, labelled, round(_SPARE * missing)),
            METHODS[cell.choice],
            cell.seed,
        )
        places = [(one.image_id, (one.row, one.col)) for one in found]
        with_class = [p for p in places if self._truth[p[0]].values[tuple(p[1])]]
        return self._marked(known, with_class[:missing])

    def _wanted(self, cell: Cell) -> int:
        return round(cell.share / 100 * self.labelable)

    def _marked(self, known: dict[str, Any], places: list[tuple[str, Any]]) -> dict[str, Any]:
        marked = {
            stem: known[stem].copy() if stem in known else np.zeros(truth.values.shape, bool)
            for stem, truth in self._truth.items()
        }
        for stem, at in places:
            marked[stem][tuple(at)] = True
        return marked


def save_blocks(path: Path, known: dict[str, Any]) -> None:
    """Keep which blocks are labelled, for the cells that add to them."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **known)


def load_blocks(path: Path) -> dict[str, Any]:
    """Return what :func:`save_blocks` kept."""
    with np.load(path) as found:
        return {stem: found[stem] for stem in found.files}
