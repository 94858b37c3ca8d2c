"""The "Next blocks" part of the Predict panel: find blocks to label, list them, go to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_blockseg.ui.job_bar import JobBar, MessageLine

if TYPE_CHECKING:
    from napari_blockseg.core.reports import Suggestion

#: The key that goes to the next block.
KEY = "N"
_MAX_ROWS = 7
_HINT = "Blocks of all images that would teach the model most, outlined on the image."


class SuggestionBox(QWidget):
    """Ask for blocks to label, list them, choose one. Knows no worker and no viewer."""

    #: (count) The user wants so many blocks.
    requested = Signal(int)
    stop_requested = Signal()
    #: (place in the list) The user wants to see a block.
    chosen = Signal(int)
    #: The user wants to see the next block.
    next_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ready = self._busy = False
        self._build()
        self.set_blocks([])

    def set_ready(self, ready: bool) -> None:
        """Say whether there is a model to ask."""
        self._ready = ready
        self._enable()

    def set_blocks(self, blocks: Sequence[Suggestion], current: int | None = None) -> None:
        """List blocks, the most promising first; `current` is the one that is looked at."""
        self.list.clear()
        for one in blocks:
            plane = f"[{','.join(map(str, one.index))}]" if one.index else ""
            item = QListWidgetItem(f"{one.image_id}{plane}   {one.row}, {one.col}   {one.reason}")
            item.setToolTip(f"{item.text()}\nscore {one.score:.3f}")
            self.list.addItem(item)
        if current is not None:
            self.list.setCurrentRow(current)
        rows = min(len(blocks), _MAX_ROWS)
        if rows:
            self.list.setFixedHeight(rows * self.list.sizeHintForRow(0) + 8)
        self.list.setVisible(bool(blocks))
        self._enable()

    def show_busy(self, share: float | None, text: str) -> None:
        """Show how far the search is, 0 to 1, None when nobody can tell."""
        self._busy = True
        self.bar.show_progress(share, text)
        self._enable()

    def show_idle(self) -> None:
        """Nothing is searched."""
        self._busy = False
        self.bar.hide()
        self._enable()

    def show_message(self, level: str, text: str) -> None:
        """Tell something; level is "info", "warning" or "error", an empty text clears."""
        self.message.show_message(level, text)

    def _build(self) -> None:
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        self.find = QPushButton("Next blocks to label")
        self.find.setToolTip(_HINT)
        self.find.clicked.connect(lambda: self.requested.emit(self.count.value()))
        self.count = QSpinBox()
        self.count.setRange(1, 500)
        self.count.setValue(20)
        self.count.setAccessibleName("How many blocks")
        self.count.setToolTip("How many blocks to look for, over all images")
        self.next = QPushButton(f"Go to next ({KEY})")
        self.next.setToolTip(f"Open the image of the next block and center it (key {KEY})")
        self.next.clicked.connect(self.next_requested)
        row = QHBoxLayout()
        row.addWidget(self.find, 1)
        row.addWidget(self.count)
        self.bar = JobBar()
        self.bar.stop.setAccessibleName("Stop looking for blocks")
        self.bar.stop_requested.connect(self.stop_requested)
        self.list = QListWidget()
        self.list.setAccessibleName("Next blocks to label")
        # keys pressed after a click are for the canvas, not for a search in this list
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.itemClicked.connect(lambda item: self.chosen.emit(self.list.row(item)))
        self.message = MessageLine()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(line)
        layout.addLayout(row)
        for widget in (self.bar, self.list, self.next, self.message):
            layout.addWidget(widget)

    def _enable(self) -> None:
        self.find.setEnabled(self._ready and not self._busy)
        self.next.setEnabled(self.list.count() > 0)
