"""The Paint panel: image, tools, brush, block size, classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QButtonGroup,
    QColorDialog,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.ui.class_bar import ClassBar
from napari_blockseg.ui.dialogs import ask
from napari_blockseg.ui.icons import icon
from napari_blockseg.ui.layer import MAX_BRUSH
from napari_blockseg.ui.panels.class_list import ClassList
from napari_blockseg.ui.panels.start_page import StartPage

if TYPE_CHECKING:
    from napari_blockseg.ui.session import Session

Tool = Literal["brush", "eraser", "fill", "polygon", "pick", "pan"]
_BLOCKS = (2, 4, 8, 16, 32, 64, 128)
_TOOLS: tuple[tuple[Tool, str], ...] = (
    ("brush", "Brush: paint square blocks (P). Alt and drag sideways changes its size."),
    ("eraser", "Eraser: make blocks unlabelled (E)"),
    ("fill", "Fill: give the blocks that hang together another class (F)"),
    ("polygon", "Polygon: click corners, double-click to close"),
    ("pick", "Pick: take the class under the mouse (L)"),
    ("pan", "Move the view (Z, or hold Space)"),
)


class PaintSettings(BaseModel):
    """What the Paint panel is about."""

    model_config = ConfigDict(frozen=True)

    tool: Tool = "pan"
    brush_size: int = Field(1, ge=1, le=MAX_BRUSH, description="side of the brush, in blocks")
    class_value: int = Field(1, ge=0, description="class that is painted; 0 erases")
    grid_lines: bool = False


class PaintPanel(QWidget):
    """Choose image, tool, brush, block size and class; see how much is painted.

    Parameters
    ----------
    session : Session
        The open project. The panel follows its images, classes and labels by itself.
    """

    #: (PaintSettings) The user changed a setting.
    value_changed = Signal(object)
    #: (layer name) The user wants to paint on an image of the viewer.
    start_requested = Signal(str)
    open_requested = Signal()
    new_requested = Signal()
    save_as_requested = Signal()
    #: (path) The user wants to open this project.
    project_chosen = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._color = QColor("white")
        self._buttons: dict[str, QPushButton] = {}
        self._build()
        self._listen()
        self._show_project()

    # ---- value
    def value(self) -> PaintSettings:
        """Return the settings."""
        tool = next((t for t, _ in _TOOLS if self._buttons[t].isChecked()), "pan")
        return PaintSettings(
            tool=tool,
            brush_size=self.brush.value(),
            class_value=self.classes.value(),
            grid_lines=self._buttons["grid"].isChecked(),
        )

    def set_value(self, settings: PaintSettings) -> None:
        """Show settings; says nothing."""
        blocked = self.blockSignals(True)
        self._buttons[settings.tool].setChecked(True)
        self.brush.setValue(min(settings.brush_size, MAX_BRUSH))
        self.classes.set_value(settings.class_value)
        self._buttons["grid"].setChecked(settings.grid_lines)
        self.blockSignals(blocked)
        self._show_brush()

    def set_icon_color(self, color: str) -> None:
        """Draw the icons in a color that fits the theme."""
        self._color = QColor(color)
        for name, button in self._buttons.items():
            button.setIcon(icon(name, self._color))

    # ---- building
    def _build(self) -> None:
        self.start_page = StartPage()
        self.start_page.start_requested.connect(self.start_requested)
        self.start_page.open_requested.connect(self.open_requested)
        self.start_page.new_requested.connect(self.new_requested)
        self.start_page.project_chosen.connect(self.project_chosen)
        self._work = QWidget()
        work = QVBoxLayout(self._work)
        work.setContentsMargins(4, 4, 4, 8)
        work.setSpacing(8)
        for row in (
            self._image_row(),
            self._tool_row(),
            self._size_grid(),
            self._class_box(),
        ):
            work.addLayout(row)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.start_page)
        layout.addWidget(self._work)

    def _button(
        self,
        name: str,
        tip: str,
        clicked: Callable[[], None] | None = None,
        checkable: bool = False,
    ) -> QPushButton:
        button = QPushButton()
        button.setIcon(icon(name, self._color))
        button.setToolTip(tip)
        button.setAccessibleName(tip.split(":")[0])
        button.setCheckable(checkable)
        button.setFixedSize(32, 30)
        if clicked is not None:
            button.clicked.connect(lambda _=False: clicked())
        self._buttons[name] = button
        return button

    def _image_row(self) -> QHBoxLayout:
        self.images = QComboBox()
        self.images.setToolTip("Images of the project; a dot marks those with painted blocks")
        self.images.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.images.activated.connect(self._on_image_chosen)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.images, 1)
        row.addWidget(self._button("previous", "Previous image", lambda: self._go(-1)))
        row.addWidget(self._button("next", "Next image", lambda: self._go(1)))
        row.addWidget(self._button("more", "Project: open, new, save as, close", self._on_menu))
        return row

    def _tool_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        group = QButtonGroup(self)
        for name, tip in _TOOLS:
            button = self._button(name, tip, self._on_changed, checkable=True)
            group.addButton(button)
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self._button("undo", "Undo (Ctrl+Z)", self._session.undo))
        row.addWidget(self._button("redo", "Redo (Ctrl+Shift+Z)", self._session.redo))
        return row

    def _size_grid(self) -> QGridLayout:
        self.brush = QSlider(Qt.Orientation.Horizontal)
        self.brush.setRange(1, MAX_BRUSH)
        self.brush.setPageStep(2)
        self.brush.setToolTip("Side of the square brush, in blocks ([ and ])")
        self.brush.valueChanged.connect(self._on_changed)
        self.brush_words = QLabel()
        self.block = QComboBox()
        self.block.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.block.setToolTip(
            "Side of a block, in pixels. Changing it moves what is painted to the new grid, in one "
            "step that can be undone."
        )
        self.block.activated.connect(self._on_block_chosen)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.addWidget(QLabel("Brush"), 0, 0)
        grid.addWidget(self.brush, 0, 1)
        grid.addWidget(self.brush_words, 0, 2)
        grid.addWidget(QLabel("Block"), 1, 0)
        grid.addWidget(self.block, 1, 1)
        show = self._button("grid", "Show the lines between blocks", self._on_changed, True)
        grid.addWidget(show, 1, 2, Qt.AlignmentFlag.AlignRight)
        grid.setColumnStretch(1, 1)
        self.brush_words.setMinimumWidth(92)
        self.brush_words.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return grid

    def _class_box(self) -> QVBoxLayout:
        self.classes = ClassList()
        self.classes.chosen.connect(self._on_class_chosen)
        self.classes.renamed.connect(self._on_renamed)
        self.classes.recolor_requested.connect(self._on_recolor)
        self.classes.delete_requested.connect(self._on_delete)
        self.balance = ClassBar()
        self.balance.setToolTip("Painted blocks by class")
        self.words = QLabel()
        self.words.setWordWrap(True)
        below = QHBoxLayout()
        below.setSpacing(4)
        below.addWidget(self.words, 1)
        for name, tip, clicked in (
            ("add", "Add a class", self._on_add),
            ("color", "Color of the selected class", lambda: self._on_recolor(None)),
            ("remove", "Delete the selected class", lambda: self._on_delete(None)),
        ):
            below.addWidget(self._button(name, tip, clicked))
        box = QVBoxLayout()
        box.setSpacing(6)
        box.addWidget(self.classes)
        box.addWidget(self.balance)
        box.addLayout(below)
        return box

    def _listen(self) -> None:
        session = self._session
        session.project_opened.connect(self._show_project)
        session.project_closed.connect(self._show_project)
        session.classes_changed.connect(self._show_classes)
        session.image_changed.connect(self._show_image)
        session.labels_changed.connect(self._show_counts)
        session.regridded.connect(self._show_block)
        session.history_changed.connect(self._show_history)
        session.saved.connect(self._show_counts)
        session.problem.connect(self._show_choices)

    # ---- showing the session
    def _show_project(self) -> None:
        is_open = self._session.project is not None
        self.start_page.setVisible(not is_open)
        self._work.setVisible(is_open)
        self.images.clear()
        for image_id in self._session.image_ids:
            self.images.addItem(image_id, image_id)
        for name in ("previous", "next"):
            self._buttons[name].setVisible(self.images.count() > 1)
        self._show_classes()
        self._show_block()

    def _show_classes(self) -> None:
        self.classes.set_classes(self._session.classes)
        if self._session.classes and not self.classes.value():
            self.classes.set_value(1)
        self._buttons["remove"].setEnabled(len(self._session.classes) > 1)
        self._show_counts()

    def _show_image(self) -> None:
        index = self.images.findData(self._session.image_id)
        self.images.setCurrentIndex(index)
        self._buttons["previous"].setEnabled(index > 0)
        self._buttons["next"].setEnabled(index < self.images.count() - 1)
        for name in [tool for tool, _ in _TOOLS]:
            self._buttons[name].setEnabled(index >= 0)
        self._show_counts()
        self._show_history()

    def _show_counts(self) -> None:
        labels, classes = self._session.labels(), self._session.classes
        if labels is None:
            self.words.setText("No image is shown." if classes else "")
            self.balance.set_shares([])
            return
        counts = labels.counts(len(classes))
        self.classes.set_counts(counts)
        painted = int(counts[1:].sum())
        self.balance.set_shares(
            [(c.color, counts[c.value] / painted) for c in classes] if painted else []
        )
        share = painted / labels.values.size
        percent = f"{share:.0%}" if share >= 0.1 or not painted else f"{share:.1%}"
        self.words.setText(f"{painted:,} of {labels.values.size:,} painted ({percent})")

    def _show_block(self) -> None:
        block = self._session.block
        self.block.clear()
        for size in sorted({*_BLOCKS, block}):
            self.block.addItem(f"{size} x {size} pixels", size)
        self.block.setCurrentIndex(self.block.findData(block))
        self._show_brush()

    def _show_choices(self) -> None:
        # What was chosen may be what just failed.
        self.images.setCurrentIndex(self.images.findData(self._session.asked_image_id))
        self.block.setCurrentIndex(self.block.findData(self._session.block))

    def _show_brush(self) -> None:
        size = self.brush.value()
        self.brush_words.setText(f"{size} x {size} = {size * self._session.block} px")

    def _show_history(self) -> None:
        self._buttons["undo"].setEnabled(self._session.can_undo())
        self._buttons["redo"].setEnabled(self._session.can_redo())

    # ---- the user
    def _on_changed(self) -> None:
        self._show_brush()
        self.value_changed.emit(self.value())

    def _on_class_chosen(self, _value: int) -> None:
        if not self._buttons["fill"].isChecked() and not self._buttons["polygon"].isChecked():
            self._buttons["brush"].setChecked(True)
        self._on_changed()

    def _on_image_chosen(self, index: int) -> None:
        self._session.set_image(self.images.itemData(index))

    def _go(self, by: int) -> None:
        index = self.images.findData(self._session.asked_image_id) + by
        if 0 <= index < self.images.count():
            self.images.setCurrentIndex(index)
            self._session.set_image(self.images.itemData(index))

    def _on_block_chosen(self, index: int) -> None:
        self._session.regrid(int(self.block.itemData(index)))

    def _on_add(self) -> None:
        names = {c.name for c in self._session.classes}
        number = next(n for n in range(1, 10_000) if f"class {n}" not in names)
        if self._try(lambda: self._session.add_class(f"class {number}")):
            self.classes.set_value(len(self._session.classes))
            self._on_class_chosen(self.classes.value())
            self.classes.rename(len(self._session.classes))

    def _on_renamed(self, value: int, name: str) -> None:
        if not self._try(lambda: self._session.change_class(value, name=name)):
            self._show_classes()

    def _on_recolor(self, value: int | None) -> None:
        value = value or self.classes.value()
        if not value:
            return
        now = self._session.classes[value - 1].color
        color = QColorDialog.getColor(QColor(*now), self, "Color of the class")
        if color.isValid():
            chosen = (color.red(), color.green(), color.blue())
            self._try(lambda: self._session.change_class(value, color=chosen))

    def _on_delete(self, value: int | None) -> None:
        value = value or self.classes.value()
        if value and self._may_delete(value):
            self._try(lambda: self._session.delete_class(value))

    def _may_delete(self, value: int) -> bool:
        name = self._session.classes[value - 1].name
        return ask(
            self,
            f'Delete the class "{name}"?',
            "Its blocks become unlabelled in all images of the project. Undo brings it back.",
            "Delete",
        )

    def _try(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except BlockSegError as error:
            self._session.report(error)
            return False
        return True

    def _on_menu(self) -> None:
        menu = QMenu(self)
        menu.addAction("Open a project...").triggered.connect(self.open_requested)
        menu.addAction("New project from image files...").triggered.connect(self.new_requested)
        menu.addAction("Save project as...").triggered.connect(self.save_as_requested)
        menu.addSeparator()
        menu.addAction("Close project").triggered.connect(self._session.close_project)
        below = self._buttons["more"]
        menu.popup(below.mapToGlobal(below.rect().bottomLeft()))
