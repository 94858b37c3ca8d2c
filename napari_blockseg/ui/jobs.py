"""Joins the session, the worker and the panels that need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from napari_blockseg.ui.analyse_job import AnalyseJob
from napari_blockseg.ui.interactive_job import InteractiveJob
from napari_blockseg.ui.job_bar import WorkerStrip
from napari_blockseg.ui.predict_jobs import PredictJobs
from napari_blockseg.ui.suggest_job import SuggestJob
from napari_blockseg.ui.train_job import TrainJob
from napari_blockseg.ui.worker_setting import WorkerRows

if TYPE_CHECKING:
    from napari_blockseg.ui.panels.predict import PredictPanel
    from napari_blockseg.ui.panels.spectrum import SpectrumPanel
    from napari_blockseg.ui.panels.train import TrainPanel
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.worker_client import WorkerClient
    from napari_blockseg.ui.worker_messages import WorkerCommand


class Jobs(QObject):
    """All that the worker does for one dock.

    Parameters
    ----------
    session
        The open project.
    client
        The worker, started with the first job.
    train, predict
        The panels; each gets a strip that tells when the worker is not well.
    spectrum
        The panel over whose curves a model's loss is laid.
    parent
        Qt parent.
    """

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        train: TrainPanel,
        predict: PredictPanel,
        spectrum: SpectrumPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.client = client
        self._train = train
        self.training = TrainJob(session, client, train, self)
        self.predictions = PredictJobs(session, client, predict, self.training, self)
        self.previews = InteractiveJob(session, client, train, predict, self.training, self)
        self.suggestions = SuggestJob(session, client, predict, self)
        self.analyses = AnalyseJob(session, client, spectrum.overlay, self.training, self)
        self.analyses.loaded.connect(spectrum.set_analysis)
        self.setting = WorkerRows(train.more_form, self)
        self.setting.changed.connect(self._on_command_changed)
        self.setting.problem.connect(self._on_setting_problem)
        for panel in (train, predict):
            panel.layout().insertWidget(0, WorkerStrip(client, panel))
        # Whoever opens the dock wants to see something soon.
        train.mode.set_value("interactive")
        train.show_mode()
        self.training.list_runs()

    @property
    def writing(self) -> str:
        """What the worker writes into the project's folder now, in words; "" if nothing."""
        if self.training.running:
            return "A training"
        if self.predictions.writing:
            return "A prediction"
        return "A measurement" if self.analyses.busy else ""

    def _on_command_changed(self, command: WorkerCommand) -> None:
        self.client.command = command
        if self.client.status != "off" and not self.training.running:
            self.client.restart()

    def _on_setting_problem(self, text: str) -> None:
        self._train.add_message("error", text)

    def close(self) -> None:
        """End threads and the worker; waits for nothing."""
        self._train.unfollow()
        self.predictions.close()
        self.previews.close()
        self.suggestions.close()
        self.analyses.close()
        self.training.close()
        self.client.close()
