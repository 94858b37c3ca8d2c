"""The labels of a cell: what a simulated annotator paints, from the dense masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from data_sets import Source, finished
from plan import DATA, Cell
from scipy import ndimage

from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.suggest import suggest_blocks
from napari_blockseg.files.simulate import draw_blocks
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.uncertainty import block_chances

SHARE = 0.1
#: Part of the suggested blocks that are drawn at random, for the network that suggests the rest.
FIRST = 1 / 3

#: Trains a network on some images and returns it.
Learn = Callable[[list[TrainingImage], Path], Model]


def painted(cell: Cell, learn: Learn | None = None, work: Path = Path()) -> list[TrainingImage]:
    """Return the training images with the labels of a cell.

    Parameters
    ----------
    cell : Cell
        Whose labels.
    learn : callable, optional
        Trains what suggests blocks; needed for "suggested10" only.
    work : Path
        Folder for that network.
    """
    source = Source(DATA[cell.data], "train")
    n_classes = len(source.classes)
    policy = "pure" if cell.choice == "pure" else "majority"
    images = [
        TrainingImage(stem, pixels, BlockLabels.from_mask(mask, cell.block, n_classes, policy))
        for stem, pixels, mask in source.pairs()
    ]
    if cell.choice == "random10":
        return _drawn(images, SHARE, cell.seed)
    if cell.choice == "suggested10":
        if learn is None:
            raise ValueError(f"{cell.name}: blocks are suggested by a network, and none was given.")
        return _suggested(images, n_classes, cell.seed, learn, work)
    return images


def strokes(images: list[TrainingImage], n_classes: int) -> int:
    """Return how many strokes of a brush the labels take: one a connected region of one class."""
    return sum(
        int(ndimage.label(image.labels.values == value)[1])
        for image in images
        for value in range(1, n_classes + 1)
    )


def _drawn(images: list[TrainingImage], share: float, seed: int) -> list[TrainingImage]:
    kept = draw_blocks([image.labels for image in images], share, seed)
    return [
        dataclasses.replace(image, labels=labels)
        for image, labels in zip(images, kept, strict=True)
    ]


def _suggested(
    images: list[TrainingImage], n_classes: int, seed: int, learn: Learn, work: Path
) -> list[TrainingImage]:
    """Draw some blocks, train on them, and label what the network then suggests.

    Blocks without a majority (void) are offered like others; the annotator passes them over and
    gets the next suggestion.
    """
    total = round(SHARE * sum(image.labels.n_labelled for image in images))
    first = _drawn(images, SHARE * FIRST, seed)
    model = learn(first, work)
    planes = [finished(block_chances(model, i.image_id, i.pixels, i.labels)) for i in first]
    known = np.sum([image.labels.counts(n_classes) for image in first], axis=0)[1:]
    missing = total - int(known.sum())
    names = [info.name for info in model.spec.classes]
    truth = {image.image_id: image.labels.values for image in images}
    values = {image.image_id: image.labels.values.copy() for image in first}
    for one in suggest_blocks(planes, names, known, 2 * missing, seed=seed):
        label = truth[one.image_id][one.row, one.col]
        if label and missing:
            values[one.image_id][one.row, one.col] = label
            missing -= 1
    return [
        dataclasses.replace(image, labels=image.labels.with_values(values[image.image_id]))
        for image in first
    ]
