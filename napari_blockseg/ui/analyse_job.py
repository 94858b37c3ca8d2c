"""Joins the Spectrum panel with the worker: the loss spectrum of one trained model at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.analysis import ANALYSIS_FILE, Analysis, load_analysis
from napari_blockseg.core.reports import AnalysisDone, AnalysisProgress, Notice
from napari_blockseg.ui.latest import Latest

if TYPE_CHECKING:
    from pathlib import Path

    from napari_blockseg.ui.panels.spectrum_overlay import OverlayChooser
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.train_job import TrainJob
    from napari_blockseg.ui.worker_client import WorkerClient

#: Images that say enough for a curve; more of them only take longer.
MAX_IMAGES = 16
_FLUSH_SECONDS = 5.0


def read_analysis(folder: Path) -> tuple[Analysis | None, bool]:
    """Return what a model's folder holds, and whether the model is newer than that.

    Raises
    ------
    ModelError
        If the file is damaged.
    """
    found = load_analysis(folder)
    if found is None:
        return None, False
    try:
        weights = (folder / "model.safetensors").stat().st_mtime
        return found, weights > (folder / ANALYSIS_FILE).stat().st_mtime
    except OSError:
        return found, False


class AnalyseJob(QObject):
    """Read a chosen run's loss spectrum, and have the worker measure it.

    Parameters
    ----------
    session
        The open project.
    client
        The worker.
    chooser
        Its requests are carried out; progress goes to it.
    training
        Tells which runs there are.
    parent
        Qt parent.
    """

    #: What is known of the chosen run: an `Analysis`, or None.
    loaded = Signal(object)

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        chooser: OverlayChooser,
        training: TrainJob,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._client, self._chooser = session, client, chooser
        self._request: int | None = None
        self._measured = ""
        self._reader = Latest(read_analysis, parent=self)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(self._on_unread)
        chooser.run_chosen.connect(self._on_run_chosen)
        chooser.measure_requested.connect(self.measure)
        chooser.stop_requested.connect(self._on_stop)
        training.runs_listed.connect(chooser.set_runs)
        client.report_received.connect(self._on_report)
        client.request_failed.connect(self._on_failed)
        session.project_closed.connect(self._on_project_closed)

    @property
    def busy(self) -> bool:
        """Whether the worker owes an analysis."""
        return self._request is not None

    def close(self) -> None:
        """Give up what runs; end the background thread."""
        self._cancel()
        self._reader.close()

    def measure(self, run: str) -> None:
        """Ask the worker for a run's loss spectrum."""
        project = self._session.project
        if self.busy or project is None or not run:
            return
        self._chooser.show_message("info", "")
        if not self._session.flush(_FLUSH_SECONDS):
            self._chooser.show_message(
                "warning", "The last strokes are not on disk yet; try again."
            )
            return
        self._measured, self._request = run, -1
        self._chooser.show_busy(None, "Starting…")
        number = self._client.analyse(project.root, run, max_images=MAX_IMAGES)
        if self._request == -1:  # else it has failed within the call
            self._request = number

    # -- the chooser ---------------------------------------------------------------------------

    def _on_run_chosen(self, run: str) -> None:
        self._reader.forget()
        if not self.busy:
            self._chooser.show_message("info", "")
        project = self._session.project
        if project is None or not run:
            self._show(None)
            return
        self._reader.ask(project.models_dir / run)

    def _on_read(self, found: tuple[Analysis | None, bool]) -> None:
        analysis, stale = found
        self._show(analysis)
        if stale:
            self._chooser.show_message(
                "info", "The model was trained on since this was measured. Measure again."
            )

    def _on_unread(self, error: BaseException) -> None:
        self._show(None)
        self._session.report(error)

    def _show(self, analysis: Analysis | None) -> None:
        self._chooser.set_measured(analysis is not None)
        self.loaded.emit(analysis)

    def _on_stop(self) -> None:
        if self._cancel():
            self._chooser.show_message("info", "Stopped.")

    def _on_project_closed(self) -> None:
        self._cancel()
        self._reader.forget()
        self._show(None)

    def _cancel(self) -> bool:
        number, self._request = self._request, None
        if number is not None:
            self._client.cancel(number)
            self._chooser.show_idle()
        return number is not None

    # -- the worker ----------------------------------------------------------------------------

    def _on_report(self, number: int, report: Any) -> None:
        if self._request is None or number != self._request:
            return
        if isinstance(report, AnalysisProgress):
            share = report.done / report.total if report.total else None
            what = f" {report.what}" if report.what else ""
            self._chooser.show_busy(share, f"{report.done} of {report.total}{what}")
        elif isinstance(report, Notice):
            self._chooser.show_message(report.level, report.message)
        elif isinstance(report, AnalysisDone):
            self._request = None
            self._chooser.show_idle()
            if self._chooser.run == self._measured:
                self._on_run_chosen(self._measured)

    def _on_failed(self, number: int, text: str) -> None:
        if self._request is not None and self._request in (number, -1):
            self._request = None
            self._chooser.show_idle()
            self._chooser.show_message("error", text)
