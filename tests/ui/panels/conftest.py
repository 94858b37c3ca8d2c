"""A session without a viewer window: what the panels see of the real one, in memory."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QObject, QTimer, Signal

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.errors import ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.predictions import PredictedMask
from napari_blockseg.ui.worker_client import WorkerClient
from napari_blockseg.ui.worker_messages import WorkerCommand

FAKE_WORKER = Path(__file__).parents[1] / "fake_worker.py"
CLASSES = make_classes(["sky", "road", "tree"])


class FakeSession(QObject):
    """Has the signals and the reading side of `ui.session.Session`."""

    project_opened = Signal()
    project_closed = Signal()
    image_changed = Signal(str)
    labels_changed = Signal(str)
    classes_changed = Signal()
    regridded = Signal(int)
    problem = Signal(str)

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.viewer = ViewerModel()
        self.classes = CLASSES
        self.block = 16
        self.image_id = "a"
        self.values = np.zeros((40, 40), np.uint8)
        self.others: dict[str, np.ndarray] = {}
        self.index: tuple[int, ...] = ()
        self.read: list[str] = []
        self.problems: list[str] = []
        self.shown: list[tuple] = []
        self.flushed = 0
        self.shapes = dict.fromkeys("abc", (640, 640))
        self.view = (0, 64, 0, 96)
        self.project = SimpleNamespace(
            root=root,
            models_dir=root / "models",
            predictions_dir=root / "predictions",
            cache_dir=root / "cache",
            image_ids=["a", "b", "c"],
            problems={"c": "moved"},
            new_run_name=lambda: "run-1",
            entry=lambda image_id: SimpleNamespace(spatial_shape=self.shapes[image_id]),
        )

    def labels(self, image_id: str | None = None) -> BlockLabels | None:
        return None if self.image_id is None else self._on_grid(self.values)

    def _on_grid(self, values: np.ndarray) -> BlockLabels:
        *leading, rows, cols = values.shape
        shape = (*leading, rows * self.block, cols * self.block)
        return BlockLabels(BlockGrid(shape, self.block), values)

    def read_labels(self, image_id, then, failed) -> None:
        """Answer later, as the disk thread does."""
        self.read.append(image_id)
        if image_id in self.others:
            QTimer.singleShot(1, lambda: then(self._on_grid(self.others[image_id])))
        else:
            QTimer.singleShot(1, lambda: failed(ProjectError(f"{image_id} cannot be read")))

    def paint(self, values: np.ndarray) -> None:
        self.values = values
        self.labels_changed.emit("a")

    def slice_index(self) -> tuple[int, ...]:
        return self.index

    def visible_region(self) -> tuple[int, int, int, int] | None:
        return self.view

    def flush(self, timeout: float = 30.0) -> bool:
        self.flushed += 1
        return True

    def show_prediction(self, image_id, mask, region=None, slice_index=()) -> None:
        mask = mask.in_values_of(self.classes) if isinstance(mask, PredictedMask) else mask
        self.shown.append((image_id, mask, region))

    def prediction_layer(self) -> None:
        return None

    def image_layer(self) -> None:
        return None

    def labels_layer(self, image_id: str | None = None) -> None:
        return None

    def set_image(self, image_id: str) -> None:
        self.image_id = image_id
        self.image_changed.emit(image_id)

    def report(self, error: BaseException) -> None:
        self.problems.append(str(error))


@pytest.fixture
def session(qtbot, tmp_path) -> FakeSession:
    return FakeSession(tmp_path)


@pytest.fixture
def blobs() -> np.ndarray:
    """Return a (40, 40) grid of three classes with smooth borders."""
    rows, cols = np.mgrid[:40, :40]
    return (1 + (rows + 6 * np.sin(cols / 6) > 15) + (rows > 28)).astype(np.uint8)


@pytest.fixture
def make_client(qtbot):
    """Return a maker of clients of the fake worker, each with its way to behave."""
    clients = []

    def make(how: str) -> WorkerClient:
        client = WorkerClient(WorkerCommand((sys.executable, str(FAKE_WORKER), how)))
        clients.append(client)
        return client

    yield make
    for client in clients:
        process = client._process
        client.close()
        if process is not None:
            process.waitForFinished(5000)
