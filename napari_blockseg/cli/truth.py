"""What an analysis compares a model with: a project's block labels, or dense masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from napari_blockseg.cli.loading import ProjectImages
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.data import TrainingImage


class _Images(Sequence["TrainingImage"]):
    """Planes with their labels; at most one image in memory."""

    notices: list[Notice]

    @overload
    def __getitem__(self, index: int) -> TrainingImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingImage]: ...
    def __getitem__(self, index: int | slice) -> TrainingImage | list[TrainingImage]:
        if isinstance(index, slice):
            return [self._one(i) for i in range(*index.indices(len(self)))]
        return self._one(index)

    def _one(self, index: int) -> TrainingImage:
        raise NotImplementedError


class PaintedImages(_Images):
    """The labelled planes of a project, their labels under the values of a model's classes.

    Parameters
    ----------
    project : Project
        Open.
    classes : sequence of ClassInfo
        The model's. Classes match by NAME; blocks of others count as unlabelled.

    Attributes
    ----------
    notices : list of Notice
        What is left out.

    Raises
    ------
    LabelError
        If model and project share no class, or nothing is painted.
    """

    def __init__(self, project: Project, classes: Sequence[ClassInfo]) -> None:
        self._planes = ProjectImages(project)
        self.notices = list(self._planes.notices)
        if not len(self._planes):
            raise LabelError(
                f"No block of {project.root} is labelled. Paint some (blockseg annotate), or give "
                "dense masks (--masks)."
            )
        values = {one.name: one.value for one in classes}
        unknown = [one.name for one in project.classes if one.name not in values]
        if len(unknown) == len(project.classes):
            raise LabelError(
                f"The model knows the classes {', '.join(values)}; the project has "
                f"{', '.join(unknown)}. Classes match by name: use the project it was trained on."
            )
        if unknown:
            message = f"The model does not know {', '.join(unknown)}: those blocks do not count."
            self.notices.append(Notice(level="warning", message=message))
        self._values = np.zeros(65536, np.uint16)
        for one in project.classes:
            self._values[one.value] = values.get(one.name, 0)

    def __len__(self) -> int:
        return len(self._planes)

    def _one(self, index: int) -> TrainingImage:
        from napari_blockseg.learn.data import TrainingImage

        one = self._planes[index]
        labels = one.labels.with_values(self._values[one.labels.values])
        return TrainingImage(one.image_id, one.pixels, labels)


class MaskedImages(_Images):
    """The images of a project that have a dense mask, with it as labels in blocks of one pixel.

    Parameters
    ----------
    project : Project
        Open. Its own block labels do not matter.
    folder : Path
        Of the masks: they match images by file stem and classes by NAME.
    classes : sequence of ClassInfo
        The model's; pixels of other classes are void.

    Attributes
    ----------
    notices : list of Notice
        What is left out.

    Raises
    ------
    LabelError
        If no mask has an image, or masks and model share no class.
    """

    def __init__(self, project: Project, folder: Path, classes: Sequence[ClassInfo]) -> None:
        from napari_blockseg.files.masks import common_classes, find_classes_json
        from napari_blockseg.files.simulate import masks_of_images

        self._project = project
        self._classes = classes
        self._masks, unmatched = masks_of_images(project, folder)
        self._table = find_classes_json(folder)
        common_classes(self._table, classes, of_classes="model has")
        self.notices = []
        self._last: tuple[str, Any, Any] | None = None
        self._planes: list[tuple[str, tuple[int, ...]]] = []
        for image_id in self._masks:
            self._add(image_id)
        if unmatched:
            message = f"{len(unmatched)} masks have no image in the project and do not count."
            self.notices.append(Notice(message=message))

    def __len__(self) -> int:
        return len(self._planes)

    def _add(self, image_id: str) -> None:
        problem = self._project.problems.get(image_id)
        if problem is not None:
            message = f"Image {image_id!r} is left out: {problem}"
            self.notices.append(Notice(level="warning", message=message))
            return
        leading = self._project.entry(image_id).spatial_shape[:-2]
        self._planes += [(image_id, index) for index in np.ndindex(tuple(leading))]

    def _one(self, index: int) -> TrainingImage:
        from napari_blockseg.learn.data import TrainingImage

        image_id, place = self._planes[index]
        pixels, mask = self._read(image_id)
        plane = mask[place]
        name = f"{image_id}[{','.join(map(str, place))}]" if place else image_id
        return TrainingImage(name, pixels[place], BlockLabels(BlockGrid(plane.shape, 1), plane))

    def _read(self, image_id: str) -> tuple[Any, Any]:
        from napari_blockseg.files.masks import read_mask

        if self._last is None or self._last[0] != image_id:
            self._last = None  # never two images in memory
            shape = self._project.entry(image_id).spatial_shape
            mask = read_mask(self._masks[image_id], self._table, self._classes, shape)
            self._last = (image_id, self._project.load_image(image_id).pixels, mask)
        return self._last[1], self._last[2]
