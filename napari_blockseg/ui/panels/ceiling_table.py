"""The table under the spectrum: per class what is kept below the cutoff, and ceilings per block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QFont, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHeaderView,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_blockseg.core.advice import ESTIMATE_ERROR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_blockseg.core.advice import EstimatedCeiling
    from napari_blockseg.core.classes import ClassInfo

_ROWS_SHOWN = 8


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
    """One row a class and a last one for their mean; the recommended block's column is bold."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 5, parent)
        self._n_classes = 0
        self._blocks: tuple[float, ...] = ()
        self.setObjectName("blockseg_classes")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 5)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setFixedHeight(self.verticalHeader().defaultSectionSize() + 4)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, 5):
            self.setColumnWidth(column, 46 if column > 1 else 52)
        self._set_heads()
        self._fit()

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show these classes, with no values yet."""
        self._n_classes = len(classes)
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

    def set_kept(self, energy: NDArray[np.float64], cutoff: float) -> None:
        """Show the share of energy below the cutoff (cycles per pixel), one value a class."""
        self._fill(1, energy)
        self.horizontalHeaderItem(1).setToolTip(
            f"Per cent of the class's energy below {cutoff:.3g} cycles per pixel, which blocks of "
            f"{0.5 / cutoff:.0f} pixels resolve"
        )

    def set_block(self, block: int) -> None:
        """Name the columns for half the block size, itself and its double, in pixels."""
        self._blocks = tuple(b for b in (block / 2, block, 2 * block) if b >= 1)
        self._set_heads()

    def set_ceilings(self, ceilings: Sequence[EstimatedCeiling], recommended: int | None) -> None:
        """Show the estimated ceilings of the named block sizes; the recommended one is bold."""
        known = {row.block: row for row in ceilings}
        for column, block in enumerate(self._blocks, start=2):
            row = known.get(round(block))
            iou = np.full(self._n_classes, np.nan) if row is None else row.iou
            self._fill(column, iou, bold=round(block) == recommended)

    def values(self, column: int) -> list[str]:
        """Return the texts of a column, from the first class to the mean."""
        return [self.item(row, column).text() for row in range(self.rowCount())]

    def _set_heads(self) -> None:
        blocks = [f"{block:.0f} px" for block in self._blocks]
        self.setHorizontalHeaderLabels(["class, %", "kept", *blocks, *[""] * (3 - len(blocks))])
        self.horizontalHeaderItem(0).setTextAlignment(Qt.AlignmentFlag.AlignLeft)
        for column in range(1, 5):
            self.horizontalHeaderItem(column).setTextAlignment(Qt.AlignmentFlag.AlignRight)
        for column, block in enumerate(self._blocks, start=2):
            self.horizontalHeaderItem(column).setToolTip(
                f"Estimated: the best IoU that blocks of {block:.0f} pixels can describe, in per "
                f"cent, ± {100 * ESTIMATE_ERROR:.0f}"
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
