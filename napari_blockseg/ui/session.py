"""One open project in one viewer: what the panels share.

How panels use it
-----------------
Every panel is built as ``Panel(session, parent=None)``, keeps ``value()``, ``set_value()`` and
``value_changed``, and never calls another panel; what one wants from another goes out as a
``..._requested`` signal that :mod:`napari_blockseg.ui.dock` joins, or through the session::

    session.labels_changed.connect(recount)      # (image_id) a stroke, an undo, a fill
    labels = session.labels()                    # BlockLabels of the shown image, at once
    session.regrid(8)                            # one undoable step
    session.flush()                              # everything painted so far is on disk
    session.show_prediction(image_id, mask)      # a Labels layer aligned with the image

All signals arrive on the GUI thread. Disk work runs on one background thread in the order in
which it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.errors import LabelError, ProjectError
from napari_blockseg.files.predictions import PredictedMask
from napari_blockseg.ui import project_steps
from napari_blockseg.ui.class_edits import with_added, with_changed
from napari_blockseg.ui.disk import DiskThread, not_on_disk
from napari_blockseg.ui.easel import Easel
from napari_blockseg.ui.history import ProjectStep
from napari_blockseg.ui.opening import LoadedImage, Opening
from napari_blockseg.ui.step_runner import StepRunner

if TYPE_CHECKING:
    import napari
    import numpy as np
    from napari.layers import Image, Labels

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project
    from napari_blockseg.ui.sheet import Sheet


class Session(QObject):
    """One open project in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows the images.
    parent : QObject, optional
        Owner.
    """

    project_opened = Signal()  #: A project was opened or made; ``session.project`` is it.
    project_closed = Signal()  #: The project was closed; ``session.project`` is None.
    #: (image_id) Another image is shown, with its labels layer; "" when none is.
    image_changed = Signal(str)
    labels_changed = Signal(str)  #: (image_id) Its block labels changed; at most every 40 ms.
    classes_changed = Signal()  #: Classes were added, renamed, recolored or deleted.
    regridded = Signal(int)  #: (block) The project has another block size.
    saved = Signal(str)  #: (image_id) All that was painted on this image is in its label file.
    history_changed = Signal(str)  #: (image_id) What undo and redo can do changed.
    problem = Signal(str)  #: (message) Something failed; the dock shows it.
    notice = Signal(str)  #: (message) Something to know, nothing failed.
    busy = Signal(str)  #: (what) Disk work that may be felt began; "" when it is over.
    #: (path, message) Someone else holds the project; ask, then open with ``take_over=True``.
    locked = Signal(str, str)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.project: Project | None = None
        self._classes: tuple[ClassInfo, ...] = ()
        self._block = 1
        self._disk = DiskThread(self.report, self)
        self._opening = Opening(self._disk, self._on_project, self._on_image, self)
        self._join_opening()
        self._easel = Easel(viewer, self._disk, self.undo, self.redo, self)
        self._easel.changed.connect(self.labels_changed)
        self._easel.stepped.connect(self.history_changed)
        self._easel.saved.connect(self.saved)
        self._easel.emptied.connect(lambda: self.image_changed.emit(""))
        self._steps = StepRunner(self._easel, self._disk, self)
        self._steps.history_changed.connect(self.history_changed)
        self._steps.begun.connect(self._opening.load_again)
        self._steps.converted.connect(self._on_converted)
        self._steps.failed.connect(self._on_step_failed)

    # ---- project
    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes of the project, values 1..K; empty without a project."""
        return self._classes

    @property
    def block(self) -> int:
        """Block size of the project, in pixels."""
        return self._block

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Ids of the project's images; empty without a project."""
        return () if self.project is None else tuple(self.project.image_ids)

    def open_project(
        self, root: Path | str, image_id: str | None = None, take_over: bool = False
    ) -> None:
        """Open a project in the background and show one of its images (the first).

        Parameters
        ----------
        root : path
            The project folder.
        image_id : str, optional
            The image to show.
        take_over : bool
            Open it although another process holds its lock.
        """
        self._opening.open(Path(root), image_id, take_over)

    def create_project(
        self,
        root: Path | str,
        images: Sequence[Path],
        classes: Sequence[ClassInfo],
        block: int | None = None,
    ) -> None:
        """Make a project in the background and open it; `block` is chosen by the first image."""
        self._opening.make(Path(root), images, classes, block)

    def start_on_layer(self, layer: Image) -> None:
        """Make a project in the user's data folder for an image that napari shows.

        Raises
        ------
        ImageError
            If the layer is not one 2-D plane, grey or RGB.
        """
        self._opening.make_for(layer)

    def save_project_as(self, target: Path | str) -> None:
        """Move the project to another folder, where it gets a name; it stays open."""
        if self.project is not None:
            self._opening.move(self.project, Path(target), self.image_id)

    def close_project(self) -> None:
        """Save everything, unlock, and remove the layers that the session added."""
        if self.project is None:
            return
        project = self.project
        self._easel.clear()
        self._disk.submit(project.close)
        self.project = None
        self._classes, self._block = (), 1
        self._steps.begin(None)
        self.image_changed.emit("")
        self.project_closed.emit()

    def close(self) -> None:
        """Close the project and end the background thread; the session is of no use afterwards."""
        self._opening.give_up()
        self.close_project()
        self._easel.close()
        self._disk.stop()

    def flush(self, timeout: float = 30.0) -> bool:
        """Put all that was painted on disk and deliver pending results; False if it is not there.

        The worker process reads labels from the project folder: call this before it is asked to
        train or to predict.
        """
        self._easel.save()
        return self._disk.drain(timeout) and not self._easel.unsaved

    # ---- images
    @property
    def image_id(self) -> str | None:
        """Id of the image that is shown, None without one."""
        return self._easel.image_id

    @property
    def asked_image_id(self) -> str | None:
        """Id of the image that is on its way, else of the one that is shown."""
        return self._opening.image_id or self.image_id

    def set_image(self, image_id: str) -> None:
        """Show another image of the project; ``image_changed`` follows when it is loaded.

        Asked for the one that is shown, it stays: another one on its way does not come any more.
        """
        if self.project is None or image_id == self.asked_image_id:
            return
        if image_id == self.image_id:
            self._opening.give_up()
            self.busy.emit("")
            return
        if image_id in self.project.problems:
            self.problem.emit(str(self.project.problems[image_id]))
            return
        self._opening.load(self.project, image_id)

    def image_layer(self) -> Image | None:
        """Return the layer of the shown image."""
        return self._easel.image_layer

    def labels_layer(self, image_id: str | None = None) -> Labels | None:
        """Return the block labels layer of an image (the shown one), None if it is not open."""
        sheet = self._sheet_of(image_id)
        return None if sheet is None else sheet.layer

    def labels(self, image_id: str | None = None) -> BlockLabels | None:
        """Return what is painted now on an open image (the shown one): a snapshot."""
        sheet = self._sheet_of(image_id)
        return None if sheet is None else sheet.labels()

    def read_labels(
        self,
        image_id: str,
        then: Callable[[BlockLabels], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Read the labels of any image in the background; all that was painted by now is in."""
        if self.project is not None:
            self._disk.submit(partial(self.project.load_labels, image_id), then, failed)

    def slice_index(self) -> tuple[int, ...]:
        """Return the position in the image's leading axes; () for a 2-D image."""
        return self._easel.slice_index()

    def visible_region(self) -> tuple[int, int, int, int] | None:
        """Return the part of the shown image in view: (row0, row1, col0, col1), None if nothing.

        Pixels of the image, stops excluded; on a rotated image its bounding box.
        """
        return self._easel.visible_region()

    # ---- classes and grid
    def add_class(self, name: str, color: tuple[int, int, int] | None = None) -> int:
        """Add a class and return its value; LabelError if there is one of that name."""
        self._steps.settle()
        self._set_classes(with_added(self._classes, name, color))
        return len(self._classes)

    def change_class(
        self, value: int, name: str | None = None, color: tuple[int, int, int] | None = None
    ) -> None:
        """Rename or recolor a class; LabelError if another one has that name."""
        self._steps.settle()
        self._set_classes(with_changed(self._classes, value, name, color))

    def delete_class(self, value: int) -> None:
        """Delete a class; its blocks become unlabelled in one undoable, journalled step."""
        self._steps.settle()
        if not 1 <= value <= len(self._classes) or len(self._classes) == 1:
            raise LabelError("A project keeps at least one class. Add another one first.")
        self._change_all(project_steps.delete_class_step(value, self._block))

    def regrid(self, block: int) -> None:
        """Give the project another block size, as one undoable step over all its images."""
        self._steps.settle()
        if self.project is not None and block != self._block:
            self._change_all(project_steps.regrid_step(self._block, block))

    def can_undo(self) -> bool:
        """Whether the shown image has a step to take back."""
        return self._steps.can_undo()

    def can_redo(self) -> bool:
        """Whether the shown image has a step to do again."""
        return self._steps.can_redo()

    def undo(self) -> None:
        """Take back the last step on the shown image."""
        self._steps.undo()

    def redo(self) -> None:
        """Do the last undone step of the shown image again."""
        self._steps.redo()

    # ---- predictions
    def show_prediction(
        self,
        image_id: str,
        mask: np.ndarray | PredictedMask,
        region: tuple[int, int, int, int] | None = None,
        slice_index: tuple[int, ...] = (),
    ) -> None:
        """Show a prediction over its image, in a Labels layer named "prediction".

        Parameters
        ----------
        image_id : str
            The image; nothing happens when another one is shown by now.
        mask : (rows, cols) int array, or PredictedMask
            Class values 1..K, 0 where nothing was predicted; of `region`'s size. One that says what
            its values are called is shown in those of the present classes.
        region : (row0, row1, col0, col1), optional
            Where `mask` lies; the rest of the layer keeps what it showed. The whole plane if None.
        slice_index : tuple of int
            Position in the image's leading axes.
        """
        if image_id == self.image_id:
            if isinstance(mask, PredictedMask):
                mask = mask.in_values_of(self._classes)
            self._easel.show_prediction(self._classes, mask, region, slice_index)

    def prediction_layer(self) -> Labels | None:
        """Return the layer that :meth:`show_prediction` made, None before."""
        return self._easel.prediction.layer

    def report(self, error: BaseException) -> None:
        """Hand an error to whoever shows problems."""
        self.busy.emit("")
        self.problem.emit(str(error) or type(error).__name__)

    # ---- opening
    def _join_opening(self) -> None:
        opening = self._opening
        opening.begun.connect(self._on_opening_begun)
        opening.loading.connect(self.busy)
        opening.ended.connect(lambda: self.busy.emit(""))
        opening.failed.connect(self.report)
        opening.problem.connect(self.problem)
        opening.notice.connect(self.notice)
        opening.locked.connect(self.locked)

    def _on_opening_begun(self, what: str) -> None:
        self.busy.emit(what)
        self.close_project()

    def _on_project(self, project: Project) -> None:
        self.project = project
        self._steps.begin(project)
        self._classes, self._block = tuple(project.classes), project.block
        self.project_opened.emit()

    def _on_image(self, loaded: LoadedImage) -> None:
        if loaded.project is not self.project:
            return
        history = self._steps.history(loaded.image_id)
        self._easel.put(loaded, self._classes, history)
        self.busy.emit("")
        self.image_changed.emit(loaded.image_id)
        self.labels_changed.emit(loaded.image_id)
        self.history_changed.emit(loaded.image_id)

    # ---- changes
    def _on_converted(self, step: ProjectStep, said: str) -> None:
        self._block, self._classes = self.project.block, tuple(self.project.classes)
        self.busy.emit("")
        if step.deleted is not None:
            self._tell_classes()
        else:
            self.regridded.emit(self._block)
        if said:
            self.notice.emit(said)

    def _on_step_failed(self, error: BaseException) -> None:
        self.report(error)
        if self.project is None:
            return
        project = self.project
        known = project.block, project.classes, project.spec.pending
        if known != (self._block, self._classes, None):
            # Half done: what is on screen may not fit the project any more. Opening finishes it.
            self.open_project(self.project.root, self.image_id)

    def _sheet_of(self, image_id: str | None) -> Sheet | None:
        return self._easel.sheet if image_id in (None, self.image_id) else None

    def _change_all(self, step: ProjectStep) -> None:
        self.busy.emit("Changing all images")
        self._steps.run(step)

    def _set_classes(self, classes: tuple[ClassInfo, ...]) -> None:
        if self.project is None:
            raise ProjectError("There is no project. Open one, or start painting on an image.")
        project, self._classes = self.project, classes
        self._disk.submit(lambda: project.set_classes(classes), failed=self._on_classes_not_saved)
        self._tell_classes()

    def _on_classes_not_saved(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            self._easel.save_later()
            error = not_on_disk("The list of classes as you see it", error)
        self.report(error)

    def _tell_classes(self) -> None:
        self._easel.set_classes(self._classes)
        self.classes_changed.emit()
