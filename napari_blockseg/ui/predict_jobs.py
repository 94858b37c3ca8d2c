"""Joins the Predict panel with the worker: previews, whole images, one after the other."""

from __future__ import annotations

import time
import uuid
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from napari_blockseg.core.reports import Notice, PredictDone, PredictProgress
from napari_blockseg.files.images import read_image
from napari_blockseg.files.predictions import PredictedMask, read_prediction
from napari_blockseg.ui.export import Export
from napari_blockseg.ui.latest import Latest
from napari_blockseg.ui.panels.predict import LIVE, PredictPanel
from napari_blockseg.ui.uncertainty_layer import UncertaintyView, whole_blocks
from napari_blockseg.ui.worker_job import WorkerJob

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.train_job import TrainJob
    from napari_blockseg.ui.worker_client import WorkerClient

#: A preview is cut to this side, in pixels, so that it stays one.
PREVIEW_SIDE = 2048
_SHOW_AFTER_MS = 200
_VIEW_RESTS_MS = 300
_STALE_SECONDS = 60.0
_LEFT_OUT = (
    "Left out, as stacks: {}. 'Preview view' shows the plane in view; `blockseg predict` writes "
    "masks of all planes."
)

Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class PredictTask:
    """One prediction to ask for; `region` is None for a whole image."""

    image_id: str
    model: str
    out: str
    region: Region | None = None
    index: tuple[int, ...] = ()
    uncertainty: bool = False

    @property
    def is_preview(self) -> bool:
        """Whether it is of a region, to be looked at and thrown away."""
        return self.region is not None


def middle(region: Region, side: int = PREVIEW_SIDE) -> Region:
    """Return a region, cut to its middle where it is longer than `side` pixels."""
    row0, row1, col0, col1 = region
    rows, cols = min(row1 - row0, side), min(col1 - col0, side)
    row, col = row0 + (row1 - row0 - rows) // 2, col0 + (col1 - col0 - cols) // 2
    return (row, row + rows, col, col + cols)


Result = tuple[PredictTask, PredictedMask, "np.ndarray | None"]


def read_result(path: Path, task: PredictTask) -> Result:
    """Return a task with its mask and uncertainty, read whole; what is not kept is removed."""
    mask, unsure = read_prediction(path), None
    if task.uncertainty:
        beside = path.with_suffix(".uncertainty.tif")
        unsure = read_image(beside, "YX").pixels[..., 0]
        beside.unlink(missing_ok=True)
    if task.is_preview:
        path.unlink(missing_ok=True)
        _sweep(path.parent)
    return task, mask, unsure


