"""The switch between the two ways to train: interactive, with previews as one paints, or full."""

from __future__ import annotations

from typing import Literal, cast

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

Mode = Literal["interactive", "full"]

_TIPS = {
    "interactive": "Previews the view seconds after the first strokes and follows them; the whole "
    "network learns behind until you stop, and previews once it is better.",
    "full": "Trains the whole network for a set length on all painted images.",
}
_HINTS = {
    "interactive": "Previews while you paint, learns until you stop",
    "full": "Learns for a set length from all painted images",
}
_LOCKED = "Stop the training to change the mode or the settings."


class ModeRow(QWidget):
    """Two buttons, one of them pressed, and a line about it."""

    #: The user chose the other one.
    value_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {mode: QPushButton(mode.capitalize()) for mode in _TIPS}
        self.hint = QLabel()
        self.hint.setObjectName("blockseg_hint")
        self.hint.setWordWrap(True)
        group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(2)
        for button in self.buttons.values():
            button.setObjectName("blockseg_mode")
            button.setCheckable(True)
            button.clicked.connect(lambda: self.show_state(""))
            button.clicked.connect(self.value_changed)
            group.addButton(button)
            row.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.hint)
        self.set_value("full")

    def value(self) -> Mode:
        """Return the mode."""
        return cast("Mode", next(m for m, b in self.buttons.items() if b.isChecked()))

    def set_value(self, mode: Mode) -> None:
        """Show a mode; says nothing."""
        self.buttons[mode].setChecked(True)
        self.show_state("")

    def show_state(self, running: str) -> None:
        """Say what the mode does, or what runs and why the switch is off.

        Parameters
        ----------
        running : str
            What is being trained; "" while nothing is.
        """
        for mode, button in self.buttons.items():
            button.setEnabled(not running)
            button.setToolTip(_LOCKED if running else _TIPS[mode])
        self.hint.setText(
            f"{running}. Stop to change mode or settings." if running else _HINTS[self.value()]
        )
