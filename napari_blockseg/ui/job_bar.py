"""Rows that several panels show: a job's progress with its stop button, a worker's state."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.ui.worker_client import WorkerClient

_MARKS = {"info": "", "warning": "⚠ ", "error": "⚠ "}


class JobBar(QWidget):
    """Progress of one job, what it does now, and a button that stops it; hidden when idle."""

    #: The user wants the job to end.
    stop_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(10)
        self.text = QLabel()
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.stop = QPushButton()
        self.stop.setText("Stop")
        self.stop.clicked.connect(self.stop_requested)
        column = QVBoxLayout()
        column.setSpacing(2)
        column.addWidget(self.bar)
        column.addWidget(self.text)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addLayout(column, 1)
        row.addWidget(self.stop)
        self.hide()

    def show_progress(self, share: float | None, text: str) -> None:
        """Show how far the job is, 0 to 1; None when nobody can tell."""
        self.bar.setRange(0, 0 if share is None else 1000)
        if share is not None:
            self.bar.setValue(round(1000 * share))
        self.text.setText(text)
        self.text.setToolTip(text)
        self.show()


class MessageLine(QLabel):
    """What a panel has to say: wraps, can be copied, hidden while there is nothing."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.hide()

    def show_message(self, level: str, text: str) -> None:
        """Show a message of level "info", "warning" or "error"; an empty one clears."""
        self.setText(_MARKS.get(level, "") + text)
        self.setVisible(bool(text))


class WorkerStrip(QWidget):
    """Tells when the worker is not well, with its last lines and a button to restart it.

    Parameters
    ----------
    client
        The worker's client.
    """

    def __init__(self, client: WorkerClient, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._client = client
        self.text = MessageLine()
        self.restart = QPushButton("Restart worker")
        self.restart.clicked.connect(client.restart)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addWidget(self.restart)
        client.died.connect(self._on_died)
        client.status_changed.connect(self._on_status)
        self._on_status(client.status)

    def _on_died(self, text: str) -> None:
        self.text.show_message("error", text)

    def _on_status(self, status: str) -> None:
        if status == "starting":
            self.text.show_message("info", "Starting the worker…")
        self.restart.setVisible(status == "dead")
        self.setVisible(status in ("starting", "dead"))


def chips(classes: Iterable[ClassInfo], values: dict[str, str]) -> str:
    """Return rich text: a colored square, the name and the value of each class that has one."""
    parts = [
        f'<span style="color: rgb{info.color}">■</span>&nbsp;'
        f"{html.escape(info.name).replace(' ', '&nbsp;')}&nbsp;{values[info.name]}"
        for info in classes
        if info.name in values
    ]
    return " &nbsp; ".join(parts)
