"""The Train panel: what to train, the buttons, and how it goes. Knows no worker."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QIcon, QPixmap, QShowEvent
from qtpy.QtWidgets import (
    QFormLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.reports import (
    InteractivePreview,
    Notice,
    TrainDone,
    TrainStarted,
    TrainStep,
    Validation,
)
from napari_blockseg.ui.curves import TrainingHistory
from napari_blockseg.ui.forms import ConfigForm
from napari_blockseg.ui.pace import Pace
from napari_blockseg.ui.panels.train_buttons import TrainButtons
from napari_blockseg.ui.panels.train_choice import ChoiceLabel
from napari_blockseg.ui.panels.train_fields import (
    ENCODERS,
    NETWORK,
    NETWORK_MORE,
    SCALES,
    TRAIN,
    TRAIN_MORE,
    settings_words,
)
from napari_blockseg.ui.panels.train_length import LengthRow
from napari_blockseg.ui.panels.train_mode import Mode, ModeRow
from napari_blockseg.ui.panels.train_scores import ScoreLabel
from napari_blockseg.ui.panels.train_words import done_words, started_words
from napari_blockseg.ui.plots import TrainingCanvas, theme_colors

if TYPE_CHECKING:
    from napari_blockseg.ui.session import Session

_DRAW_MS = 150
_STATES = ("idle", "starting", "training", "pausing", "paused", "stopping")
#: What the status line says of a state until the worker says more.
_STATE_WORDS = {
    "pausing": "Pausing: the step that has begun is the last one",
    "paused": "Paused. What you paint is kept; press Resume to go on",
    "stopping": "Stopping: the model is being saved",
}


@dataclass(frozen=True)
class TrainSettings:
    """What the Train panel is about: the network and how it is trained."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    mode: Mode = "full"


