"""One image open for painting: its layer, its journal, its undo history."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.labels import BlockLabels, Changes, diff
from napari_blockseg.ui.disk import DiskThread, not_on_disk
from napari_blockseg.ui.history import Edit, History

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.project import Project
    from napari_blockseg.ui.layer import BlockLabelsLayer

LIVE_MS = 40
JOURNAL_SECONDS = 0.2
AUTOSAVE_MS = 2000
_OPS = {"erase": "erase", "fill": "fill"}


class Sheet(QObject):
    """Follow what is painted on one layer and put it on disk.

    napari says only that something changed, so every step is found by comparing the grid with the
    last known one: within 40 ms for whoever listens, within 0.2 s for the journal (also in the
    middle of a drag), after 2 s for the label file.

    Parameters
    ----------
    image_id : str
        The image in `project`.
    layer : BlockLabelsLayer
        The layer that is painted on.
    history : History
        Undo steps of this image, kept while another image is shown.
    project, disk : Project, DiskThread
        Where and on which thread the journal is written.
    parent : QObject, optional
        Owner.
    """

    #: The painted blocks changed.
    changed = Signal()
    #: A step was added to the history.
    stepped = Signal()
    #: All of it is in the label file.
    saved = Signal()
    #: The disk did not take it; it may do so later.
    not_saved = Signal()

    def __init__(
        self,
        image_id: str,
        layer: BlockLabelsLayer,
        history: History,
        project: Project,
        disk: DiskThread,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.image_id = image_id
        self.layer = layer
        self.history = history
        self._project = project
        self._disk = disk
        self._forget_changes()
        self._dirty = False
        self._told = False
        self._mode = "pan_zoom"
        self._in_stroke = False
        self._journaled_at = 0.0
        self._live = _single_shot(self, LIVE_MS, self._on_live)
        self._autosave = _single_shot(self, AUTOSAVE_MS, self.save)
        for event in (layer.events.set_data, layer.events.labels_update, layer.events.paint):
            event.connect(self._on_layer_event)
        layer.events.paint.connect(self._on_stroke_end)

    # ---- state
    def labels(self) -> BlockLabels:
        """Return a snapshot of what is painted now."""
        return BlockLabels(self.layer.grid, self.layer.data)

    def counts(self, n_classes: int) -> np.ndarray:
        """Return blocks per class value, (K + 1,)."""
        return np.bincount(np.asarray(self.layer.data).ravel(), minlength=n_classes + 1)

    @property
    def unsaved(self) -> bool:
        """Whether something was painted that was not given to the disk, or that it did not take."""
        return self._dirty

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show other classes; the grid gets a wider dtype where their number asks for it."""
        if len(classes) > 255 and self.layer.data.dtype == np.uint8:
            self.layer.set_labels(BlockLabels(self.layer.grid, self.layer.data.astype(np.uint16)))
            self._forget_changes()
        self.layer.set_classes(classes)

    # ---- steps
    def commit(self, op: str | None = None) -> None:
        """Make one undo step of what changed since the last one, and journal it."""
        changes = diff(self._committed, self.layer.data)
        self._journal(op)
        self._in_stroke = False
        if len(changes):
            self.history.push(Edit(changes, op or self._op()))
            self._committed = np.array(self.layer.data)
            self.stepped.emit()

    def apply(self, changes: Changes, op: str, back: bool) -> None:
        """Do an edit again, or take it back, and journal that."""
        values = changes.old if back else changes.new
        self.layer.data[tuple(changes.index.T)] = values
        self.layer.refresh()
        self._journal(op)
        self._in_stroke = False
        self._committed = np.array(self.layer.data)
        self.changed.emit()

    def replace(self, labels: BlockLabels) -> None:
        """Show labels of another grid or class list, which are on disk already."""
        self.layer.set_labels(labels)
        self._live.stop()
        self._forget_changes()
        self.release()
        self.changed.emit()

    def hold(self) -> None:
        """Put everything on its way to the disk, and let nothing be painted for a moment."""
        self.commit()
        self.save()
        self._mode = str(self.layer.mode)
        self.layer.editable = False

    def release(self) -> None:
        """Let it be painted again, with the tool from before."""
        self.layer.editable = True
        self.layer.mode = self._mode

    # ---- disk
    def save(self) -> None:
        """Journal what is new and write the label file, in the background."""
        self._autosave.stop()
        self._journal()
        if not self._dirty:
            return
        self._dirty = False
        labels = self.labels()
        self._disk.submit(
            lambda: self._project.save_labels(self.image_id, labels),
            then=self._on_saved,
            failed=self._on_not_saved,
        )

    def close(self) -> None:
        """Put everything on its way to the disk and let go of the layer."""
        self.commit()
        self.save()
        for event in (
            self.layer.events.set_data,
            self.layer.events.labels_update,
            self.layer.events.paint,
        ):
            event.disconnect(self._on_layer_event)
        self.layer.events.paint.disconnect(self._on_stroke_end)
        self.layer.detach()
        self._live.stop()
        self._autosave.stop()

    def _on_saved(self, _: object) -> None:
        self._told = False
        if not self._dirty:
            self.saved.emit()

    def _on_not_saved(self, error: BaseException) -> None:
        self._dirty = True
        if isinstance(error, OSError):
            self.not_saved.emit()
        self._tell(error)

    def _tell(self, error: BaseException) -> None:
        # Once until it works again: it is tried every few seconds.
        if self._told:
            return
        self._told = True
        if isinstance(error, BlockSegError):
            raise error
        raise not_on_disk(f'What was painted on "{self.image_id}"', error) from error

    # ---- following the layer
    def _on_layer_event(self, _event: object = None) -> None:
        if not self._live.isActive():
            self._live.start()

    def _on_stroke_end(self, _event: object = None) -> None:
        self.commit()

    def _on_live(self) -> None:
        if self.layer.data.shape != self._seen.shape:
            return
        if not np.array_equal(self._seen, self.layer.data):
            self._seen = np.array(self.layer.data)
            self.changed.emit()
        if np.array_equal(self._journaled, self.layer.data):
            return
        if time.monotonic() - self._journaled_at >= JOURNAL_SECONDS:
            self._journal()
        else:
            self._live.start()

    def _journal(self, op: str | None = None) -> None:
        changes = diff(self._journaled, self.layer.data)
        if not len(changes):
            return
        self._journaled = np.array(self.layer.data)
        self._journaled_at = time.monotonic()
        self._dirty = True
        if not self._autosave.isActive():
            self._autosave.start()
        op = op or self._op()
        for leading, part in _by_plane(changes):
            # A record that fails needs no second try: the label file is written with all of it.
            self._disk.submit(
                partial(self._project.record, self.image_id, part, op, leading, self._in_stroke),
                failed=self._tell,
            )
            self._in_stroke = True

    def _op(self) -> str:
        if self.layer.selected_label == 0:
            return "erase"
        return _OPS.get(str(self.layer.mode), "paint")

    def _forget_changes(self) -> None:
        self._committed = np.array(self.layer.data)
        self._journaled = self._committed
        self._seen = self._committed


def _by_plane(changes: Changes) -> list[tuple[tuple[int, ...], Changes]]:
    if changes.index.shape[1] == 2:
        return [((), changes)]
    planes = np.unique(changes.index[:, :-2], axis=0)
    parts = []
    for plane in planes:
        here = (changes.index[:, :-2] == plane).all(axis=1)
        part = Changes(changes.index[here][:, -2:], changes.old[here], changes.new[here])
        parts.append((tuple(int(i) for i in plane), part))
    return parts


def _single_shot(parent: QObject, interval: int, slot: object) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(interval)
    timer.timeout.connect(slot)
    return timer
