"""Steps over all images of a project: another block size, a class less. And their way back.

These functions run on the disk thread; the project folder does the conversion, crash-safe, and
the session shows what comes out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.labels import Changes
from napari_blockseg.ui.class_edits import with_restored, without
from napari_blockseg.ui.history import ProjectStep

if TYPE_CHECKING:
    from napari_blockseg.files.project import Project


def regrid_step(old: int, new: int) -> ProjectStep:
    """Return the step from one block size to another."""
    return ProjectStep("regrid", (old, new))


def delete_class_step(value: int, block: int) -> ProjectStep:
    """Return the step that deletes a class: its blocks are cleared, later values move down."""
    return ProjectStep("clear", (block, block), deleted=value)


def carry_out(project: Project, step: ProjectStep) -> str:
    """Do a step on all images of a project.

    Returns
    -------
    str
        What it changed, in words for the user.
    """
    if step.deleted is None:
        done = project.set_block(step.block[1])
        if not done.changed_blocks:
            return f"Blocks are {step.block[1]} px now; nothing that was painted changed."
        return (
            f"Blocks are {step.block[1]} px now; {done.changed_pixels:,} of "
            f"{done.labelled_pixels:,} painted pixels changed. Undo brings them back."
        )
    step.gone, step.cleared = project.classes[step.deleted - 1], _cells_of(project, step.deleted)
    moved = {v: v - 1 for v in range(step.deleted + 1, len(project.classes) + 1)}
    project.set_classes(without(project.classes, step.deleted), {step.deleted: 0, **moved})
    cleared = sum(len(cells) for cells in step.cleared.values())
    return f"The class is deleted; {cleared:,} blocks became unlabelled. Undo brings them back."


def take_back(project: Project, step: ProjectStep) -> str:
    """Undo a step on all images; classes added or changed and blocks painted since are kept.

    Returns
    -------
    str
        Nothing to say: "".
    """
    if step.deleted is None or step.gone is None:
        project.undo_regrid()
        return ""
    moved = {v: v + 1 for v in range(step.deleted, len(project.classes) + 1)}
    project.set_classes(with_restored(project.classes, step.gone), moved, step.deleted)
    for image_id, cells in step.cleared.items():
        labels = project.load_labels(image_id).values
        free = cells[labels[tuple(cells.T)] == 0]
        if len(free):
            old = np.zeros(len(free), labels.dtype)
            new = np.full(len(free), step.deleted, labels.dtype)
            project.record(image_id, Changes(free, old, new), "undo")
            project.save_labels(image_id)
    return ""


def _cells_of(project: Project, value: int) -> dict[str, np.ndarray]:
    found = {}
    for image_id in project.image_ids:
        try:
            cells = np.argwhere(project.load_labels(image_id).values == value)
        except BlockSegError:
            continue  # the project has it among its problems, and its labels stay as they are
        if len(cells):
            found[image_id] = cells
    return found