class TrainPanel(QWidget):
    """Settings, start, pause, stop, continue; live loss and held-out IoU.

    Parameters
    ----------
    session
        The open project: its classes color the curves.
    """

    #: The user changed a setting.
    value_changed = Signal()
    #: One line for the panel's title.
    news_changed = Signal(str)
    #: The user wants a new run with the present settings.
    start_requested = Signal()
    #: The user wants the last unfinished run to go on.
    continue_requested = Signal()
    pause_requested = Signal()
    resume_requested = Signal()
    stop_requested = Signal()
    #: The panel came into view.
    shown = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._state = "idle"
        self._resumable: str | None = None
        self._steps: int | None = None
        self._previewer = ""
        self._pace = Pace()
        self.history = TrainingHistory()
        self._draw_timer = QTimer(self, interval=_DRAW_MS, singleShot=True)
        self._draw_timer.timeout.connect(self._draw)
        self._build()
        session.viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self._show_state()

    def value(self) -> TrainSettings:
        """Return the settings.

        Raises
        ------
        BlockSegError
            If they do not fit together; the message names the field.
        """
        train = self.train_form.value()
        train = self.length.applied_to(train)
        return TrainSettings(self.network_form.value(), train, self.mode.value())

    def set_value(self, settings: TrainSettings) -> None:
        """Show settings; says nothing."""
        self.network_form.set_value(settings.network)
        self.train_form.set_value(settings.train)
        self.length.set_value(settings.train)
        self.mode.set_value(settings.mode)
        self.show_mode()

    def show_mode(self) -> None:
        """Show what belongs to the chosen mode."""
        idle, full = self._state == "idle", self.mode.value() == "full"
        self.length.setEnabled(full and idle)
        self.form.setRowVisible(self.length, full)  # interactive mode goes on until it is stopped
        editors = {**self.network_form.editors, **self.train_form.editors}
        self.mode.show_state("" if idle else settings_words(editors))

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802  (Qt's name)
        """Tell that the panel came into view."""
        super().showEvent(event)
        self.shown.emit()

    @property
    def state(self) -> str:
        """One of "idle", "starting", "training", "pausing", "paused", "stopping"."""
        return self._state

    def set_state(self, state: str) -> None:
        """Show what the training does.

        Raises
        ------
        ValueError
            For a state that there is not.
        """
        if state not in _STATES:
            raise ValueError(f"got state {state!r}, expected one of {', '.join(_STATES)}")
        before, self._state = self._state, state
        self._pace.restart()
        self._show_state()
        if state in _STATE_WORDS:
            self.status.setText(_STATE_WORDS[state])
        elif state == "training" and before in _STATE_WORDS:
            self.status.setText("Going on")

    def set_resumable(self, run: str | None) -> None:
        """Offer to go on with this unfinished run, None with none."""
        self._resumable = run
        self._show_state()

    def begin_run(self, run: str, keep_history: bool = False) -> None:
        """Clear the curves for a run that starts; keep them when it goes on."""
        if not keep_history:
            self.history = TrainingHistory()
            self.scores.clear()
        self.choice.show_choice(None)
        self.set_state("starting")
        self.progress.setRange(0, 0)  # nobody can tell how long the first start takes
        self.status.setText("Starting. You can paint meanwhile")
        self.add_message("info", f"{run} started")
        self._draw()

    def add_report(self, report: Any) -> None:
        """Take a report of the running training."""
        if isinstance(report, TrainStep):
            self._on_step(report)
        elif isinstance(report, Validation):
            self.history.add_validation(report.step, report.miou, report.iou)
            self.scores.show_scores(report, self._session.classes)
        elif isinstance(report, TrainStarted):
            self._on_started(report)
        elif isinstance(report, InteractivePreview):
            self._on_preview(report)
        elif isinstance(report, Notice):
            self.add_message(report.level, report.message)
        elif isinstance(report, TrainDone):
            self._on_done(report)
        if not self._draw_timer.isActive():
            self._draw_timer.start()

    def add_message(self, level: str, text: str) -> None:
        """Add a line to the messages; level is "info", "warning" or "error"."""
        mark = "" if level == "info" else "⚠ "
        self.messages.appendPlainText(f"{time.strftime('%H:%M')}  {mark}{text}")
        self.messages.show()

    def show_failure(self, text: str) -> None:
        """Tell in the status line that the run failed; the messages hold the whole story."""
        self.status.setText(text.partition("\n")[0])

    def unfollow(self) -> None:
        """Take no more notice of the viewer, which may outlive the panel."""
        self._session.viewer.events.theme.disconnect(self._on_theme)

    # -- building ------------------------------------------------------------------------------

    def _build(self) -> None:
        self.network_form = ConfigForm(
            NetworkConfig,
            (*NETWORK, *NETWORK_MORE),
            suggestions={"encoder": ENCODERS, "weights": ["imagenet", "none"]},
            parent=self,
        )
        self.train_form = ConfigForm(
            TrainConfig, (*TRAIN, *TRAIN_MORE), choices={"scale": SCALES}, parent=self
        )
        self.length = LengthRow()
        self.mode = ModeRow()
        self.mode.value_changed.connect(self.show_mode)
        for part in (self.mode, self.network_form, self.train_form, self.length):
            part.value_changed.connect(self.value_changed)
        self.canvas = TrainingCanvas()
        self.scores = ScoreLabel()
        self.messages = QPlainTextEdit()
        self.messages.setReadOnly(True)
        self.messages.setMaximumBlockCount(200)
        self.messages.setFixedHeight(5 * self.fontMetrics().lineSpacing() + 12)
        self.messages.hide()
        layout = QVBoxLayout(self)
        layout.addWidget(self.mode)
        layout.addWidget(self._make_settings())
        layout.addWidget(self._make_buttons())
        layout.addLayout(self._make_progress())
        layout.addWidget(self.scores)
        layout.addWidget(self.canvas, 3)
        layout.addWidget(self.messages)
        layout.addStretch(1)

    def _make_settings(self) -> QWidget:
        """Make what is out of the way while a network learns: nothing of it can be changed then."""
        self.settings = QWidget()
        self.form = _form_layout()
        self.network_form.add_rows(self.form, NETWORK)
        self.train_form.add_rows(self.form, TRAIN)
        self.form.addRow(self.length.label, self.length)
        column = QVBoxLayout(self.settings)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self.form)
        column.addWidget(self._make_more())
        return self.settings

    def _make_more(self) -> QCollapsible:
        # superqt's arrows are black on every theme: the text carries one instead.
        blank = QPixmap(1, 1)
        blank.fill(Qt.GlobalColor.transparent)
        more = QCollapsible("More", expandedIcon=QIcon(blank), collapsedIcon=QIcon(blank))
        more.toggled.connect(lambda open_: more.setText("Less  ▴" if open_ else "More  ▾"))
        more.setText("More  ▾")
        more.layout().setContentsMargins(0, 0, 0, 0)
        inner = QWidget()
        self.more_form = _form_layout(inner)
        self.network_form.add_rows(self.more_form, NETWORK_MORE)
        self.train_form.add_rows(self.more_form, TRAIN_MORE)
        more.addWidget(inner)
        self.more = more
        return more

    def _make_buttons(self) -> TrainButtons:
        self.buttons = buttons = TrainButtons()
        self.start, self.go_on = buttons.start, buttons.go_on
        self.pause, self.stop = buttons.pause, buttons.stop
        self.start.clicked.connect(self.start_requested)
        self.go_on.clicked.connect(self.continue_requested)
        self.pause.clicked.connect(self._on_pause_clicked)
        self.stop.clicked.connect(self.stop_requested)
        return buttons

    def _make_progress(self) -> QVBoxLayout:
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(10)
        self.status = QLabel("Not trained yet")
        self.status.setWordWrap(True)
        self.choice = ChoiceLabel()
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(self.progress)
        column.addWidget(self.status)
        column.addWidget(self.choice)
        return column

    # -- showing -------------------------------------------------------------------------------

    def _show_state(self) -> None:
        idle = self._state == "idle"
        self.buttons.show_state(self._state, self._resumable)
        self.settings.setVisible(idle)
        self.progress.setVisible(not idle)
        if self._state in _STATE_WORDS and not self.progress.maximum():
            self.progress.setRange(0, 1000)  # nothing that looks as if it went on
        for form in (self.network_form, self.train_form):
            form.set_enabled(idle)
        if self._state != "training":
            self.news_changed.emit("" if idle else self._state)
        self.show_mode()

    def _on_started(self, report: TrainStarted) -> None:
        self._steps = report.steps
        self._previewer = ""
        if self._state == "starting":
            self.set_state("training")
        if not report.n_labelled_blocks:
            self.status.setText("Paint some blocks of at least two classes: the preview follows")
            return
        self.add_message("info", started_words(report))
        self.choice.show_choice(report.stride_choice)
        if report.stride_choice is not None:
            self.add_message("info", report.stride_choice.reason)

    def _on_preview(self, report: InteractivePreview) -> None:
        who = "The quick head" if report.source == "interactive" else "The network"
        self._previewer = f"{who} previews, {report.seconds:.1f} s after the stroke"
        if self._moves():
            self.status.setText(self._previewer)
            self.news_changed.emit("previews")

    def _on_endless_step(self, report: TrainStep) -> None:
        """Show a step of the network behind: nobody can tell how many are left."""
        self.progress.setRange(0, 0)
        self.status.setText(f"{self._previewer}. Network behind: step {report.step}")
        self.news_changed.emit(f"step {report.step}")

    def _on_step(self, report: TrainStep) -> None:
        self.history.add_step(report.step, report.loss)
        if not self._moves():
            return  # the step that had begun: who pressed Pause or Stop wants to see that
        if self._previewer:
            self._on_endless_step(report)
            return
        self.progress.setRange(0, 1000)
        self.progress.setValue(round(1000 * report.progress))
        total = f" of {report.steps}" if report.steps else ""
        left = self._pace.time_left(report.progress)
        self.status.setText(f"Step {report.step}{total}{left}")
        self.news_changed.emit(f"{100 * report.progress:.0f} %{left}")

    def _moves(self) -> bool:
        """Return whether progress is shown; whatever starts has started with the first of it."""
        if self._state == "starting":
            self.set_state("training")
        return self._state == "training"

    def _on_done(self, report: TrainDone) -> None:
        words = done_words(report)
        self.status.setText(words)
        run = re.split(r"[/\\]", report.model)[-1]  # a path of the worker's machine, and long
        saved = report.steps or report.source == "interactive"
        self.add_message("info", f"{words}; saved as {run}" if saved else words)

    def _draw(self) -> None:
        self.canvas.show_history(self.history, self._session.classes, self._steps)
        empty = not self.history.steps and not self.history.val_steps
        self.canvas.set_message("Loss and held-out IoU appear here" if empty else "")

    def _on_theme(self, event: object = None) -> None:
        self.canvas.set_colors(theme_colors(self._session.viewer.theme))
        self._draw()

    def _on_pause_clicked(self) -> None:
        request = self.resume_requested if self._state == "paused" else self.pause_requested
        request.emit()


def _form_layout(parent: QWidget | None = None) -> QFormLayout:
    form = QFormLayout(parent)
    form.setContentsMargins(0, 0, 0, 0)
    form.setVerticalSpacing(4)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form
