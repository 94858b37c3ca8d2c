"""Joins the Spectrum panel with the worker: the loss spectrum of one trained model at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.analysis import ANALYSIS_FILE, Analysis, load_analysis
from napari_blockseg.core.reports import AnalysisDone
from napari_blockseg.ui.latest import Latest
from napari_blockseg.ui.worker_job import ShownJob

if TYPE_CHECKING:
    from pathlib import Path

    from napari_blockseg.ui.panels.spectrum_overlay import OverlayChooser
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.train_job import TrainJob
    from napari_blockseg.ui.worker_client import WorkerClient

#: Images that say enough for a curve; more of them only take longer.
MAX_IMAGES = 16


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


class AnalyseJob(ShownJob):
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
        super().__init__(session, client, chooser, parent)
        self._chooser = chooser
        self._measured = ""
        self._reader = Latest(read_analysis, parent=self)
        self._reader.done.connect(self._on_read)
        self._reader.failed.connect(self._on_unread)
        chooser.run_chosen.connect(self._on_run_chosen)
        chooser.measure_requested.connect(self.measure)
        chooser.stop_requested.connect(self._on_stop)
        training.runs_listed.connect(chooser.set_runs)
        session.project_closed.connect(self._on_project_closed)

    def close(self) -> None:
        """Give up what runs; end the background thread."""
        self._give_up()
        self._reader.close()

    def measure(self, run: str) -> None:
        """Ask the worker for a run's loss spectrum."""
        project = self._session.project
        if self.busy or project is None or not run:
            return
        self._measured = run
        self._ask_shown(lambda: self._client.analyse(project.root, run, max_images=MAX_IMAGES))

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

    def _on_project_closed(self) -> None:
        self._give_up()
        self._reader.forget()
        self._show(None)

    # -- the worker ----------------------------------------------------------------------------

    def _on_report(self, report: Any) -> None:
        super()._on_report(report)
        if isinstance(report, AnalysisDone):
            self._end()
            if self._chooser.run == self._measured:
                self._on_run_chosen(self._measured)
