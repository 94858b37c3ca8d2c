"""Changes of all labels of a project at once, safe against a crash at any point.

``project.json`` says first what is to be done (``pending``), then every image is done one by one
(journal record first, labels file second), then ``pending`` is removed. Journal records carry the
change's token, so that finishing it after a crash repeats nothing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.errors import BlockSegError, LabelError, ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, diff, regrid
from napari_blockseg.files.journal import DAMAGE, ClassMoves, JournalDamagedError, read_journal
from napari_blockseg.files.labelstore import LabelState
from napari_blockseg.files.spec import PendingChange

if TYPE_CHECKING:
    from napari_blockseg.files.project import Project


@dataclass(frozen=True)
class RegridSummary:
    """What another block size changed, summed over the images.

    ``changed_pixels`` of ``labelled_pixels`` have another value; ``restored``: images whose
    labels are exactly what they were before the regrid that was taken back.
    """

    block: int
    images: int
    changed_blocks: int
    changed_pixels: int
    labelled_pixels: int
    restored: tuple[str, ...] = ()


def regrid_project(project: Project, block: int) -> RegridSummary:
    """Put all labels of a project on blocks of another size."""
    summary = regrid_summary(project, block)
    if block == project.block:
        return summary
    _require_readable(project)
    history = (*project.spec.block_history, project.block)
    pending = PendingChange(op="regrid", token=uuid.uuid4().hex)
    project._write_spec(block=block, block_history=history, pending=pending)
    finish(project)
    return summary


def regrid_summary(project: Project, block: int) -> RegridSummary:
    """Count what another block size would change; nothing is written."""
    BlockGrid((1, 1), block)
    totals = np.zeros(4, np.int64)
    for _, labels in _existing(project):
        result = regrid(labels, block)
        totals += (1, result.changed_blocks, result.changed_pixels, result.labelled_pixels)
    return _summary(block, totals)


def _summary(
    block: int, totals: NDArray[np.int64], restored: tuple[str, ...] = ()
) -> RegridSummary:
    images, blocks, pixels, labelled = totals.tolist()
    return RegridSummary(block, images, blocks, pixels, labelled, restored)


def undo_regrid(project: Project) -> RegridSummary:
    """Take the last change of block size back."""
    history = project.spec.block_history
    if not history:
        raise ProjectError(f"The block size of {project.root} was not changed; nothing to undo.")
    _require_readable(project)
    restored = []
    totals = np.zeros(4, np.int64)
    for image_id, labels in _existing(project):
        before = _before_regrid(project, image_id, labels, history[-1])
        result = regrid(labels, history[-1])
        totals += (1, result.changed_blocks, result.changed_pixels, result.labelled_pixels)
        restored += [image_id] if before is not None else []
    pending = PendingChange(op="undo", token=uuid.uuid4().hex)
    project._write_spec(block=history[-1], block_history=history[:-1], pending=pending)
    finish(project)
    return _summary(history[-1], totals, tuple(restored))


def set_classes(
    project: Project,
    classes: tuple[ClassInfo, ...],
    mapping: dict[int, int],
    restored: int | None = None,
) -> None:
    """Give a project other classes; `mapping` says what becomes of old values.

    ``restored`` is the value of a class that was deleted and is among `classes` again.
    """
    lost: dict[int, int] = {}
    for _, labels in _existing(project):
        values, counts = np.unique(labels.values, return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            if not 0 <= mapping.get(value, value) <= len(classes):
                lost[value] = lost.get(value, 0) + count
    if lost:
        names = {one.value: one.name for one in project.classes}
        said = ", ".join(f'{n} blocks of "{names.get(v, v)}" (value {v})' for v, n in lost.items())
        raise LabelError(
            f"Got a class list in which {said} would have no class. Say what becomes of them: "
            "give their value a new one, or 0 to make those blocks unlabelled."
        )
    mapping = {old: new for old, new in mapping.items() if old != new}
    if not mapping and restored is None:
        project._write_spec(classes=classes)
        return
    _require_readable(project)
    token = uuid.uuid4().hex
    pending = PendingChange(op="reclass", token=token, mapping=mapping, restored=restored)
    project._write_spec(classes=classes, pending=pending)
    finish(project)


def finish(project: Project) -> None:
    """Do what ``pending`` still leaves to do; an interrupted change ends as an undisturbed one.

    Labels that are still on another block size for whatever reason are put on the project's too.
    """
    pending = project.spec.pending
    for image_id, state in _existing_states(project):
        labels = state.labels
        project._store.recover(image_id, state)
        if pending is not None and pending.op == "reclass":
            _reclass(project, image_id, labels, pending)
        if labels.grid.block != project.block:
            _regrid_one(project, image_id, labels, pending)
    if pending is not None:
        project._write_spec(pending=None)


def _regrid_one(
    project: Project, image_id: str, labels: BlockLabels, pending: PendingChange | None
) -> None:
    undo = pending is not None and pending.op == "undo"
    after = _before_regrid(project, image_id, labels, project.block) if undo else None
    if after is None:
        after = regrid(labels, project.block).labels
    empty = project._empty(project.entry(image_id))
    token = None if pending is None else pending.token
    project._store.replace_grid(image_id, empty, after, "undo" if undo else "regrid", token)
    project._store.save(image_id, empty)


def _reclass(project: Project, image_id: str, labels: BlockLabels, pending: PendingChange) -> None:
    try:
        records = read_journal(project._store.journal_path(image_id))
    except JournalDamagedError as error:
        records = error.records
    if any(record.token == pending.token for record in records):
        return
    table = np.arange(65536, dtype=np.uint16)
    for old, new in pending.mapping.items():
        table[old] = new
    changes = diff(labels.values, table[labels.values])
    empty = project._empty(project.entry(image_id))
    moves = ClassMoves(mapping=pending.mapping, restored=pending.restored)
    project._store.record(image_id, empty, changes, "reclass", token=pending.token, moves=moves)
    project._store.save(image_id, empty)


def _before_regrid(
    project: Project, image_id: str, labels: BlockLabels, block: int
) -> BlockLabels | None:
    """Return the labels before the last regrid from `block`, if nothing was changed since."""
    try:
        records = read_journal(project._store.journal_path(image_id))
    except JournalDamagedError:
        return None
    open_regrids = []
    for record in records:
        if record.op == "regrid":
            open_regrids.append(record)
        elif record.op == "undo" and record.after is not None and open_regrids:
            open_regrids.pop()
    if not open_regrids:
        return None
    before, after = open_regrids[-1].before, open_regrids[-1].after
    if before is None or after is None or before.block != block:
        return None
    try:
        return before.labels() if after.labels() == labels else None
    except DAMAGE:
        return None


def _existing(project: Project) -> list[tuple[str, BlockLabels]]:
    return [(image_id, state.labels) for image_id, state in _existing_states(project)]


def _existing_states(project: Project) -> list[tuple[str, LabelState]]:
    """Return the images that have labels which can be read."""
    found = []
    for entry in project.spec.images:
        try:
            state = project._store.state(entry.id, project._empty(entry))
        except BlockSegError:
            continue
        if state.exists:
            found.append((entry.id, state))
    return found


def _require_readable(project: Project) -> None:
    """Refuse a change of all labels while some of them cannot be read."""
    for entry in project.spec.images:
        project._store.state(entry.id, project._empty(entry))
