"""Export of a run's predictions as label images, in a thread that can be stopped."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from superqt.utils import create_worker

from napari_blockseg.core.errors import ProjectError
from napari_blockseg.files.images import inspect_image
from napari_blockseg.files.masks import write_classes_json, write_mask
from napari_blockseg.files.predictions import read_prediction
from napari_blockseg.ui.panels.predict import LIVE

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.ui.panels.predict import PredictPanel
    from napari_blockseg.ui.session import Session

_MODEL_FILES = ("model.safetensors", "model.json")


def new_folder(parent: Path, name: str) -> Path:
    """Return a folder in `parent` that does not exist yet: `name`, `name-2`, ..."""
    candidate, number = parent / name, 1
    while candidate.exists():
        number += 1
        candidate = parent / f"{name}-{number}"
    return candidate


def export_masks(
    predictions: Path,
    images: dict[str, tuple[Path, str | None]],
    classes: Sequence[ClassInfo],
    out: Path,
    model: Path | None = None,
) -> Generator[tuple[int, int], None, list[str]]:
    """Write predictions as masks with their `classes.json`, and the model beside them.

    Parameters
    ----------
    predictions
        Folder of the run: one ``IMAGE_ID.tif`` of class values each.
    images
        Image id to the image's file and its given axes: a mask takes its kind and pixel size.
    classes
        The project's classes: the masks get their values. What a model predicted as a class that
        is none of them becomes unlabelled.
    out
        Folder to make.
    model
        Folder of the model to copy along.

    Yields
    ------
    tuple of int
        How many masks are written, of how many.

    Returns
    -------
    list of str
        Names of the classes of the model that are none of `classes`.

    Raises
    ------
    ProjectError
        If the run has no prediction of a whole image.
    """
    found = [(i, predictions / f"{i}.tif") for i in images if (predictions / f"{i}.tif").is_file()]
    if not found:
        raise ProjectError(
            f"There is no whole-image prediction in {predictions.name}. Press 'Whole image' or "
            "'All images' first."
        )
    gone: dict[str, None] = {}
    out.mkdir(parents=True)
    yield 0, len(found)
    for done, (image_id, path) in enumerate(found, start=1):
        like = inspect_image(*images[image_id])
        predicted = read_prediction(path, model)
        gone |= dict.fromkeys(predicted.missing_in(classes))
        write_mask(out / image_id, predicted.in_values_of(classes), classes, like)
        yield done, len(found)
    write_classes_json(out, classes)
    if model is not None and model.is_dir():
        (out / "model").mkdir()
        for name in _MODEL_FILES:
            shutil.copy2(model / name, out / "model" / name)
    return list(gone)


class Export(QObject):
    """Carries out the Predict panel's export, with progress and stop.

    Parameters
    ----------
    session
        The open project.
    panel
        Asks for the export and shows how it goes.
    parent
        Qt parent.
    """

    def __init__(
        self, session: Session, panel: PredictPanel, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._panel = session, panel
        self._worker: Any = None
        self._out = Path()
        self._failed = False
        self._gone: list[str] = []
        panel.export_requested.connect(self.start)
        panel.stop_requested.connect(self.stop)

    def start(self, folder: str) -> None:
        """Export the chosen run's predictions into a new folder in `folder`."""
        project, run = self._session.project, self._panel.value().model
        if project is None or self._worker is not None:
            return
        if run in ("", LIVE):
            self._panel.show_message("warning", "Choose a finished run to export.")
            return
        images = {
            entry.id: (project.image_path(entry.id), entry.given_axes)
            for entry in project.spec.images
            if entry.id not in project.problems
        }
        self._out = new_folder(Path(folder), f"{project.root.stem}-{run}")
        worker = create_worker(
            export_masks,
            project.predictions_dir / run,
            images,
            self._session.classes,
            self._out,
            project.models_dir / run,
        )
        worker.yielded.connect(self._on_progress)
        worker.returned.connect(self._on_returned)
        worker.errored.connect(self._on_error)
        worker.finished.connect(self._on_finished)
        self._panel.show_message("info", "")
        self._panel.show_busy(0.0, "Exporting…")
        self._worker = worker
        self._failed, self._gone = False, []
        worker.start()

    def stop(self) -> None:
        """End the export after the present mask."""
        if self._worker is not None:
            self._worker.quit()

    def _on_progress(self, progress: tuple[int, int]) -> None:
        done, total = progress
        self._panel.show_busy(done / total, f"Mask {done} of {total}")

    def _on_returned(self, gone: list[str] | None) -> None:
        self._gone = gone or []

    def _on_error(self, error: Exception) -> None:
        self._failed = True
        self._panel.show_message("error", str(error))

    def _on_finished(self) -> None:
        self._worker = None
        self._panel.show_idle()
        if not self._failed:
            self._panel.show_message("info", f"Exported to {self._out}{self._left_out()}")

    def _left_out(self) -> str:
        if not self._gone:
            return ""
        names = ", ".join(self._gone)
        return f". Unlabelled there, as the project no longer has the class: {names}."
