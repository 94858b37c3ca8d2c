"""Steps over all images of a project: another block size, a class less. And their way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_blockseg.core.labels import BlockLabels, regrid
from napari_blockseg.ui.history import ProjectStep

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.project import Project


def regrid_step(classes: tuple[ClassInfo, ...], old: int, new: int) -> ProjectStep:
    """Return the step from one block size to another."""
    return ProjectStep("regrid", (old, new), (classes, classes))


def delete_class_step(classes: tuple[ClassInfo, ...], value: int, block: int) -> ProjectStep:
    """Return the step that deletes a class: its blocks are cleared, later values move down."""
    kept = [c for c in classes if c.value != value]
    after = tuple(c.model_copy(update={"value": i + 1}) for i, c in enumerate(kept))
    return ProjectStep("clear", (block, block), (classes, after), deleted=value)


def carried_out(step: ProjectStep, labels: BlockLabels) -> BlockLabels:
    """Return labels as they are after the step."""
    if step.deleted is None:
        return regrid(labels, step.block[1]).labels
    values = labels.values
    moved = np.where(values > step.deleted, values - 1, values)
    return labels.with_values(np.where(values == step.deleted, 0, moved).astype(values.dtype))


def taken_back(
    step: ProjectStep, labels: BlockLabels, known: tuple[BlockLabels, BlockLabels] | None
) -> BlockLabels:
    """Return labels as they were before the step.

    Parameters
    ----------
    step : ProjectStep
        What is taken back.
    labels : BlockLabels
        The labels now.
    known : (BlockLabels, BlockLabels), optional
        The image's labels right before and right after the step. Unless the image was painted
        on since, "before" comes back exactly; what was painted since is carried over.
    """
    if known is not None and labels == known[1]:
        return known[0]
    if step.deleted is None:
        return regrid(labels, step.block[0]).labels
    values = labels.values
    moved = np.where(values >= step.deleted, values + 1, values).astype(values.dtype)
    if known is not None and known[1].grid == labels.grid:
        moved = np.where(values == known[1].values, known[0].values, moved)
    return labels.with_values(moved)


def convert_closed_images(
    project: Project, step: ProjectStep, skip: str | None, back: bool
) -> list[str]:
    """Carry a step out (or back) on all images that are not open; runs on the disk thread.

    Returns
    -------
    list of str
        One message for each image that could not be converted; the others are.
    """
    failed = []
    for image_id in project.image_ids:
        if image_id == skip or image_id in project.problems:
            continue
        try:
            labels = project.load_labels(image_id)
            if back:
                after = taken_back(step, labels, step.labels.get(image_id))
            else:
                after = carried_out(step, labels)
                step.labels[image_id] = (labels, after)
            record_step(project, image_id, labels, after, step.op, back)
        except (OSError, ValueError) as error:
            failed.append(f"{image_id}: {error}")
    return failed


def record_step(
    project: Project,
    image_id: str,
    before: BlockLabels,
    after: BlockLabels,
    op: str,
    back: bool = False,
) -> None:
    """Journal a step on one image and write its label file."""
    if before == after:
        return
    project.record_regrid(image_id, before, after, "undo" if back else op)
    project.save_labels(image_id, after)


def set_project(project: Project, block: int, classes: Sequence[ClassInfo]) -> None:
    """Write block size and classes where they differ; runs on the disk thread."""
    if project.block != block:
        project.set_block(block)
    if tuple(project.classes) != tuple(classes):
        project.set_classes(classes)
