"""Below the label curves: which model's loss is laid over them, and measuring it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_blockseg.ui.job_bar import JobBar, MessageLine
from napari_blockseg.ui.runs import RunInfo, run_title
from napari_blockseg.ui.wrapped import WrappedLabel

_TIP = (
    "Lay a trained model's loss over the curves: how large it would be if the labels held only "
    "the detail that blocks of each size hold"
)
_MEASURE_TIP = (
    "Run the model over the painted images and measure its loss. Takes a while; can be stopped."
)
_AGAIN = " Replaces what was measured before."


class OverlayChooser(QWidget):
    """Choose a trained model, measure its loss spectrum, see how far that is. Knows no worker."""

    #: (run) Another model was chosen; "" none.
    run_chosen = Signal(str)
    #: (run) The user wants its loss measured.
    measure_requested = Signal(str)
    #: The user wants the measuring to end.
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._runs: list[RunInfo] = []
        self._busy = False
        self._build()
        self.set_measured(False)
        self._fill()

    @property
    def run(self) -> str:
        """Name of the chosen run, "" for none."""
        return self.model.currentData() or ""

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """List the trained runs, newest first; what was chosen stays chosen if it is there."""
        if list(runs) != self._runs:
            self._runs = list(runs)
            self._fill()

    def choose(self, run: str) -> None:
        """Choose a run by name, as a user would."""
        self.model.setCurrentIndex(max(self.model.findData(run), 0))

    def set_measured(self, measured: bool) -> None:
        """Say whether the chosen run's loss is known: it can be measured again then."""
        self.measure.setToolTip(f"{_MEASURE_TIP}{_AGAIN if measured else ''}")

    def set_words(self, text: str) -> None:
        """Say what is drawn, or why nothing is; "" hides the line."""
        self.words.setText(text)
        self.words.setVisible(bool(text))

    def show_busy(self, share: float | None, text: str) -> None:
        """Show how far the measuring is, 0 to 1, None when nobody can tell."""
        self._busy = True
        self.bar.show_progress(share, text)
        self.measure.setEnabled(False)

    def show_idle(self) -> None:
        """Nothing is measured."""
        self._busy = False
        self.bar.hide()
        self.measure.setEnabled(True)

    def show_message(self, level: str, text: str) -> None:
        """Tell something; level is "info", "warning" or "error", an empty text clears."""
        self.message.show_message(level, text)

    def focus_chain(self) -> list[QWidget]:
        """Return what the Tab key visits, in order."""
        return [self.model, self.measure, self.bar.stop]

    def _build(self) -> None:
        self.model = QComboBox()
        self.model.setAccessibleName("Model whose loss is shown")
        self.model.setToolTip(_TIP)
        self.model.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.model.setMinimumContentsLength(8)
        self.model.currentIndexChanged.connect(lambda _: self._tell_choice())
        label = QLabel("&Loss of")
        label.setBuddy(self.model)
        self.measure = QPushButton("Measure")
        self.measure.clicked.connect(lambda: self.measure_requested.emit(self.run))
        self.bar = JobBar()
        self.bar.stop.setAccessibleName("Stop measuring the loss")
        self.bar.stop.setToolTip("End the measuring; nothing is kept of it")
        self.bar.stop_requested.connect(self.stop_requested)
        self.words = WrappedLabel(least_lines=3)
        self.message = MessageLine()
        row = QHBoxLayout()
        row.addWidget(label)
        row.addWidget(self.model, 1)
        row.addWidget(self.measure)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        for widget in (self.bar, self.words, self.message):
            layout.addWidget(widget)

    def _fill(self) -> None:
        before = self.run
        blocked = self.model.blockSignals(True)
        self.model.clear()
        self.model.addItem("no model" if self._runs else "train a model first", "")
        for run in self._runs:
            score = "" if run.val_miou is None else f", mIoU {run.val_miou:.2f}"
            self.model.addItem(run_title(run.name), run.name)
            tip = run.name + score
            self.model.setItemData(self.model.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(max(self.model.findData(before), 0))
        self.model.setEnabled(bool(self._runs))
        self.model.blockSignals(blocked)
        # Also when the choice stands: its model may have been trained on.
        self._tell_choice()

    def _tell_choice(self) -> None:
        self.measure.setVisible(bool(self.run))
        self.run_chosen.emit(self.run)
