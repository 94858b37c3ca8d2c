"""One open project in one viewer: what the panels share.

How panels use it
-----------------
Every panel is built as ``Panel(session, parent=None)``, keeps ``value()``, ``set_value()`` and
``value_changed``, and never calls another panel; what one wants from another goes out as a
``..._requested`` signal that :mod:`napari_blockseg.ui.dock` joins, or through the session:

>>> session.labels_changed.connect(recount)      # (image_id) a stroke, an undo, a fill
>>> labels = session.labels()                    # BlockLabels of the shown image, at once
>>> session.regrid(8)                            # one undoable step
>>> session.flush()                              # everything painted so far is on disk
>>> session.show_prediction(image_id, mask)      # a Labels layer aligned with the image

All signals arrive on the GUI thread. Disk work runs on one background thread in the order in
which it was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    import napari
    import numpy as np
    from napari.layers import Image, Labels

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project


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

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.project: Project | None = None

    # ---- project
    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes of the project, values 1..K; empty without a project."""
        raise NotImplementedError

    @property
    def block(self) -> int:
        """Block size of the project, in pixels."""
        raise NotImplementedError

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Ids of the project's images; empty without a project."""
        raise NotImplementedError

    def open_project(self, root: Path | str, image_id: str | None = None) -> None:
        """Open a project in the background and show one of its images (the first)."""
        raise NotImplementedError

    def create_project(
        self, root: Path | str, images: Sequence[Path], classes: Sequence[str], block: int = 16
    ) -> None:
        """Make a project in the background and open it."""
        raise NotImplementedError

    def start_on_layer(self, layer: Image) -> None:
        """Make a project for an image that napari shows, in the user's data folder."""
        raise NotImplementedError

    def close_project(self) -> None:
        """Save everything, unlock, and remove the layers that the session added."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the project and end the background thread; the session is of no use afterwards."""
        raise NotImplementedError

    def flush(self, timeout: float = 30.0) -> bool:
        """Put all that was painted on disk and deliver pending results; False on timeout.

        The worker process reads labels from the project folder: call this before it is asked to
        train or to predict.
        """
        raise NotImplementedError

    # ---- images
    @property
    def image_id(self) -> str | None:
        """Id of the image that is shown, None without one."""
        raise NotImplementedError

    def set_image(self, image_id: str) -> None:
        """Show another image of the project; ``image_changed`` follows when it is loaded."""
        raise NotImplementedError

    def image_layer(self) -> Image | None:
        """Return the layer of the shown image."""
        raise NotImplementedError

    def labels_layer(self, image_id: str | None = None) -> Labels | None:
        """Return the block labels layer of an image (the shown one), None if it is not open."""
        raise NotImplementedError

    def labels(self, image_id: str | None = None) -> BlockLabels | None:
        """Return what is painted now on an open image (the shown one): a snapshot."""
        raise NotImplementedError

    def slice_index(self) -> tuple[int, ...]:
        """Return the position in the image's leading axes; () for a 2-D image."""
        raise NotImplementedError

    def visible_region(self) -> tuple[int, int, int, int] | None:
        """Return the part of the shown image in view: (row0, row1, col0, col1), None if nothing.

        Pixels of the image, stops excluded; on a rotated image its bounding box.
        """
        raise NotImplementedError

    # ---- classes and grid
    def add_class(self, name: str, color: tuple[int, int, int] | None = None) -> int:
        """Add a class and return its value."""
        raise NotImplementedError

    def change_class(
        self, value: int, name: str | None = None, color: tuple[int, int, int] | None = None
    ) -> None:
        """Rename or recolor a class."""
        raise NotImplementedError

    def delete_class(self, value: int) -> None:
        """Delete a class; its blocks become unlabelled in one undoable, journalled step."""
        raise NotImplementedError

    def regrid(self, block: int) -> None:
        """Give the project another block size, as one undoable step over all its images."""
        raise NotImplementedError

    def undo(self) -> None:
        """Take back the last step on the shown image."""
        raise NotImplementedError

    def redo(self) -> None:
        """Do the last undone step of the shown image again."""
        raise NotImplementedError

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
        raise NotImplementedError

    def prediction_layer(self) -> Labels | None:
        """Return the layer that :meth:`show_prediction` made, None before."""
        raise NotImplementedError

    def clear_prediction(self) -> None:
        """Remove the prediction layer."""
        raise NotImplementedError

    def report(self, error: BaseException | Any) -> None:
        """Hand an error to whoever shows problems."""
        self.problem.emit(str(error))
