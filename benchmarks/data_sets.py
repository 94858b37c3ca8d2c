"""Data sets of the studies: images, dense masks, classes; how networks train and are scored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.metrics import BoundaryF, Confusion
from napari_blockseg.files.images import read_image
from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.predict import predict

VARIABLE = "BLOCKSEG_DATA"


@dataclass(frozen=True)
class DataSet:
    """How networks are trained on one data set: the same for every cell of it.

    ``scale`` shrinks the images before the network; ``merged`` maps a class to the one it joins.
    """

    name: str
    scale: float
    crop: int
    steps: int
    orientation: Literal["any", "upright"]
    merged: tuple[tuple[str, str], ...] = ()


#: How most studies train, so that their cells can be compared. Crops and steps are what an
#: hour on one core allows, not what gives the best network.
TRAINED = {
    "camvid": DataSet("camvid", scale=0.5, crop=160, steps=400, orientation="upright"),
    "nuclei_dsb2018": DataSet(
        "nuclei_dsb2018",
        scale=1.0,
        crop=128,
        steps=300,
        orientation="any",
        merged=(("nucleus_edge", "nucleus"),),
    ),
    "em_isbi2012": DataSet("em_isbi2012", scale=1.0, crop=128, steps=200, orientation="any"),
}


class Source:
    """One split of a data set, with classes merged as the plan says.

    Parameters
    ----------
    data : DataSet
        Which one.
    split : str
        "train", "val" or "test".
    """

    def __init__(self, data: DataSet, split: str) -> None:
        root = Path(os.environ[VARIABLE]) / data.name
        self._images = root / "images" / split
        self._masks = root / "labels" / split
        self._table = find_classes_json(self._masks)
        merged = dict(data.merged)
        kept = [info for info in self._table.classes if info.name not in merged]
        self.classes: tuple[ClassInfo, ...] = tuple(
            info.model_copy(update={"value": value}) for value, info in enumerate(kept, start=1)
        )
        value = {info.name: info.value for info in self.classes}
        self._lookup = np.array(
            [0, *(value[merged.get(info.name, info.name)] for info in self._table.classes)],
            np.uint8,
        )

    def masks(self) -> Iterator[tuple[str, Any]]:
        """Yield (stem, dense mask of 0..K)."""
        _, paths = match_masks((), self._masks)
        for path in sorted(paths):
            yield path.stem, self._lookup[read_mask(path, self._table)]

    def pairs(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield (stem, pixels (rows, cols, channels), dense mask)."""
        images = {path.stem: path for path in self._images.iterdir()}
        for stem, mask in self.masks():
            yield stem, read_image(images[stem]).pixels, mask


def finished(steps: Any) -> Any:
    """Run a generator to its end and return what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def score(model: Model, source: Source) -> dict[str, Any]:
    """Return the scores of a model on a split, over confusions summed over images."""

    def found(pixels: Any) -> Any:
        return finished(predict(model, pixels)).mask

    return score_masks(found, source)


def score_masks(found: Callable[[Any], Any], source: Source) -> dict[str, Any]:
    """Return the scores of whatever gives a mask of 1..K for an image's pixels."""
    n_classes = len(source.classes)
    confusion, boundary = Confusion(n_classes), BoundaryF(n_classes)
    for _, pixels, mask in source.pairs():
        predicted = found(pixels)
        confusion.add(mask, predicted)
        boundary.add(mask, predicted)
    return {
        "miou": confusion.miou(),
        "iou": [None if x != x else float(x) for x in confusion.iou()],
        "pixel_accuracy": confusion.pixel_accuracy(),
        "boundary_f": boundary.mean(),
    }
