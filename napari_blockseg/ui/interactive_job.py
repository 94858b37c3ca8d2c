"""Interactive mode in the viewer: says what is in view, shows the previews that come."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.reports import FeaturesDone, InteractivePreview, TrainStarted
from napari_blockseg.files.predictions import PredictedMask, read_prediction
from napari_blockseg.ui.latest import Latest
from napari_blockseg.ui.predict_jobs import PREVIEW_SIDE, middle
from napari_blockseg.ui.worker_job import WorkerJob

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtCore import QObject

    from napari_blockseg.ui.panels.predict import PredictPanel
    from napari_blockseg.ui.panels.train import TrainPanel
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.train_job import TrainJob
    from napari_blockseg.ui.worker_client import WorkerClient

_VIEW_RESTS_MS = 200
_SETTINGS_REST_MS = 500


def read_preview(
    path: Path, preview: InteractivePreview
) -> tuple[InteractivePreview, PredictedMask | None]:
    """Return a preview with its mask, read whole; its file is removed. None if it is overtaken."""
    try:
        mask = read_prediction(path)
    except (BlockSegError, OSError):
        return preview, None  # the worker has removed it: a newer one is on its way
    with suppress(OSError):
        path.unlink(missing_ok=True)
    return preview, mask


class InteractiveJob(WorkerJob):
    """Show the previews of an interactive session; keep it looking where the user looks.

    What it asks for by itself are the features of the view, before there is a session; `busy` is
    about these.

    Parameters
    ----------
    session
        The open project; previews are shown through it.
    client
        The worker.
    train, predict
        The panels: the first says whether features are wanted early, the second how opaque a
        prediction is.
    training
        Says whether an interactive session runs.
    parent
        Qt parent.
    """

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        train: TrainPanel,
        predict: PredictPanel,
        training: TrainJob,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(session, client, parent)
        self._train, self._predict, self._training = train, predict, training
        self._reader = Latest(read_preview, parent=self)
        self._reader.done.connect(self._on_mask)
        self._reader.failed.connect(session.report)
        self._view_rests = QTimer(self, interval=_VIEW_RESTS_MS, singleShot=True)
        self._view_rests.timeout.connect(self._tell_view)
        client.report_received.connect(self._on_preview)
        session.image_changed.connect(self._on_view_moved)
        session.image_changed.connect(self.warm_up)
        train.shown.connect(self.warm_up)
        self._warm: dict[str, Any] | None = None
        self._settings_rest = QTimer(self, interval=_SETTINGS_REST_MS, singleShot=True)
        self._settings_rest.timeout.connect(self.warm_up)
        train.value_changed.connect(self._settings_rest.start)
        for event in self._camera_events():
            event.connect(self._on_view_moved)

    def close(self) -> None:
        """Give up what runs, end the background work."""
        self._give_up()
        for event in self._camera_events():
            event.disconnect(self._on_view_moved)
        self._view_rests.stop()
        self._settings_rest.stop()
        self._reader.close()

    def warm_up(self) -> None:
        """Have the features of the view made, while the user still chooses classes."""
        project, fields = self._session.project, view_fields(self._session)
        wanted = self._train.isVisible() and self._train.mode.value() == "interactive"
        if project is None or fields is None or not wanted or self._training.running:
            return
        try:
            settings = self._train.value()
        except BlockSegError:
            return  # it is said when the training is started
        fields |= {
            "project": self._client.command.to_worker(project.root),
            "network": settings.network.model_dump(mode="json"),
            "train": settings.train.model_dump(mode="json"),
        }
        if fields == self._warm:
            return
        self._give_up()  # nobody looks there any more
        self._warm = fields
        self._ask(lambda: self._client.request("features", **fields))

    def _camera_events(self) -> tuple[Any, Any]:
        # napari 0.9 moved the camera to the scene.
        viewer = self._session.viewer
        events = getattr(viewer, "scene", viewer).camera.events
        return events.zoom, events.center

    def _on_view_moved(self, _event: object = None) -> None:
        if self._training.interactive:
            self._view_rests.start()

    def _tell_view(self) -> None:
        fields = view_fields(self._session)
        if fields is not None and self._training.interactive:
            self._client.request("view", **fields)

    def _on_report(self, report: Any) -> None:
        if isinstance(report, FeaturesDone):
            self._end()

    def _on_failure(self, text: str) -> None:
        """Say nothing: what is wrong is said when the training is started."""
        self._warm = None

    def _on_preview(self, _number: int, report: Any) -> None:
        project = self._session.project
        if isinstance(report, TrainStarted):
            self._tell_view()  # it was moved, or another image shown, while the session got ready
        elif isinstance(report, InteractivePreview) and project is not None:
            self._reader.ask(project.root / report.path, report)

    def _on_mask(self, result: tuple[InteractivePreview, PredictedMask | None]) -> None:
        preview, mask = result
        if mask is None or preview.image_id != self._session.image_id:
            return
        fresh = self._session.prediction_layer() is None
        self._session.show_prediction(preview.image_id, mask, preview.region, preview.slice)
        layer = self._session.prediction_layer()
        if fresh and layer is not None:
            layer.opacity = self._predict.value().opacity


def view_fields(session: Session) -> dict[str, Any] | None:
    """Return what a request says about the view; None while there is no image.

    With the image out of view it is its upper left: no request is about a whole slide.
    """
    if session.image_id is None:
        return None
    region = session.visible_region()
    return {
        "image_id": session.image_id,
        "slice": list(session.slice_index()),
        "region": list(middle(region or (0, PREVIEW_SIDE, 0, PREVIEW_SIDE))),
    }
