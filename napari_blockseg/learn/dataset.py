"""What there is to learn from: images and labels, checked, split, ready to be cropped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.errors import ImageError, LabelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn.data import (
    PixelKind,
    TrainingImage,
    WorkingGrid,
    WorkingImages,
    check_labels_fit,
    class_lookup,
)
from napari_blockseg.learn.holdout import MIN_CLASS_BLOCKS, NO_HOLDOUT, Holdout, choose_holdout
from napari_blockseg.learn.orientation import guess_orientation
from napari_blockseg.learn.sampling import CropSampler

Note = Callable[[str, str], None]
Cells = NDArray[np.int16]
Mask = NDArray[np.bool_]


class Dataset:
    """Images and labels of one training run.

    Parameters
    ----------
    images : sequence of TrainingImage
        The images, labelled or not.
    classes : sequence of ClassInfo
        The classes.
    config : TrainConfig
        Scale, crops, hold-out.
    rng : numpy Generator
        Draws the crops.
    holdout : Holdout or None
        That of the run that is resumed; None chooses.
    note : callable
        Takes (message, level) for what the user should know.

    Raises
    ------
    LabelError
        If nothing, or only one class, is labelled, or block sizes differ.
    ImageError
        If the channels differ, or no labelled image can be used.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        classes: Sequence[ClassInfo],
        config: TrainConfig,
        rng: np.random.Generator,
        holdout: Holdout | None,
        note: Note,
    ) -> None:
        self._classes = classes
        self._lookup = class_lookup(classes)
        self._note = note
        self.ids: list[str] = []
        self.sizes: list[tuple[int, int]] = []
        self._cells: list[Cells] = []
        self._read(images, config)
        self._check_labels()
        self.holdout = self._hold_out(config, holdout)
        self._held, self._spared = self._masks(self.holdout)
        self.sampler = CropSampler(
            self.images,
            self.sizes,
            [self._training_cells(i) for i in range(self.n_images)],
            len(classes),
            self.grid,
            config,
            self._orientation(config),
            rng,
        )

    @property
    def n_images(self) -> int:
        """Images, labelled or not."""
        return len(self.ids)

    @property
    def n_train_blocks(self) -> int:
        """Labelled blocks that are trained on."""
        return int(self.sampler.counts.sum())

    @property
    def n_val_blocks(self) -> int:
        """Labelled blocks that are held out."""
        return sum(int((self.held_out_cells(i) >= 0).sum()) for i in range(self.n_images))

    def held_out_cells(self, index: int) -> Cells:
        """Return the class index of held-out cells of an image, -1 elsewhere."""
        return np.where(self._held[index], self._cells[index], np.int16(-1))

    def label_values(self) -> list[Cells]:
        """Return the labels of each image, held out or not: 0 = unlabelled, 1..K by class."""
        return [cells + np.int16(1) for cells in self._cells]

    def update(self, changed: Mapping[str, BlockLabels]) -> None:
        """Take over labels that changed, by image id; unknown ids are passed over."""
        for index, name in enumerate(self.ids):
            if name in changed and changed[name].values.shape == self._cells[index].shape:
                self._cells[index] = self._lookup[changed[name].values]
                self.sampler.set_cells(index, self._training_cells(index))

    def _training_cells(self, index: int) -> Cells:
        return np.where(self._spared[index], np.int16(-1), self._cells[index])

    def _masks(self, holdout: Holdout) -> tuple[list[Mask], list[Mask]]:
        """Return which cells are scored, and which are not learned from, image by image."""
        both = [
            holdout.on_grid(name, size, self.block)
            for name, size in zip(self.ids, self.sizes, strict=True)
        ]
        return [scored for scored, _ in both], [spared for _, spared in both]

    def _read(self, images: Sequence[TrainingImage], config: TrainConfig) -> None:
        """Look at every image once; make working copies of those with labels."""
        if not len(images):
            raise LabelError("Got no labelled image to train on. Paint some blocks first.")
        first = images[0]
        self.block = first.labels.grid.block
        self.n_channels = first.pixels.shape[-1]
        self.normalization = Normalization.for_dtype(first.pixels.dtype)
        self.grid = WorkingGrid.for_scale(self.block, config.working_scale(self.block))
        self.images = WorkingImages(images, self.normalization, self.grid)
        problem: ImageError | None = None
        for index in range(len(images)):
            image = images[index]
            self._check_alike(first, image)
            cells = self._lookup[image.labels.values]
            if (cells >= 0).any():
                try:
                    self.images.prepare(index, image)
                except ImageError as error:
                    problem = error
                    self._note(f"{error} It is left out of this training.", "warning")
                    cells = np.full_like(cells, -1)
            self._warn_deleted(image)
            self.ids.append(image.image_id)
            self.sizes.append(image.pixels.shape[:2])
            self._cells.append(cells)
        if problem is not None and not any((cells >= 0).any() for cells in self._cells):
            raise problem

    def _check_alike(self, first: TrainingImage, image: TrainingImage) -> None:
        if image.labels.grid.block != self.block:
            raise LabelError(
                f"Got labels in blocks of {image.labels.grid.block} for {image.image_id!r} and of "
                f"{self.block} for {first.image_id!r}; expected one block size. Regrid them."
            )
        kind = PixelKind(first.image_id, self.n_channels, first.pixels.dtype)
        kind.check(image.image_id, image.pixels)
        check_labels_fit(image.image_id, image.labels, image.pixels)

    def _warn_deleted(self, image: TrainingImage) -> None:
        values = image.labels.values
        lost = (values > 0) & (self._lookup[values] < 0)
        if lost.any():
            found = ", ".join(str(v) for v in np.unique(values[lost]))
            self._note(
                f"Image {image.image_id!r} has {int(lost.sum())} blocks of a class that no longer "
                f"exists (value {found}); they count as unlabelled.",
                "warning",
            )

    def _check_labels(self) -> None:
        counts = self._counts([cells >= 0 for cells in self._cells])
        there = [info.name for info, n in zip(self._classes, counts, strict=True) if n]
        if not there:
            raise LabelError(
                "Got no labelled block; training needs some of at least two classes. Paint a few "
                "blocks of each class first."
            )
        if len(there) == 1:
            raise LabelError(
                f"Got blocks of one class only ({there[0]!r}); training needs at least two. Paint "
                "some of what is not it too: background is a class like any other."
            )
        absent = [info.name for info in self._classes if info.name not in there]
        if absent:
            self._note(f"No block is labelled {', '.join(absent)}: not learned.", "info")

    def _hold_out(self, config: TrainConfig, given: Holdout | None) -> Holdout:
        if not config.validation:
            return NO_HOLDOUT
        if given is not None and self._can_score(given):
            return given
        if given is not None:
            self._note(
                "The block size has changed, and too few labelled blocks lie in what was held out. "
                "Others are held out from now on; some were learned from, so scores may be too "
                "good.",
                "warning",
            )
        chosen = choose_holdout(self.ids, self._cells, len(self._classes), config.seed)
        chosen = replace(chosen, block=self.block)
        if chosen.kind == "none":
            self._note(
                "Too few labelled blocks to hold any out: the model is not scored. Paint more, in "
                "several places.",
                "info",
            )
        return chosen

    def _can_score(self, given: Holdout) -> bool:
        """Whether what was held out in blocks of another size still splits the labels in two."""
        if given.kind != "superblocks" or given.block in (None, self.block):
            return True
        held, spared = self._masks(given)
        learned = self._counts([~where for where in spared])
        labelled = self._counts([cells >= 0 for cells in self._cells])
        enough = self._counts(held).max() >= MIN_CLASS_BLOCKS
        return bool(enough and (learned[labelled > 0] > 0).all())

    def _counts(self, masks: Sequence[Mask]) -> NDArray[np.int64]:
        """Return how many cells of each class the masks hold, one mask an image."""
        both = zip(masks, self._cells, strict=True)
        inside = [cells[where & (cells >= 0)] for where, cells in both]
        return np.bincount(np.concatenate(inside), minlength=len(self._classes))

    def _orientation(self, config: TrainConfig) -> Any:
        if config.orientation != "auto":
            return config.orientation
        found = guess_orientation(self._cells, len(self._classes))
        if found == "upright" and config.augment:
            self._note(
                "Classes keep to the upper or lower part of these images: training does not turn "
                "them upside down (orientation: upright).",
                "info",
            )
        return found
