"""The list of classes in the Paint panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QPoint, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_blockseg.ui.icons import swatch

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo

_NAME, _BLOCKS, _KEY = range(3)
_ROW = 24
_MAX_ROWS = 9
_VALUE = Qt.ItemDataRole.UserRole


class ClassList(QTreeWidget):
    """Classes with color, name, number of painted blocks and key; the selected one is painted.

    Double-click a name to change it, a color to pick another one.
    """

    #: (value) The user chose the class to paint.
    chosen = Signal(int)
    #: (value, name) The user typed another name.
    renamed = Signal(int, str)
    #: (value) The user wants another color.
    recolor_requested = Signal(int)
    #: (value) The user wants the class deleted.
    delete_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._classes: tuple[ClassInfo, ...] = ()
        self.setObjectName("blockseg_classes")
        self.setColumnCount(3)
        self.setHeaderLabels(["class", "blocks", "key"])
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setIndentation(4)
        self.setIconSize(QSize(14, 14))
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # class keys pressed after a click are for the canvas, not for a search in this list
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setToolTip(
            "Click a class, or press its key, to paint it. Double-click to rename it; right-click "
            "for its color and to delete it."
        )
        self._size_columns()
        self.currentItemChanged.connect(self._on_current_changed)
        self.itemChanged.connect(self._on_item_changed)
        self.itemDoubleClicked.connect(self._on_double_clicked)
        self.customContextMenuRequested.connect(self._on_menu)

    def value(self) -> int:
        """Return the selected class, 0 when none is."""
        item = self.currentItem()
        return 0 if item is None else int(item.data(_NAME, _VALUE))

    def set_value(self, value: int) -> None:
        """Select a class (0: none); says nothing."""
        self.blockSignals(True)
        item = self.topLevelItem(value - 1) if value else None
        if item is None:
            self.clearSelection()
            self.setCurrentItem(None)
        else:
            self.setCurrentItem(item)
        self.blockSignals(False)
        self.viewport().update()

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show other classes; says nothing."""
        selected = self.value()
        self._classes = tuple(classes)
        self.blockSignals(True)
        self.clear()
        for info in classes:
            item = QTreeWidgetItem([info.name, "0", str(info.value) if info.value <= 9 else ""])
            item.setData(_NAME, _VALUE, info.value)
            item.setIcon(_NAME, swatch(info.color))
            item.setSizeHint(_NAME, QSize(0, _ROW))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            item.setTextAlignment(_BLOCKS, right)
            item.setTextAlignment(_KEY, Qt.AlignmentFlag.AlignCenter)
            self.addTopLevelItem(item)
        self.blockSignals(False)
        self.set_value(min(selected, len(classes)))
        rows = min(max(len(classes), 2), _MAX_ROWS)
        self.setFixedHeight(rows * _ROW + self.header().sizeHint().height() + 6)

    def set_counts(self, counts: Sequence[int]) -> None:
        """Show painted blocks; `counts` has one number per value, the unlabelled first."""
        self.blockSignals(True)
        for row in range(self.topLevelItemCount()):
            count = int(counts[row + 1]) if row + 1 < len(counts) else 0
            self.topLevelItem(row).setText(_BLOCKS, f"{count:,}")
        self.blockSignals(False)
        self.viewport().update()

    def counts(self) -> list[str]:
        """Return the numbers as shown."""
        return [self.topLevelItem(row).text(_BLOCKS) for row in range(self.topLevelItemCount())]

    def rename(self, value: int) -> None:
        """Open the name of a class for editing."""
        self.editItem(self.topLevelItem(value - 1), _NAME)

    def _size_columns(self) -> None:
        header = self.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((_BLOCKS, 64), (_KEY, 40)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        self.headerItem().setTextAlignment(_BLOCKS, Qt.AlignmentFlag.AlignRight)
        self.headerItem().setTextAlignment(_KEY, Qt.AlignmentFlag.AlignCenter)

    def _on_current_changed(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(int(item.data(_NAME, _VALUE)))

    def _on_item_changed(self, item: QTreeWidgetItem, column: int) -> None:
        value = int(item.data(_NAME, _VALUE))
        if column == _NAME and item.text(_NAME) != self._classes[value - 1].name:
            self.renamed.emit(value, item.text(_NAME))

    def _on_double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column != _NAME:
            return
        value = int(item.data(_NAME, _VALUE))
        at = self.viewport().mapFromGlobal(self.cursor().pos())
        if at.x() < self.visualItemRect(item).left() + 22:
            self.recolor_requested.emit(value)
        else:
            self.rename(value)

    def _on_menu(self, position: QPoint) -> None:
        item = self.itemAt(position)
        if item is None:
            return
        value = int(item.data(_NAME, _VALUE))
        menu = QMenu(self)
        menu.addAction("Rename").triggered.connect(lambda: self.rename(value))
        menu.addAction("Color...").triggered.connect(lambda: self.recolor_requested.emit(value))
        menu.addAction("Delete").triggered.connect(lambda: self.delete_requested.emit(value))
        menu.exec(self.viewport().mapToGlobal(position))
        menu.deleteLater()
