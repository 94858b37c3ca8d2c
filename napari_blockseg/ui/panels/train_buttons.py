"""The buttons of the Train panel: which of them are there depends on what the training does."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

_PAUSE_WORDS = {"pausing": "Pausing…", "paused": "Resume"}
_PAUSE_TIPS = {
    "pausing": "The worker ends the step it has begun",
    "paused": "Go on where it was paused",
}


class TrainButtons(QWidget):
    """Start and Continue while nothing runs; Pause or Resume, and Stop, while something does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.start = _button(row, "Start", "Train a new run on all painted images")
        self.go_on = _button(row, "Continue", "Go on with the run that was stopped")
        self.pause = _button(row, "Pause", "")
        self.stop = _button(row, "Stop", "End the training; the model is kept")
        self.start.setObjectName("blockseg_primary")

    def show_state(self, state: str, resumable: str | None) -> None:
        """Show the buttons of a state of the panel, and Continue if there is a run for it."""
        idle = state == "idle"
        self.start.setVisible(idle)
        self.go_on.setVisible(idle and resumable is not None)
        self.go_on.setToolTip(f"Go on with {resumable}, which was stopped")
        self.pause.setVisible(not idle)
        self.pause.setText(_PAUSE_WORDS.get(state, "Pause"))
        self.pause.setToolTip(_PAUSE_TIPS.get(state, "Hold the training after the present step"))
        self.pause.setEnabled(state in ("training", "paused"))
        self.stop.setVisible(not idle)
        self.stop.setEnabled(state in ("starting", "training", "pausing", "paused"))


def _button(row: QHBoxLayout, text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    row.addWidget(button)
    return button
