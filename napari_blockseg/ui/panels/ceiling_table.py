"""The table under the spectrum: per class what is kept below the cutoff, and ceilings per block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFont, QKeyEvent, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_blockseg.ui.panels.spectrum_words import blocks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_blockseg.core.advice import EstimatedCeiling
    from napari_blockseg.core.classes import ClassInfo

_ROWS_SHOWN = 8
_TIP = (
    "The best overlap (IoU) with the true shapes that blocks of each size can reach, estimated, "
    "in per cent. Click a class, or press Space on it, to keep its curve in front; Esc lets go."
)


def percent(value: float) -> str:
    """Return a share as whole percent, a dash when it is not known."""
    return "-" if not math.isfinite(value) else f"{100 * value:.0f}"


def color_chip(color: tuple[int, int, int], ratio: float = 1.0) -> QPixmap:
    """Return a small square of a color, for a screen of this device pixel ratio."""
    size = QSize(12, 12)
    pixmap = QPixmap(size * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(*color))
    painter.drawRoundedRect(0, 0, 12, 12, 3, 3)
    painter.end()
    return pixmap


class CeilingTable(QTableWidget):
    """One row a class and a last one for their mean; the recommended block's column is bold.

    It is the legend of the plot, too: the row under the mouse or the keys names a curve, and a
    click (or Space) keeps it in front.
    """

    #: The class (its index, -1 for none) whose curve is meant: the mouse or the keys are on it.
    class_hovered = Signal(int)
    #: The class (its index, -1 for none) that was chosen to stay in front.
    class_pinned = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 5, parent)
        self._n_classes = 0
        self._block = 0
        self._blocks: tuple[int, ...] = ()
        self._pinned = -1
        self.setObjectName("blockseg_classes")
        self.setAccessibleName("Classes and what block sizes can describe")
        self.setToolTip(_TIP)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setTabKeyNavigation(False)
        self.setMouseTracking(True)
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._build_headers()
        self._set_heads()
        self._fit()
        self.cellEntered.connect(lambda row, _: self.class_hovered.emit(self._class_of(row)))
        self.cellClicked.connect(lambda row, _: self.pin(self._class_of(row)))
        self.currentCellChanged.connect(lambda row, *_: self._on_row(row))

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show these classes, with no values yet."""
        self._n_classes = len(classes)
        self._pinned = -1
        self.setRowCount(len(classes) + 1 if len(classes) > 0 else 0)
        for row, info in enumerate(classes):
            item = QTableWidgetItem(info.name)
            item.setData(
                Qt.ItemDataRole.DecorationRole, color_chip(info.color, self.devicePixelRatioF())
            )
            item.setToolTip(info.name)
            self.setItem(row, 0, item)
        if classes:
            self.setItem(len(classes), 0, QTableWidgetItem("mean"))
        self.clear_values()
        self._fit()

    def clear_values(self) -> None:
        """Show dashes for all values."""
        for column in range(1, 5):
            self._fill(column, np.full(self._n_classes, np.nan))

    def set_kept(self, energy: NDArray[np.float64], block: int) -> None:
        """Show what blocks of a size keep of each class's energy, one share a class."""
        self._fill(1, energy)
        self.horizontalHeaderItem(1).setToolTip(
            f"Per cent of the painted shape's energy that {blocks_of(block)} keep: the value of "
            "the curve at the line"
        )

    def set_block(self, block: int) -> None:
        """Name the columns for half the block size, itself and its double, in pixels."""
        self._block = block
        self._set_blocks((block / 2, block, 2 * block))

    def set_ceilings(self, ceilings: Sequence[EstimatedCeiling], recommended: int | None) -> None:
        """Show the estimated ceilings around the present grid; the recommended one is bold."""
        block = self._block
        if recommended is not None and recommended > 2 * block:
            self._set_blocks((block, 2 * block, recommended))
        elif recommended is not None and recommended < block / 2:
            self._set_blocks((recommended, block / 2, block))
        else:
            self.set_block(block)
        known = {row.block: row for row in ceilings}
        for column, size in enumerate(self._blocks, start=2):
            row = known.get(size)
            iou = np.full(self._n_classes, np.nan) if row is None else row.iou
            self._fill(column, iou, bold=size == recommended)
            if row is not None:
                self._set_tip(column, size, row.error)

    def values(self, column: int) -> list[str]:
        """Return the texts of a column, from the first class to the mean."""
        return [self.item(row, column).text() for row in range(self.rowCount())]

    @property
    def pinned(self) -> int:
        """Index of the class that stays in front, -1 for none."""
        return self._pinned

    def pin(self, index: int) -> None:
        """Keep a class in front; the one that is already, or -1, lets go."""
        self._pinned = -1 if index == self._pinned else index
        for row in range(self._n_classes):
            font = QFont(self.font())
            font.setBold(row == self._pinned)
            self.item(row, 0).setFont(font)
        self.class_pinned.emit(self._pinned)

    # -- the user ------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  (Qt's name)
        """Keep the current class in front, or let go."""
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.pin(self._class_of(self.currentRow()))
        elif event.key() == Qt.Key.Key_Escape and self._pinned >= 0:
            self.pin(-1)
        elif event.text().isalpha():
            event.ignore()  # not a search for a class: the panel has keys of its own
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QEvent) -> None:  # noqa: N802  (Qt's name)
        """Show which class the keys are on."""
        super().focusInEvent(event)
        if self.currentRow() < 0 and self.rowCount():
            self.setCurrentCell(0, 0)
        self._on_row(self.currentRow())

    def focusOutEvent(self, event: QEvent) -> None:  # noqa: N802  (Qt's name)
        """Name no class any more."""
        super().focusOutEvent(event)
        self.class_hovered.emit(-1)

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802  (Qt's name)
        """Name no class any more."""
        super().leaveEvent(event)
        self.class_hovered.emit(-1)

    def _on_row(self, row: int) -> None:
        if self.hasFocus():
            self.class_hovered.emit(self._class_of(row))

    def _class_of(self, row: int) -> int:
        return row if 0 <= row < self._n_classes else -1

    # -- showing -------------------------------------------------------------------------------

    def _build_headers(self) -> None:
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 5)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setHighlightSections(False)
        header.setFixedHeight(self.verticalHeader().defaultSectionSize() + 4)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, 5):
            self.setColumnWidth(column, 46 if column > 1 else 52)

    def _set_blocks(self, blocks: Sequence[float]) -> None:
        self._blocks = tuple(int(b) for b in blocks if b >= 1 and float(b).is_integer())
        self._set_heads()

    def _set_heads(self) -> None:
        blocks = [f"{block} px" for block in self._blocks]
        self.setHorizontalHeaderLabels(["class, %", "kept", *blocks, *[""] * (3 - len(blocks))])
        self.horizontalHeaderItem(0).setTextAlignment(Qt.AlignmentFlag.AlignLeft)
        for column in range(1, 5):
            self.horizontalHeaderItem(column).setTextAlignment(Qt.AlignmentFlag.AlignRight)
        for column, block in enumerate(self._blocks, start=2):
            self._set_tip(column, block, None)

    def _set_tip(self, column: int, block: int, error: float | None) -> None:
        known = "" if error is None else f", ± {100 * error:.0f}"
        self.horizontalHeaderItem(column).setToolTip(
            f"Estimated: the best IoU that {blocks_of(block)} can describe, in per cent{known}"
        )

    def _fill(self, column: int, values: NDArray[np.float64], bold: bool = False) -> None:
        if not self.rowCount():
            return
        known = np.asarray(values)[np.isfinite(values)]
        mean = float(known.mean()) if known.size else math.nan
        for row, value in enumerate([*values, mean]):
            item = self.item(row, column)
            if item is None:
                item = QTableWidgetItem()
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
            item.setText(percent(float(value)))
            font = QFont(self.font())
            font.setBold(bold)
            item.setFont(font)

    def _fit(self) -> None:
        rows = min(self.rowCount(), _ROWS_SHOWN)
        self.setFixedHeight((rows + 1) * self.verticalHeader().defaultSectionSize() + 8)
