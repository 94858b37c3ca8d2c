"""Undo, redo, and steps that change all images of a project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_blockseg.ui import project_steps
from napari_blockseg.ui.history import Edit, Histories, History, ProjectStep

if TYPE_CHECKING:
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project
    from napari_blockseg.ui.disk import DiskThread
    from napari_blockseg.ui.easel import Easel

_PATIENCE = 60.0


class StepRunner(QObject):
    """Do and undo steps: edits on the shown image at once, project steps on the disk thread.

    Parameters
    ----------
    easel : Easel
        The shown image.
    disk : DiskThread
        Changes all images.
    parent : QObject, optional
        Owner.
    """

    #: (image_id) What undo and redo can do changed.
    history_changed = Signal(str)
    #: A step over all images is on its way: labels that were read before it are outdated.
    begun = Signal()
    #: (ProjectStep, words) A step over all images is done; block size and classes are others.
    converted = Signal(object, str)
    #: (exception) A step over all images failed.
    failed = Signal(object)

    def __init__(self, easel: Easel, disk: DiskThread, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._easel = easel
        self._disk = disk
        self._histories = Histories()
        self._project: Project | None = None
        self._converting = False

    def begin(self, project: Project | None) -> None:
        """Work for another project, or none; the histories of the last one are forgotten."""
        self._project = project
        self._histories.clear()

    def history(self, image_id: str) -> History:
        """Return the history of an image."""
        return self._histories.of(image_id)

    def can_undo(self) -> bool:
        """Whether the shown image has a step to take back."""
        return self._easel.sheet is not None and self._easel.sheet.history.can_undo

    def can_redo(self) -> bool:
        """Whether the shown image has a step to do again."""
        return self._easel.sheet is not None and self._easel.sheet.history.can_redo

    def undo(self) -> None:
        """Take back the last step on the shown image."""
        self._turn(back=True)

    def redo(self) -> None:
        """Do the last undone step of the shown image again."""
        self._turn(back=False)

    def settle(self) -> None:
        """Wait for a change of all images that is on its way: the next one builds on it."""
        if self._converting:
            self._disk.drain(_PATIENCE)

    def run(self, step: ProjectStep, back: bool = False, in_history: bool = False) -> None:
        """Have the disk thread do a step on all images; nothing can be painted until it is done.

        Parameters
        ----------
        step : ProjectStep
            The step.
        back : bool
            Take it back instead.
        in_history : bool
            It came out of the shown image's history, which knows of it.
        """
        project, shown = self._project, self._easel.image_id
        if project is None:
            return
        self._converting = True
        if self._easel.sheet is not None:
            self._easel.sheet.hold()
        others = [i for i in project.image_ids if not (in_history and i == shown)]
        (self._histories.forget if back else self._histories.push)(step, others)

        def work() -> tuple[str, BlockLabels | None]:
            said = (project_steps.take_back if back else project_steps.carry_out)(project, step)
            return said, None if shown is None else project.load_labels(shown)

        self._disk.submit(
            work,
            then=partial(self._on_done, project, step, shown),
            failed=partial(self._on_failed, project, step),
        )
        self.begun.emit()

    def _turn(self, back: bool) -> None:
        self.settle()
        sheet = self._easel.sheet
        if sheet is None:
            return
        sheet.commit()
        step = sheet.history.undo() if back else sheet.history.redo()
        if isinstance(step, Edit):
            sheet.apply(step.changes, "undo" if back else "redo", back)
            self.history_changed.emit(sheet.image_id)
        elif step is not None:
            self.run(step, back, in_history=True)

    def _on_done(
        self,
        project: Project,
        step: ProjectStep,
        shown: str | None,
        done: tuple[str, BlockLabels | None],
    ) -> None:
        self._converting = False
        if project is not self._project:
            return
        said, labels = done
        sheet = self._easel.sheet
        if sheet is not None and sheet.image_id == shown and labels is not None:
            sheet.replace(labels)
        self.converted.emit(step, said)
        self.history_changed.emit(self._easel.image_id or "")

    def _on_failed(self, project: Project, step: ProjectStep, error: BaseException) -> None:
        self._converting = False
        if project is self._project:
            self._histories.forget(step, project.image_ids)
            if self._easel.sheet is not None:
                self._easel.sheet.release()
            self.history_changed.emit(self._easel.image_id or "")
        self.failed.emit(error)
