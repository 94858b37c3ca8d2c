"""Undo and redo of one image, across strokes, fills, new grids and deleted classes.

napari keeps an undo history per array and would replay it on another grid; this one holds steps
that know what they changed, so that a new grid is a step like any other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import Changes

LIMIT = 500


@dataclass(frozen=True, eq=False)
class Edit:
    """One stroke, fill or polygon: the cells that it changed."""

    changes: Changes
    op: str


@dataclass(eq=False)
class ProjectStep:
    """A step over all images: another block size, or a class less.

    ``block`` is (before, after). ``deleted`` is the value of a class that the step deletes, None
    for a new block size; ``gone`` is that class and ``cleared`` are the cells it had, (n, axes) by
    image id: the disk thread fills them in.
    """

    op: str
    block: tuple[int, int]
    deleted: int | None = None
    gone: ClassInfo | None = None
    cleared: dict[str, NDArray[np.int64]] = field(default_factory=dict)


Step = Edit | ProjectStep


class History:
    """What can be undone and redone on one image."""

    def __init__(self) -> None:
        self._past: list[Step] = []
        self._future: list[Step] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._future)

    def push(self, step: Step) -> None:
        """Add a step that was just done; what was undone before it is gone."""
        self._past.append(step)
        del self._past[:-LIMIT]
        self._future.clear()

    def undo(self) -> Step | None:
        """Return the step to take back and move it to the redo side; None if there is none."""
        return _move(self._past, self._future)

    def redo(self) -> Step | None:
        """Return the step to do again and move it to the undo side; None if there is none."""
        return _move(self._future, self._past)

    def forget(self, step: ProjectStep) -> None:
        """Drop a project step that was taken back from another image.

        Steps around it belong to the other grid and cannot be replayed: they go as well, except
        those on the far side when it was the last step done.
        """
        if self._past and self._past[-1] is step:
            self._past.pop()
            self._future.clear()
        else:
            self._past.clear()
            self._future.clear()


def _move(source: list[Step], target: list[Step]) -> Step | None:
    if not source:
        return None
    target.append(source.pop())
    return target[-1]


class Histories:
    """The histories of all images of a project, between which project steps are shared."""

    def __init__(self) -> None:
        self._of: dict[str, History] = {}

    def of(self, image_id: str) -> History:
        """Return the history of an image."""
        return self._of.setdefault(image_id, History())

    def push(self, step: ProjectStep, image_ids: Iterable[str]) -> None:
        """Add a project step to the history of each of these images."""
        for image_id in image_ids:
            self.of(image_id).push(step)

    def forget(self, step: ProjectStep, image_ids: Iterable[str]) -> None:
        """Drop a project step that was taken back, or failed, from each of these images."""
        for image_id in image_ids:
            self.of(image_id).forget(step)

    def clear(self) -> None:
        """Forget everything."""
        self._of.clear()
