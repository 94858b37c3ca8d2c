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
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.errors import LabelError, ProjectError, ProjectLockedError
from napari_blockseg.files.project import Project
from napari_blockseg.ui import project_steps
from napari_blockseg.ui.class_edits import with_added, with_changed
from napari_blockseg.ui.disk import DiskThread
from napari_blockseg.ui.history import Edit, Histories, ProjectStep
from napari_blockseg.ui.image_layer import ShownImage, show_image
from napari_blockseg.ui.layer import BlockLabelsLayer
from napari_blockseg.ui.new_project import LayerImage, move_project, project_for
from napari_blockseg.ui.prediction_layer import PredictionView
from napari_blockseg.ui.sheet import Sheet

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels


class Session(QObject):
    """One open project in one viewer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer that shows the images.
    parent : QObject, optional
        Owner.
    """

    #: A project was opened or made; ``session.project`` is it.
    project_opened = Signal()
    #: The project was closed; ``session.project`` is None.
    project_closed = Signal()
    #: (image_id) Another image is shown, with its labels layer; "" when none is.
    image_changed = Signal(str)
    #: (image_id) Its block labels changed; at most every 40 ms.
    labels_changed = Signal(str)
    #: Classes were added, renamed, recolored or deleted.
    classes_changed = Signal()
    #: (block) The project has another block size.
    regridded = Signal(int)
    #: (image_id) All that was painted on this image is in its label file.
    saved = Signal(str)
    #: (image_id) What undo and redo can do changed.
    history_changed = Signal(str)
    #: (message) Something failed; the dock shows it.
    problem = Signal(str)
    #: (message) Something to know, nothing failed.
    notice = Signal(str)
    #: (what) Disk work that may be felt began; "" when it is over.
    busy = Signal(str)
    #: (path, message) Someone else holds the project; ask, then open with ``take_over=True``.
    locked = Signal(str, str)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.project: Project | None = None
        self._classes: tuple[ClassInfo, ...] = ()
        self._block = 1
        self._histories = Histories()
        self._sheet: Sheet | None = None
        self._shown: ShownImage | None = None
        self._wanted = 0
        self._converting = False
        self._prediction = PredictionView(viewer)
        self._disk = DiskThread(self.report, self)
        viewer.layers.events.removed.connect(self._on_layer_removed)

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
        work = partial(Project.open, Path(root), write=True, take_over=take_over)
        self._load(f"Opening {Path(root).name}", work, image_id, root=str(root))

    def create_project(
        self,
        root: Path | str,
        images: Sequence[Path],
        classes: Sequence[ClassInfo],
        block: int = 16,
    ) -> None:
        """Make a project in the background and open it."""
        work = partial(Project.create, Path(root), list(images), tuple(classes), block)
        self._load(f"Making {Path(root).name}", work)

    def start_on_layer(self, layer: Image) -> None:
        """Make a project in the user's data folder for an image that napari shows.

        Raises
        ------
        ImageError
            If the layer is not one 2-D plane, grey or RGB.
        """
        image = LayerImage.of(layer)
        self._load(f"Making a project for {image.name}", partial(project_for, image), layer=layer)

    def save_project_as(self, target: Path | str) -> None:
        """Move the project to another folder, where it gets a name; it stays open."""
        if self.project is None:
            return
        project, image_id = self.project, self.image_id
        self._load(
            f"Moving to {Path(target).name}",
            lambda: Project.open(move_project(project, Path(target)), write=True),
            image_id,
        )

    def close_project(self) -> None:
        """Save everything, unlock, and remove the layers that the session added."""
        if self.project is None:
            return
        project = self.project
        self._leave_image()
        self._disk.submit(project.close)
        self.project = None
        self._classes, self._block = (), 1
        self._histories.clear()
        self.image_changed.emit("")
        self.project_closed.emit()

    def close(self) -> None:
        """Close the project and end the background thread; the session is of no use afterwards."""
        self._wanted += 1
        self.viewer.layers.events.removed.disconnect(self._on_layer_removed)
        self.close_project()
        self._disk.stop()

    def flush(self, timeout: float = 30.0) -> bool:
        """Put all that was painted on disk and deliver pending results; False on timeout.

        The worker process reads labels from the project folder: call this before it is asked to
        train or to predict.
        """
        if self._sheet is not None:
            self._sheet.save()
        return self._disk.drain(timeout)

    # ---- images
    @property
    def image_id(self) -> str | None:
        """Id of the image that is shown, None without one."""
        return None if self._sheet is None else self._sheet.image_id

    def set_image(self, image_id: str) -> None:
        """Show another image of the project; ``image_changed`` follows when it is loaded."""
        if self.project is None or image_id == self.image_id:
            return
        if image_id in self.project.problems:
            self.problem.emit(str(self.project.problems[image_id]))
            return
        self._show(image_id)

    def image_layer(self) -> Image | None:
        """Return the layer of the shown image."""
        return None if self._shown is None else self._shown.layer

    def labels_layer(self, image_id: str | None = None) -> Labels | None:
        """Return the block labels layer of an image (the shown one), None if it is not open."""
        return None if self._sheet_of(image_id) is None else self._sheet.layer

    def labels(self, image_id: str | None = None) -> BlockLabels | None:
        """Return what is painted now on an open image (the shown one): a snapshot."""
        sheet = self._sheet_of(image_id)
        return None if sheet is None else sheet.labels()

    def slice_index(self) -> tuple[int, ...]:
        """Return the position in the image's leading axes; () for a 2-D image."""
        if self._sheet is None:
            return ()
        layer = self._sheet.layer
        cell = np.round(layer.world_to_data(self.viewer.dims.point)).astype(int)
        last = np.asarray(layer.data.shape) - 1
        return tuple(int(i) for i in np.clip(cell, 0, last)[:-2])

    def visible_region(self) -> tuple[int, int, int, int] | None:
        """Return the part of the shown image in view: (row0, row1, col0, col1), None if nothing.

        Pixels of the image, stops excluded; on a rotated image its bounding box.
        """
        if self._shown is None or self._sheet is None:
            return None
        (row0, col0), (row1, col1) = np.asarray(self._shown.layer.corner_pixels)[:, -2:]
        grid = self._sheet.layer.grid
        row0, row1 = max(int(row0), 0), min(int(row1) + 1, grid.pixel_rows)
        col0, col1 = max(int(col0), 0), min(int(col1) + 1, grid.pixel_cols)
        return (row0, row1, col0, col1) if row0 < row1 and col0 < col1 else None

    # ---- classes and grid
    def add_class(self, name: str, color: tuple[int, int, int] | None = None) -> int:
        """Add a class and return its value; LabelError if there is one of that name."""
        self._settle()
        self._set_classes(with_added(self._classes, name, color))
        return len(self._classes)

    def change_class(
        self, value: int, name: str | None = None, color: tuple[int, int, int] | None = None
    ) -> None:
        """Rename or recolor a class; LabelError if another one has that name."""
        self._settle()
        self._set_classes(with_changed(self._classes, value, name, color))

    def delete_class(self, value: int) -> None:
        """Delete a class; its blocks become unlabelled in one undoable, journalled step."""
        self._settle()
        if not 1 <= value <= len(self._classes) or len(self._classes) == 1:
            raise LabelError("A project keeps at least one class. Add another one first.")
        self._convert(project_steps.delete_class_step(self._classes, value, self._block))

    def regrid(self, block: int) -> None:
        """Give the project another block size, as one undoable step over all its images."""
        self._settle()
        if self.project is not None and block != self._block:
            self._convert(project_steps.regrid_step(self._classes, self._block, block))

    def can_undo(self) -> bool:
        """Whether the shown image has a step to take back."""
        return self._sheet is not None and self._sheet.history.can_undo

    def can_redo(self) -> bool:
        """Whether the shown image has a step to do again."""
        return self._sheet is not None and self._sheet.history.can_redo

    def undo(self) -> None:
        """Take back the last step on the shown image."""
        self._settle()
        if self._sheet is not None:
            self._sheet.commit()
            self._step(self._sheet.history.undo(), back=True)

    def redo(self) -> None:
        """Do the last undone step of the shown image again."""
        self._settle()
        if self._sheet is not None:
            self._sheet.commit()
            self._step(self._sheet.history.redo(), back=False)

    # ---- predictions
    def show_prediction(
        self,
        image_id: str,
        mask: np.ndarray,
        region: tuple[int, int, int, int] | None = None,
        slice_index: tuple[int, ...] = (),
    ) -> None:
        """Show a prediction over its image, in a Labels layer named "prediction".

        Parameters
        ----------
        image_id : str
            The image; nothing happens when another one is shown by now.
        mask : (rows, cols) int array
            Class values 1..K, 0 where nothing was predicted; of `region`'s size.
        region : (row0, row1, col0, col1), optional
            Where `mask` lies; the rest of the layer keeps what it showed. The whole plane if None.
        slice_index : tuple of int
            Position in the image's leading axes.
        """
        if image_id != self.image_id or self._shown is None or self._sheet is None:
            return
        shape = self._sheet.layer.grid.image_shape
        self._prediction.show(self._shown.layer, shape, self._classes, mask, region, slice_index)

    def prediction_layer(self) -> Labels | None:
        """Return the layer that :meth:`show_prediction` made, None before."""
        return self._prediction.layer

    def clear_prediction(self) -> None:
        """Remove the prediction layer."""
        self._prediction.clear()

    def report(self, error: BaseException) -> None:
        """Hand an error to whoever shows problems."""
        self.busy.emit("")
        self.problem.emit(str(error) or type(error).__name__)

    # ---- opening
    def _load(
        self,
        what: str,
        work: Callable[[], Project],
        image_id: str | None = None,
        layer: Image | None = None,
        root: str = "",
    ) -> None:
        self.busy.emit(what)
        self.close_project()
        self._wanted += 1
        self._disk.submit(
            work,
            then=partial(self._on_project, self._wanted, image_id, layer),
            failed=partial(self._on_not_opened, root),
        )

    def _on_not_opened(self, root: str, error: BaseException) -> None:
        if root and isinstance(error, ProjectLockedError):
            self.busy.emit("")
            self.locked.emit(root, str(error))
        else:
            self.report(error)

    def _on_project(
        self, wanted: int, image_id: str | None, layer: Image | None, project: Project
    ) -> None:
        if wanted != self._wanted:
            self._disk.submit(project.close)
            return
        self.project = project
        self._classes, self._block = tuple(project.classes), project.block
        self.project_opened.emit()
        for path, reason in getattr(project, "skipped", ()):
            self.notice.emit(f"{path} was left out: {reason}")
        usable = [i for i in project.image_ids if i not in project.problems]
        if not usable:
            self.busy.emit("")
            self.problem.emit(f"No image of {project.root.name} can be opened.")
            return
        self._show(image_id if image_id in usable else usable[0], layer)

    def _show(self, image_id: str, layer: Image | None = None) -> None:
        project = self.project
        self.busy.emit(f"Loading {image_id}")
        self._wanted += 1
        wanted = self._wanted

        def load() -> Any:
            return project.load_labels(image_id), (
                None if layer is not None else project.load_image(image_id)
            )

        self._disk.submit(load, then=partial(self._on_image, wanted, image_id, layer))

    def _on_image(
        self, wanted: int, image_id: str, layer: Image | None, loaded: tuple[Any, Any]
    ) -> None:
        if wanted != self._wanted or self.project is None:
            return
        labels, image = loaded
        self._leave_image()
        self._shown = show_image(self.viewer, image_id, image, layer)
        blocks = BlockLabelsLayer(labels, self._classes, self._shown.layer, f"{image_id} blocks")
        blocks.on_undo, blocks.on_redo = self.undo, self.redo
        history = self._histories.of(image_id)
        self._sheet = Sheet(image_id, blocks, history, self.project, self._disk, self)
        self._sheet.changed.connect(partial(self.labels_changed.emit, image_id))
        self._sheet.stepped.connect(partial(self.history_changed.emit, image_id))
        self._sheet.saved.connect(partial(self.saved.emit, image_id))
        self.viewer.add_layer(blocks)
        self.viewer.layers.selection = {blocks}
        self.busy.emit("")
        self.image_changed.emit(image_id)
        self.labels_changed.emit(image_id)
        self.history_changed.emit(image_id)

    def _leave_image(self) -> None:
        self._prediction.clear()
        sheet, shown = self._sheet, self._shown
        self._sheet = self._shown = None
        if sheet is not None:
            sheet.close()
            sheet.setParent(None)
            if sheet.layer in self.viewer.layers:
                self.viewer.layers.remove(sheet.layer)
        if shown is not None:
            shown.hide(self.viewer)

    def _on_layer_removed(self, event: Any) -> None:
        if self._sheet is not None and event.value in (self._sheet.layer, self.image_layer()):
            self._leave_image()
            self.image_changed.emit("")

    # ---- steps
    def _sheet_of(self, image_id: str | None) -> Sheet | None:
        return self._sheet if image_id in (None, self.image_id) else None

    def _settle(self) -> None:
        """Wait for a change of all images that is on its way: the next one builds on it."""
        if self._converting:
            self._disk.drain(60.0)

    def _step(self, step: Edit | ProjectStep | None, back: bool) -> None:
        if isinstance(step, Edit):
            self._sheet.apply(step.changes, "undo" if back else "redo", back)
            self.history_changed.emit(self._sheet.image_id)
        elif step is not None:
            self._convert(step, back, in_history=True)

    def _convert(self, step: ProjectStep, back: bool = False, in_history: bool = False) -> None:
        """Have the disk thread do a step on all images; nothing can be painted until it is done."""
        project, shown = self.project, self.image_id
        if project is None:
            return
        self._converting = True
        if self._sheet is not None:
            self._sheet.hold()
        others = [i for i in self.image_ids if not (in_history and i == shown)]
        if back:
            self._histories.forget(step, others)
        else:
            self._histories.push(step, others)
        self.busy.emit("Changing all images")

        def work() -> tuple[str, BlockLabels | None]:
            said = (project_steps.take_back if back else project_steps.carry_out)(project, step)
            return said, None if shown is None else project.load_labels(shown)

        self._disk.submit(
            work,
            then=partial(self._on_converted, step, shown),
            failed=partial(self._on_not_converted, step),
        )

    def _on_converted(
        self, step: ProjectStep, shown: str | None, done: tuple[str, BlockLabels | None]
    ) -> None:
        said, labels = done
        self._converting = False
        if self.project is None:
            return
        self._block, self._classes = self.project.block, tuple(self.project.classes)
        if self._sheet is not None and self._sheet.image_id == shown:
            self._sheet.replace(labels)
        self.busy.emit("")
        if step.deleted is not None:
            self._tell_classes()
        else:
            self.regridded.emit(self._block)
        if said:
            self.notice.emit(said)
        self.history_changed.emit(self.image_id or "")

    def _on_not_converted(self, step: ProjectStep, error: BaseException) -> None:
        self._converting = False
        self._histories.forget(step, self.image_ids)
        if self._sheet is not None:
            self._sheet.release()
        self.history_changed.emit(self.image_id or "")
        self.report(error)

    def _set_classes(self, classes: tuple[ClassInfo, ...]) -> None:
        if self.project is None:
            raise ProjectError("There is no project. Open one, or start painting on an image.")
        project, self._classes = self.project, classes
        self._disk.submit(lambda: project.set_classes(classes))
        self._tell_classes()

    def _tell_classes(self) -> None:
        if self._sheet is not None:
            self._sheet.set_classes(self._classes)
        self._prediction.set_classes(self._classes)
        self.classes_changed.emit()
