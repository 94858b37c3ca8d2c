"""Joins the Train panel with the worker: one training at a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.reports import (
    InteractivePreview,
    TrainDone,
    TrainStarted,
    TrainStep,
    Validation,
)
from napari_blockseg.ui.interactive_job import view_fields
from napari_blockseg.ui.latest import Latest
from napari_blockseg.ui.panels.train import TrainSettings
from napari_blockseg.ui.runs import RunInfo, list_runs
from napari_blockseg.ui.worker_job import NOT_SAVED, WorkerJob

if TYPE_CHECKING:
    from pathlib import Path

    from napari_blockseg.ui.panels.train import TrainPanel
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.worker_client import WorkerClient

#: While training goes on, a preview is worth renewing this often, in seconds.
_NEWS_SECONDS = 5.0
#: What a pressed button makes of the state until the worker answers.
_CONTROLS = {"pause": "pausing", "resume": None, "stop": "stopping"}


class TrainJob(WorkerJob):
    """Start, pause, resume, stop and continue trainings of the session's project.

    Parameters
    ----------
    session
        The open project.
    client
        The worker.
    panel
        Its requests are carried out, the worker's reports go to it.
    parent
        Qt parent.
    """

    #: A network in training can be asked for predictions, or no longer.
    live_changed = Signal(bool)
    #: The network in training has learned something since the last time.
    learned = Signal()
    #: The project's runs: a list of `RunInfo`, newest first.
    runs_listed = Signal(object)

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        panel: TrainPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(session, client, parent)
        self._panel = panel
        self._controls: set[int] = set()
        self._run = ""
        self._settings: TrainSettings | None = None
        self._live = False
        self._told = 0.0
        self._runs = Latest(list_runs, parent=self)
        self._runs.done.connect(self._on_runs)
        panel.start_requested.connect(self._on_start)
        panel.continue_requested.connect(self._on_continue)
        panel.pause_requested.connect(lambda: self._control("pause"))
        panel.resume_requested.connect(lambda: self._control("resume"))
        panel.stop_requested.connect(lambda: self._control("stop"))
        client.request_failed.connect(self._on_control_failed)
        client.training_state.connect(self._on_state)
        client.noticed.connect(self._on_notice)
        session.project_opened.connect(self.list_runs)
        session.project_closed.connect(self._on_project_closed)

    @property
    def run(self) -> str:
        """Name of the run in training, or of the last one; "" before the first."""
        return self._run

    @property
    def running(self) -> bool:
        """Whether a training was asked for and has not ended."""
        return self.busy

    @property
    def interactive(self) -> bool:
        """Whether an interactive session runs."""
        chosen = self._settings is not None and self._settings.mode == "interactive"
        return self.running and chosen

    def list_runs(self) -> None:
        """Look up the project's runs; `runs_listed` follows."""
        if self._session.project is not None:
            self._runs.ask(self._session.project.models_dir)

    def close(self) -> None:
        """End the background thread."""
        self._runs.close()

    # -- the panel -----------------------------------------------------------------------------

    def _on_start(self) -> None:
        project = self._session.project
        if project is None:
            self._panel.add_message("warning", "Open an image and paint some blocks first.")
            return
        try:
            settings = self._panel.value()
        except BlockSegError as error:
            self._panel.add_message("error", str(error))
            return
        self._begin(project.root, project.new_run_name(), settings, resume=False)

    def _on_continue(self) -> None:
        project = self._session.project
        if project is not None and self._run:
            self._begin(project.root, self._run, self._settings or TrainSettings(), resume=True)

    def _begin(self, root: Path, run: str, settings: TrainSettings, resume: bool) -> None:
        if self.running:
            return
        if not self._save():
            self._panel.add_message("warning", NOT_SAVED)
            return
        self._run, self._settings = run, settings
        # The panel first: a command that cannot be started fails within the next call.
        self._panel.begin_run(run, keep_history=resume)
        if settings.mode == "interactive":
            self._ask(lambda: self._ask_interactive(root, run, settings))
            return
        wanted = settings.network, settings.train, resume
        self._ask(lambda: self._client.train(root, run, *wanted))

    def _ask_interactive(self, root: Path, run: str, settings: TrainSettings) -> int:
        return self._client.request(
            "interactive",
            project=self._client.command.to_worker(root),
            run=run,
            network=settings.network.model_dump(mode="json"),
            train=settings.train.model_dump(mode="json"),
            **(view_fields(self._session) or {}),
        )

    def _control(self, kind: str) -> None:
        if self.running:
            if _CONTROLS[kind] is not None:
                self._panel.set_state(_CONTROLS[kind])
            self._controls.add(self._client.request(kind))

    # -- the worker ----------------------------------------------------------------------------

    def _on_report(self, report: Any) -> None:
        self._panel.add_report(report)
        if isinstance(report, TrainDone):
            self._end()
        elif self.interactive:
            # it previews by itself, but may be asked where it is unsure and what to label next
            if _knows_something(report):
                self._set_live(True)
            return
        elif isinstance(report, (TrainStep, TrainStarted)):
            self._set_live(True)
        if isinstance(report, (Validation, TrainDone)) or (
            isinstance(report, TrainStep) and time.monotonic() - self._told > _NEWS_SECONDS
        ):
            self._told = time.monotonic()
            self.learned.emit()

    def _on_failure(self, text: str) -> None:
        self._panel.add_message("error", text)
        self._panel.show_failure(text)

    def _on_control_failed(self, number: int, text: str) -> None:
        if number in self._controls:
            self._controls.discard(number)
            self._panel.add_message("warning", text)
            if self.running and self._panel.state == "pausing":
                self._panel.set_state("training")

    def _on_state(self, number: int, state: str) -> None:
        # Other requests are answered so too; and whoever pressed Stop waits for the end alone.
        ours, stopping = number in self._controls, self._panel.state == "stopping"
        self._controls.discard(number)
        if ours and self.running and not stopping and state in ("training", "paused"):
            self._panel.set_state(state)

    def _on_notice(self, level: str, text: str) -> None:
        self._panel.add_message(level, text)

    def _end(self) -> None:
        super()._end()
        self._panel.set_state("idle")
        self._set_live(False)
        self.list_runs()

    def _set_live(self, live: bool) -> None:
        if live != self._live:
            self._live = live
            self.live_changed.emit(live)

    # -- the session ---------------------------------------------------------------------------

    def _on_runs(self, runs: list[RunInfo]) -> None:
        unfinished = {run.name: run for run in runs if run.resumable}
        if not self.running:
            if self._run not in unfinished and unfinished:
                self._run, last = next(iter(unfinished.items()))
                self._settings = (
                    TrainSettings(last.network, last.train) if last.network and last.train else None
                )
            self._panel.set_resumable(self._run if self._run in unfinished else None)
        self.runs_listed.emit(runs)

    def _on_project_closed(self) -> None:
        self._control("stop")
        self._runs.forget()
        self._panel.set_resumable(None)
        self.runs_listed.emit([])


def _knows_something(report: Any) -> bool:
    """Whether a report of an interactive session tells that there is something to ask."""
    return isinstance(report, InteractivePreview)
