"""The switch between the two ways to train: interactive, with previews as one paints, or full."""

from __future__ import annotations

from typing import Literal, cast

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QWidget

Mode = Literal["interactive", "full"]

_TIPS = {
    "interactive": "Previews the view seconds after the first strokes and follows them; the whole "
    "network learns behind until you stop, and previews once it is better.",
    "full": "Trains the whole network for a set length on all painted images.",
}


class ModeRow(QWidget):
    """Two buttons, one of them pressed."""

    #: The user chose the other one.
    value_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel("Mode")
        self.buttons = {mode: QPushButton(mode.capitalize()) for mode in _TIPS}
        group = QButtonGroup(self)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for mode, button in self.buttons.items():
            button.setObjectName("blockseg_mode")
            button.setCheckable(True)
            button.setToolTip(_TIPS[mode])
            button.clicked.connect(self.value_changed)
            group.addButton(button)
            layout.addWidget(button, 1)
        self.set_value("full")

    def value(self) -> Mode:
        """Return the mode."""
        return cast("Mode", next(m for m, b in self.buttons.items() if b.isChecked()))

    def set_value(self, mode: Mode) -> None:
        """Show a mode; says nothing."""
        self.buttons[mode].setChecked(True)