def _sweep(folder: Path) -> None:
    """Remove previews that nobody came for: they were stopped, or overtaken by another one."""
    for path in folder.glob("preview-*.tif"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink()


class PredictJobs(WorkerJob):
    """Carry out what the Predict panel asks for.

    Parameters
    ----------
    session
        The open project; results are shown through it.
    client
        The worker.
    panel
        Its requests are carried out; progress and results go to it.
    training
        Says when there is a network in training and when it has learned.
    parent
        Qt parent.
    """

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        panel: PredictPanel,
        training: TrainJob,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(session, client, parent)
        self._panel, self._training = panel, training
        self._waiting: deque[PredictTask] = deque()
        self._task: PredictTask | None = None
        self._total = self._done = self._failed = 0
        self._again = False
        self._progress: tuple[float | None, str] = (None, "")
        self._reader = Latest(read_result, parent=self)
        self._export = Export(session, panel, self)
        self._unsure = UncertaintyView(session.viewer)
        self._wanted_uncertainty = panel.value().uncertainty
        self._patience = self._timer(_SHOW_AFTER_MS, self._show_progress)
        self._view_rests = self._timer(_VIEW_RESTS_MS, self._follow)
        self._connect()

    def close(self) -> None:
        """End the background work."""
        self._stop()
        for event in self._camera_events():
            event.disconnect(self._on_view_moved)
        self._view_rests.stop()
        self._patience.stop()
        self._reader.close()
        self._export.stop()
        self._unsure.clear()

    @property
    def writing(self) -> bool:
        """Whether whole images are being predicted, into the project's folder."""
        return self.busy and not self._previews

    @property
    def _previews(self) -> bool:
        """Whether what runs, or ran last, is a preview."""
        return self._task is not None and self._task.is_preview

    def _timer(self, interval: int, slot: Any) -> QTimer:
        timer = QTimer(self, interval=interval, singleShot=True)
        timer.timeout.connect(slot)
        return timer

    def _connect(self) -> None:
        panel, session, training = self._panel, self._session, self._training
        panel.preview_requested.connect(self.preview)
        panel.image_requested.connect(self._on_image_requested)
        panel.all_images_requested.connect(self._on_all_requested)
        panel.stop_requested.connect(self._stop)
        panel.value_changed.connect(self._on_choice_changed)
        self._reader.done.connect(self._on_result)
        self._reader.failed.connect(session.report)
        training.live_changed.connect(panel.set_live)
        training.runs_listed.connect(panel.set_runs)
        training.learned.connect(self._on_learned)
        session.image_changed.connect(self._on_view_moved)
        session.image_changed.connect(self._on_image_changed)
        session.regridded.connect(self._clear_uncertainty)
        session.project_closed.connect(self._stop)
        session.project_closed.connect(self._clear_uncertainty)
        for event in self._camera_events():
            event.connect(self._on_view_moved)

    def _camera_events(self) -> tuple[Any, Any]:
        # napari 0.9 moved the camera to the scene.
        viewer = self._session.viewer
        events = getattr(viewer, "scene", viewer).camera.events
        return events.zoom, events.center

    # -- asking --------------------------------------------------------------------------------

    def preview(self) -> None:
        """Predict what is in view; while a preview runs, once more after it."""
        if self.busy:
            self._again = self._previews
            return
        region = self._session.visible_region()
        if region is None or self._session.image_id is None:
            self._panel.show_message("warning", "No part of the image is in view.")
            return
        folder = self._relative("cache_dir")
        name = f"preview-{uuid.uuid4().hex[:8]}.tif"
        choice, labels = self._panel.value(), self._session.labels()
        region = middle(region)
        if choice.uncertainty and labels is not None:
            region = whole_blocks(region, labels.grid)
        task = PredictTask(
            self._session.image_id,
            choice.model,
            f"{folder}/{name}",
            region,
            self._session.slice_index(),
            choice.uncertainty,
        )
        self._run([task])

    def _on_image_requested(self) -> None:
        if self._session.image_id is not None:
            self._predict_images([self._session.image_id])

    def _on_all_requested(self) -> None:
        project = self._session.project
        if project is not None:
            self._predict_images([i for i in project.image_ids if i not in project.problems])

    def _predict_images(self, image_ids: list[str]) -> None:
        project, choice = self._session.project, self._panel.value()
        if project is None:
            return
        run = self._training.run if choice.model == LIVE else choice.model
        folder = f"{self._relative('predictions_dir')}/{run}"
        shown = self._session.image_id
        # One plane of a stack would pass for all of it.
        stacks = [i for i in image_ids if len(project.entry(i).spatial_shape) > 2]
        self._run(
            [
                # of another image it would not be looked at
                PredictTask(
                    *(i, choice.model, f"{folder}/{i}.tif", None, ()),
                    uncertainty=choice.uncertainty and i == shown,
                )
                for i in image_ids
                if i not in stacks
            ]
        )
        if stacks:
            self._panel.show_message("warning", _LEFT_OUT.format(", ".join(stacks)))

    def _relative(self, folder: str) -> str:
        project = self._session.project
        return getattr(project, folder).relative_to(project.root).as_posix()

    def _run(self, tasks: list[PredictTask]) -> None:
        if self.busy or self._session.project is None or not tasks or not tasks[0].model:
            return
        self._waiting = deque(tasks)
        self._total, self._done, self._failed = len(tasks), 0, 0
        self._panel.show_message("info", "")
        self._next()

    def _next(self) -> None:
        project = self._session.project
        if not self._waiting or project is None:
            self._finish()
            return
        task = self._waiting.popleft()
        self._note_progress(None)
        self._task = task
        what = (project.root, task.image_id, task.model, task.out, task.region, task.index)
        self._ask(lambda: self._client.predict(*what, uncertainty=task.uncertainty))

    def _stop(self) -> None:
        self._waiting.clear()
        self._again = False
        if self._give_up():
            self._panel.show_message("info", "Stopped.")
        self._finish()

    def _finish(self) -> None:
        self._end()
        self._patience.stop()
        self._panel.show_idle()
        if self._again:
            self._again = False
            self.preview()

    # -- the worker ----------------------------------------------------------------------------

    def _on_report(self, report: Any) -> None:
        if isinstance(report, PredictProgress):
            self._note_progress(report)
        elif isinstance(report, Notice):
            self._panel.show_message(report.level, report.message)
        elif isinstance(report, PredictDone) and self._task is not None:
            self._on_done(report, self._task)

    def _on_done(self, report: PredictDone, task: PredictTask) -> None:
        self._end()
        self._done += 1
        project = self._session.project
        if project is not None and task.image_id == self._session.image_id:
            self._reader.ask(project.root / task.out, task)
            where = "In view" if task.is_preview else task.image_id
            self._panel.show_result(report.classes, where)
        self._next()

    def _on_failure(self, text: str) -> None:
        self._failed += 1
        self._again = False
        many = f"{self._failed} of {self._total} images failed. " if self._total > 1 else ""
        self._panel.show_message("error", many + text)
        if self._client.status == "dead":
            self._waiting.clear()
        self._next()

    def _on_result(self, result: Result) -> None:
        task, mask, unsure = result
        if not (task.uncertainty and self._comes_by_itself(task.model)):
            self._session.show_prediction(task.image_id, mask, task.region, task.index)
        if unsure is not None and task.image_id == self._session.image_id:
            self._show_uncertainty(task, unsure)
        self._set_opacity()

    def _show_uncertainty(self, task: PredictTask, values: np.ndarray) -> None:
        blocks = self._session.labels_layer()
        if not self._panel.value().uncertainty or blocks is None:
            return
        if task.region is None or task.region == whole_blocks(task.region, blocks.grid):
            n_classes = len(self._session.classes)
            self._unsure.show(blocks, values, task.region, task.index, n_classes)

    # -- showing -------------------------------------------------------------------------------

    def _clear_uncertainty(self, _what: object = None) -> None:
        self._unsure.clear()

    def _on_image_changed(self, image_id: str) -> None:
        """Show again where the network was unsure of this image, or find it out."""
        session, choice = self._session, self._panel.value()
        self._unsure.turn_to(image_id, session.labels_layer(), len(session.classes))
        if self._unsure.layer is not None:
            self._unsure.layer.opacity = choice.uncertainty_opacity
        elif choice.uncertainty and image_id:
            self._view_rests.start()

    def _note_progress(self, report: PredictProgress | None) -> None:
        part = report.done / report.total if report and report.total else None
        if self._total > 1:
            share: float | None = (self._done + self._failed + (part or 0)) / self._total
            text = f"Image {self._done + self._failed + 1} of {self._total}"
        else:
            share = part
            text = f"{report.done} of {report.total} {report.what}" if report else "Predicting…"
        self._progress = (share, text)
        if not self._panel.bar.isHidden():
            self._show_progress()
        elif not self._patience.isActive():
            self._patience.start()

    def _show_progress(self) -> None:
        if self.busy:
            self._panel.show_busy(*self._progress)

    def _set_opacity(self) -> None:
        layer = self._session.prediction_layer()
        choice = self._panel.value()
        if layer is not None:
            layer.opacity = choice.opacity
        if not choice.uncertainty:
            self._unsure.clear()
        elif self._unsure.layer is not None:
            self._unsure.layer.opacity = choice.uncertainty_opacity

    # -- keeping up to date --------------------------------------------------------------------

    def _on_choice_changed(self) -> None:
        self._set_opacity()
        self._on_view_moved()
        wanted = self._panel.value().uncertainty
        if wanted and not self._wanted_uncertainty:
            self._view_rests.start()
        self._wanted_uncertainty = wanted

    def _on_view_moved(self, event: object = None) -> None:
        if self._panel.value().follow:
            self._view_rests.start()

    def _on_learned(self) -> None:
        choice = self._panel.value()
        if choice.follow and choice.model == LIVE:
            self._follow()

    def _follow(self) -> None:
        choice = self._panel.value()
        whole = self.writing
        wanted = choice.follow and (choice.uncertainty or not self._comes_by_itself(choice.model))
        wanted = wanted or (choice.uncertainty and self._unsure.layer is None)
        if wanted and choice.model and self._session.image_id is not None and not whole:
            self.preview()

    def _comes_by_itself(self, model: str) -> bool:
        """Whether an interactive session shows its previews, with which one would interfere."""
        return model == LIVE and self._training.interactive
