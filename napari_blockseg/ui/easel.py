"""The one image that is shown: its layer, the blocks painted on it, its prediction."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_blockseg.ui.image_layer import ShownImage, show_image
from napari_blockseg.ui.layer import BlockLabelsLayer
from napari_blockseg.ui.prediction_layer import PredictionView
from napari_blockseg.ui.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image, Labels

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.project import Project
    from napari_blockseg.ui.disk import DiskThread
    from napari_blockseg.ui.history import History
    from napari_blockseg.ui.opening import LoadedImage

Region = tuple[int, int, int, int]
RETRY_MS = 5000


class Easel(QObject):
    """Put one image at a time into the viewer, ready to be painted on.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layers go.
    disk : DiskThread
        What is painted is written on it.
    undo, redo : callable
        What the keys for undo and redo do while the blocks layer is active.
    parent : QObject, optional
        Owner.

    Attributes
    ----------
    sheet : Sheet or None
        The blocks of the shown image.
    prediction : PredictionView
        The layer with its prediction.
    """

    #: (image_id) The painted blocks changed.
    changed = Signal(str)
    #: (image_id) An undo step was added.
    stepped = Signal(str)
    #: (image_id) All that was painted is in the label file.
    saved = Signal(str)
    #: The user removed a layer, so that no image is shown any more.
    emptied = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        disk: DiskThread,
        undo: Callable[[], None],
        redo: Callable[[], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._disk = disk
        self._undo, self._redo = undo, redo
        self._shown: ShownImage | None = None
        self._project: Project | None = None
        self._retry = QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.setInterval(RETRY_MS)
        self._retry.timeout.connect(self.save)
        self._leaving = QTimer(self)
        self._leaving.setSingleShot(True)
        self._leaving.timeout.connect(self._on_left)
        self._left: ShownImage | None = None
        self._layers: list[Labels | None] = []
        self.sheet: Sheet | None = None
        self.prediction = PredictionView(viewer)
        viewer.layers.events.removed.connect(self._on_layer_removed)

    @property
    def image_id(self) -> str | None:
        """Id of the shown image."""
        return None if self.sheet is None else self.sheet.image_id

    @property
    def image_layer(self) -> Image | None:
        """Layer of the shown image."""
        return None if self._shown is None else self._shown.layer

    @property
    def unsaved(self) -> bool:
        """Whether something that was painted, on whichever image, did not get onto the disk."""
        shown = self.sheet is not None and self.sheet.unsaved
        return shown or (self._project is not None and not self._project.all_saved)

    def save(self) -> None:
        """Put what is painted on its way to the disk, also what the disk did not take before."""
        if self.sheet is not None:
            self.sheet.save()
        if self._project is not None and not self._project.all_saved:
            self._disk.submit(self._project.save_again, failed=lambda _: self.save_later())

    def save_later(self) -> None:
        """Try again in a while: the disk did not take something."""
        self._retry.start()

    def put(self, loaded: LoadedImage, classes: Sequence[ClassInfo], history: History) -> None:
        """Show an image instead of the one before.

        Parameters
        ----------
        loaded : LoadedImage
            The image with what is painted on it; strokes are recorded in its project.
        classes : sequence of ClassInfo
            Classes 1..K.
        history : History
            Its undo steps so far.
        """
        self.clear()
        image_id = loaded.image_id
        self._project = loaded.project
        self._shown = show_image(self._viewer, image_id, loaded.pixels, loaded.layer)
        blocks = BlockLabelsLayer(loaded.labels, classes, self._shown.layer, f"{image_id} blocks")
        blocks.on_undo, blocks.on_redo = self._undo, self._redo
        self.sheet = Sheet(image_id, blocks, history, loaded.project, self._disk, self)
        self.sheet.changed.connect(partial(self.changed.emit, image_id))
        self.sheet.stepped.connect(partial(self.stepped.emit, image_id))
        self.sheet.saved.connect(partial(self.saved.emit, image_id))
        self.sheet.not_saved.connect(self.save_later)
        self._viewer.add_layer(blocks)
        self._viewer.layers.selection = {blocks}

    def clear(self) -> None:
        """Save what is painted and take the image out of view."""
        if self._leaving.isActive():
            self._on_left()
        self._let_go()
        self._take_out()

    def close(self) -> None:
        """Clear, and let go of the viewer."""
        self.clear()
        self._retry.stop()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show other classes."""
        if self.sheet is not None:
            self.sheet.set_classes(classes)
        self.prediction.set_classes(classes)

    def show_prediction(
        self,
        classes: Sequence[ClassInfo],
        mask: np.ndarray,
        region: Region | None,
        slice_index: tuple[int, ...],
    ) -> None:
        """Show a prediction of the shown image; see `Session.show_prediction`."""
        if self._shown is None or self.sheet is None:
            return
        shape = self.sheet.layer.grid.image_shape
        self.prediction.show(self._shown.layer, shape, classes, mask, region, slice_index)

    def slice_index(self) -> tuple[int, ...]:
        """Return the position in the image's leading axes; () for a 2-D image."""
        if self.sheet is None:
            return ()
        layer = self.sheet.layer
        cell = np.round(layer.world_to_data(self._viewer.dims.point)).astype(int)
        last = np.asarray(layer.data.shape) - 1
        return tuple(int(i) for i in np.clip(cell, 0, last)[:-2])

    def visible_region(self) -> Region | None:
        """Return the part of the image in view, pixels (row0, row1, col0, col1), stops excluded."""
        if self._shown is None or self.sheet is None:
            return None
        layer, grid, unit = self._shown.layer, self.sheet.layer.grid, 1
        if layer.multiscale:
            # Its corners are those of the tile that napari loaded last, in pixels of its level.
            layer, unit = self.sheet.layer, grid.block
        (row0, col0), (row1, col1) = np.asarray(layer.corner_pixels)[:, -2:] * unit
        row0, row1 = max(int(row0), 0), min(int(row1) + unit, grid.pixel_rows)
        col0, col1 = max(int(col0), 0), min(int(col1) + unit, grid.pixel_cols)
        return (row0, row1, col0, col1) if row0 < row1 and col0 < col1 else None

    def _let_go(self) -> None:
        """Save what is painted; the layers are still to be taken out."""
        sheet, self._left = self.sheet, self._shown
        self.sheet = self._shown = None
        self._layers = [self.prediction.let_go()]
        if sheet is not None:
            sheet.close()
            sheet.setParent(None)
            self._layers.append(sheet.layer)

    def _take_out(self) -> None:
        for layer in self._layers:
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        if self._left is not None:
            self._left.hide(self._viewer)
        self._layers, self._left = [], None

    def _on_layer_removed(self, event: Any) -> None:
        if self.sheet is not None and event.value in (self.sheet.layer, self.image_layer):
            self._let_go()
            # napari may be on its way through all selected layers: none may vanish meanwhile
            self._leaving.start()

    def _on_left(self) -> None:
        self._leaving.stop()
        self._take_out()
        self.emptied.emit()
