"""From a project on disk to what training takes, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from napari_blockseg.core.atomic import replacing
from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice

if TYPE_CHECKING:
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.data import TrainingImage

_SHARE_OF_FREE_MEMORY = 0.25
_MOST_BYTES = 4 * 2**30


def memory_budget() -> int:
    """Return how many bytes of pixels training may hold: a quarter of what is free, 4 GiB at most."""
    return min(_MOST_BYTES, int(psutil.virtual_memory().available * _SHARE_OF_FREE_MEMORY))


def training_images(project: Project, budget: int | None = None) -> Iterator[TrainingImage | Notice]:
    """Load the labelled images of a project one by one.

    Parameters
    ----------
    project : Project
        An open project.
    budget : int, optional
        Bytes of pixels to hold in memory; by default `memory_budget`. What goes beyond lies in the
        project's cache folder and is memory-mapped.

    Yields
    ------
    TrainingImage or Notice
        One item for each slice with a labelled block; a warning for each image that cannot be read.

    Notes
    -----
    Images without labels are not read at all.
    """
    left = memory_budget() if budget is None else budget
    for image_id in project.image_ids:
        try:
            for item in _labelled_slices(project, image_id, left):
                left -= 0 if isinstance(item.pixels, np.memmap) else item.pixels.nbytes
                yield item
        except (BlockSegError, OSError) as error:
            message = f"Image {image_id!r} is left out of the training: {error}"
            yield Notice(level="warning", message=message)


def _labelled_slices(project: Project, image_id: str, left: int) -> Iterator[TrainingImage]:
    from napari_blockseg.learn.data import TrainingImage

    labels = project.load_labels(image_id)
    indices = labelled_indices(labels)
    if not indices:
        return
    pixels = project.load_image(image_id).pixels
    for index in indices:
        # A copy, since a view would keep the whole stack alive.
        plane = np.ascontiguousarray(pixels[index]) if index else pixels
        if plane.nbytes > left:
            plane = _spill(plane, project.cache_dir, _cache_name(project, image_id, index))
        else:
            left -= plane.nbytes
        yield TrainingImage(slice_name(image_id, index), plane, labels.plane(index))


def labelled_indices(labels: BlockLabels) -> list[tuple[int, ...]]:
    """Return the positions on the leading axes where a block is labelled; [()] for a 2-D image."""
    marked = labels.values.any(axis=(-2, -1))
    return [tuple(int(i) for i in index) for index in np.argwhere(marked)]


def slice_name(image_id: str, index: tuple[int, ...]) -> str:
    """Return what a slice is called: the image's id, and its position in a stack."""
    return f"{image_id}[{','.join(map(str, index))}]" if index else image_id


def _cache_name(project: Project, image_id: str, index: tuple[int, ...]) -> str:
    # Named by content, so that a file is never replaced while it is mapped.
    place = "_".join(map(str, index))
    return f"{image_id}-{place}-{project.entry(image_id).sha[:16]}.npy"


def _spill(plane: Any, folder: Path, name: str) -> Any:
    """Return the plane memory-mapped from the cache folder, written there if need be."""
    path = folder / name
    if not path.exists():
        with replacing(path) as temporary:
            np.save(temporary, plane)
    mapped = np.load(path, mmap_mode="r")
    if mapped.shape != plane.shape or mapped.dtype != plane.dtype:
        raise BlockSegError(
            f"The cache file {path} holds {mapped.shape} {mapped.dtype}, the image has "
            f"{plane.shape} {plane.dtype}. Delete the project's cache folder."
        )
    return mapped
