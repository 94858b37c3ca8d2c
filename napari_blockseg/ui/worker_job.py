"""What joins a panel with the worker has in common: one request at a time, and what it hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from qtpy.QtCore import QObject

from napari_blockseg.core.reports import AnalysisProgress, Notice, PredictProgress

if TYPE_CHECKING:
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.worker_client import WorkerClient

_FLUSH_SECONDS = 5.0
_SENDING = -1
NOT_SAVED = "The last strokes are not on disk yet; try again."


class WorkerJob(QObject):
    """Ask the worker for one thing at a time and hear what belongs to it.

    A child class says what to do in `_on_report` and `_on_failure`.

    Parameters
    ----------
    session
        The open project.
    client
        The worker.
    parent
        Qt parent.
    """

    def __init__(
        self, session: Session, client: WorkerClient, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._client = session, client
        self._request: int | None = None
        client.report_received.connect(self._on_any_report)
        client.request_failed.connect(self._on_any_failure)

    @property
    def busy(self) -> bool:
        """Whether the worker owes an answer."""
        return self._request is not None

    def _ask(self, send: Callable[[], int]) -> None:
        """Send a request; where no worker can be started it has failed when this returns."""
        self._request = _SENDING
        number = send()
        if self._request == _SENDING:
            self._request = number

    def _save(self) -> bool:
        """Put what is painted on disk, where the worker reads it; False if that takes too long."""
        return self._session.flush(_FLUSH_SECONDS)

    def _end(self) -> None:
        """Expect nothing more."""
        self._request = None

    def _give_up(self) -> bool:
        """Cancel what runs; False if nothing did."""
        number = self._request
        self._end()
        if number is not None:
            self._client.cancel(number)
        return number is not None

    def _on_report(self, report: Any) -> None:
        raise NotImplementedError

    def _on_failure(self, text: str) -> None:
        raise NotImplementedError

    def _on_any_report(self, number: int, report: Any) -> None:
        if self._request is not None and number == self._request:
            self._on_report(report)

    def _on_any_failure(self, number: int, text: str) -> None:
        if self._request is not None and self._request in (number, _SENDING):
            self._end()
            self._on_failure(text)


class JobView(Protocol):
    """Where a `ShownJob` shows how far it is."""

    def show_busy(self, share: float | None, text: str) -> None:
        """Show progress, 0 to 1, None while that is unknown."""

    def show_idle(self) -> None:
        """Show that nothing runs."""

    def show_message(self, level: str, text: str) -> None:
        """Show a message; level "info", "warning" or "error"."""


class ShownJob(WorkerJob):
    """A job of which a view shows progress, messages and the end.

    Parameters
    ----------
    session, client, parent
        As of `WorkerJob`.
    view
        Shows it.
    """

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        view: JobView,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(session, client, parent)
        self._view = view

    def _ask_shown(self, send: Callable[[], int]) -> None:
        """Ask for what reads the labels: they are put on disk before."""
        self._view.show_message("info", "")
        if not self._save():
            self._view.show_message("warning", NOT_SAVED)
            return
        self._view.show_busy(None, "Starting…")
        self._ask(send)

    def _on_report(self, report: Any) -> None:
        """Show progress and notices; a child class takes the result."""
        if isinstance(report, Notice):
            self._view.show_message(report.level, report.message)
        elif isinstance(report, (AnalysisProgress, PredictProgress)):
            share = report.done / report.total if report.total else None
            text = f"{report.done} of {report.total} {report.what}"
            self._view.show_busy(share, text.rstrip())

    def _on_failure(self, text: str) -> None:
        self._view.show_message("error", text)

    def _on_stop(self) -> None:
        if self._give_up():
            self._view.show_message("info", "Stopped.")

    def _end(self) -> None:
        if self.busy:
            self._view.show_idle()
        super()._end()
