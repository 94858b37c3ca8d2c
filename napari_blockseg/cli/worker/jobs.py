"""What the worker computes: trainings, predictions, analyses, as generators of messages."""

from __future__ import annotations

import copy
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_blockseg.cli.following import check_folder_is_free, stopped_report
from napari_blockseg.cli.loading import LabelWatch, ProjectImages, model_folders
from napari_blockseg.cli.worker.interactive import InteractiveDesk
from napari_blockseg.cli.worker.maskfile import PredictionFiles
from napari_blockseg.cli.worker.messages import (
    LIVE,
    Analyse,
    Features,
    Interactive,
    Look,
    Predict,
    Suggest,
    Train,
)
from napari_blockseg.cli.worker.scheduler import Steps
from napari_blockseg.core.errors import ImageError, ModelError
from napari_blockseg.core.normalize import image_limits
from napari_blockseg.core.reports import AnalysisDone, PredictDone, PreviewSource, SuggestDone

if TYPE_CHECKING:
    from pydantic import BaseModel

    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.checkpoint import Model
    from napari_blockseg.learn.engine import ReadyModel
    from napari_blockseg.learn.train import Training


_SMALL_BYTES = 2**28


class Workbench:
    """What stays between requests: the network in training, the last model, the last image."""

    def __init__(self) -> None:
        self._training: Training | None = None
        self._desk = InteractiveDesk(self._open)
        self._trained: Model | None = None
        #: Of the last interactive session: what previewed, and steps of the network behind.
        self._previewed: tuple[PreviewSource, int] | None = None
        self._trained_in: Path | None = None
        self._run = Path()
        self._project: tuple[Any, Project] | None = None
        self._model: tuple[Any, ReadyModel] | None = None
        self._image: tuple[Any, Any] | None = None
        self._limits: dict[Any, tuple[float, float]] = {}

    # -- training --------------------------------------------------------------------------------

    def train(self, request: Train) -> Steps:
        """Yield the messages of a training; closing saves it."""
        from napari_blockseg.learn.train import Training

        root = Path(request.project)
        self._training = self._trained = self._previewed = None
        self._trained_in = root
        self._project = None  # look again at which images are there
        project = self._open(root)
        images = ProjectImages(project)
        self._run = project.models_dir / request.run
        if not request.resume:
            check_folder_is_free(self._run)
        for notice in images.notices:
            yield notice.model_dump()
        watch = LabelWatch(images)
        self._training = Training(
            images,
            project.classes,
            request.network,
            request.train,
            out=self._run,
            resume=request.resume,
            changed_labels=watch.changed,
            known_models=model_folders(project),
        )
        try:
            with closing(self._training.turns()) as turns:
                for report in turns:
                    yield None if report is None else report.model_dump()
                    while watch.notices:
                        yield watch.notices.pop(0).model_dump()
        finally:
            self._end_training()

    def interactive(self, request: Interactive) -> Steps:
        """Yield the messages of an interactive session; closing saves it."""
        root = Path(request.project)
        self._trained, self._trained_in, self._project = None, root, None
        self._previewed = None
        self._run = self._open(root).models_dir / request.run
        check_folder_is_free(self._run)
        try:
            yield from self._desk.run(request, self._run)
        finally:
            self._end_interactive()

    def features(self, request: Features) -> Steps:
        """Yield turns until the features of a view are at hand."""
        yield from self._desk.features(request)

    def look(self, request: Look) -> None:
        """Tell the interactive session what is in view."""
        self._desk.look(request)

    def _end_interactive(self) -> None:
        """Keep what previewed for predictions."""
        if self._desk.session is not None:
            session, self._run = self._desk.session, self._desk.folder
            self._trained = session.live_model()
            if self._trained is not None:
                self._previewed = (session.source, session.steps)
        self._desk.end()

    def stopped_report(self) -> dict[str, Any]:
        """Return the message that ends a training that was stopped."""
        spec = self._trained.spec if self._trained is not None else None
        report = stopped_report(spec, self._run)
        if self._previewed is not None:
            source, steps = self._previewed
            report = report.model_copy(update={"source": source, "steps": steps})
        return report.model_dump()

    def _end_training(self) -> None:
        """Keep the network for predictions; give back the memory of the rest."""
        from napari_blockseg.learn.devices import free_memory

        if self._training is not None:
            self._trained, self._training = self._training.live_model(), None
            free_memory(self._trained.device)

    def _open(self, root: Path) -> Project:
        """Return the project, opened again only when it has changed: that looks at every image."""
        from napari_blockseg.files.project import Project

        path = root / "project.json"
        stat = path.stat() if path.exists() else None
        key = (root, stat and (stat.st_mtime_ns, stat.st_size))
        if self._project is None or self._project[0] != key:
            self._project = (key, Project.open(root))
        return self._project[1]

    # -- prediction ------------------------------------------------------------------------------

    def predict(self, request: Predict) -> Steps:
        """Yield the messages of a prediction; the mask is in place before the last one."""
        from napari_blockseg.learn.predict import predict_into

        start = time.monotonic()
        root = Path(request.project)
        project = self._open(root)
        # Before the image: what is wrong with a model is known at once.
        model = self._choose_model(project, request.model)
        pixels = self._plane(project, request.image_id, request.slice)
        ready = model.for_pixels(_n_pixels(pixels, request.region), request.config.engine)
        unsure = None
        if request.uncertainty:
            unsure = Path(request.out).with_suffix(".uncertainty.tif").as_posix()
        notes = {"image_id": request.image_id, "model": request.model, "region": request.region}
        with PredictionFiles(
            root / request.out, root / unsure if unsure else None, ready.spec.classes, notes
        ) as files:
            yield from _messages(
                predict_into(
                    files,
                    ready,
                    pixels,
                    request.config,
                    region=request.region,
                    uncertainty=request.uncertainty,
                    limits=self._limits_of(pixels, request, ready),
                )
            )
        done = PredictDone(
            path=request.out,
            region=request.region,
            seconds=time.monotonic() - start,
            classes=files.counts,
        )
        yield {**done.model_dump(), "uncertainty": unsure}

    # -- analysis --------------------------------------------------------------------------------

    def analyse(self, request: Analyse) -> Steps:
        """Yield the messages of an analysis; the file is in place before the last one."""
        from napari_blockseg.cli.truth import PaintedImages
        from napari_blockseg.core.analysis import save_analysis
        from napari_blockseg.learn.analysis import analyse
        from napari_blockseg.learn.checkpoint import load_spec, model_folder

        start = time.monotonic()
        project = self._open(Path(request.project))
        folder = model_folder(project.models_dir / request.model)
        images = PaintedImages(project, load_spec(folder).classes)
        for notice in images.notices:
            yield notice.model_dump()
        found = yield from _messages(
            analyse(folder, images, max_images=request.max_images, layers=request.layers)
        )
        path = save_analysis(folder, found)
        yield AnalysisDone(
            path=path.relative_to(project.root).as_posix(),
            seconds=time.monotonic() - start,
            recommended_stride=found.recommended_stride,
        ).model_dump()

    # -- suggestions -----------------------------------------------------------------------------

    def suggest(self, request: Suggest) -> Steps:
        """Yield the messages of a search for blocks to label; the last one holds them."""
        from napari_blockseg.cli.next_blocks import next_blocks

        start = time.monotonic()
        project = self._open(Path(request.project))
        model = self._choose_model(project, request.model)
        found = yield from _messages(
            next_blocks(model.for_pixels(0), project, request.count, request.method)
        )
        yield SuggestDone(
            block=project.block, seconds=time.monotonic() - start, suggestions=tuple(found)
        ).model_dump()

    # -- models and images -----------------------------------------------------------------------

    def _choose_model(self, project: Project, name: str) -> ReadyModel:
        """Return the model of a run, or a snapshot of the network in training."""
        from napari_blockseg.learn.checkpoint import load_model
        from napari_blockseg.learn.engine import ReadyModel

        if name == LIVE:
            return ReadyModel(self._snapshot(project.root), kept=False)
        folder = project.models_dir / name
        weights = folder / "model.safetensors"
        key = (folder, weights.stat().st_mtime_ns if weights.exists() else None)
        if self._model is None or self._model[0] != key:
            self._model = None  # never two of them in memory
            self._model = (key, ReadyModel(load_model(folder)))
        return self._model[1]

    def _snapshot(self, root: Path) -> Model:
        if self._training is not None and not self._training.begun:
            raise ModelError(
                "The network is being made ready for its first step, and has nothing to say yet. "
                "Ask again in a few seconds."
            )
        live = self._trained if self._training is None else self._training.live_model()
        if self._desk.session is not None:
            live = self._desk.session.live_model()
        if live is None or self._trained_in != root:
            raise ModelError(
                "There is no network in training to predict with. Start the training, or choose a "
                "finished run."
            )
        # Its own copy: training steps go on between the tiles, and in another mode.
        snapshot = copy.deepcopy(live)
        snapshot.network.eval()
        return snapshot

    def _plane(self, project: Project, image_id: str, index: tuple[int, ...]) -> Any:
        """Return the pixels (rows, cols, channels) of one slice; the last image stays open."""
        path = project.image_path(image_id)
        stat = path.stat() if path.exists() else None
        key = (path, stat and (stat.st_mtime_ns, stat.st_size))
        if self._image is None or self._image[0] != key:
            self._image, self._limits = None, {}
            pixels = project.open_image(image_id).pixels
            # Previews look at an image again and again: where that is cheap it stays in memory.
            small = pixels.size * pixels.dtype.itemsize <= _SMALL_BYTES
            self._image = (key, np.asarray(pixels) if small else pixels)
        pixels = self._image[1]
        leading = pixels.shape[:-3]
        inside = all(0 <= i < n for i, n in zip(index, leading, strict=False))
        if len(index) != len(leading) or not inside:
            raise ImageError(
                f"Got slice {list(index)} of image {image_id!r}; its leading axes have the sizes "
                f"{list(leading)}. Ask for one position on each."
            )
        return pixels[index]

    def _limits_of(self, pixels: Any, request: Predict, model: Model) -> tuple[float, float]:
        """Return the values that become 0 and 1; percentiles need all of a plane, but once."""
        spec = model.spec.normalization
        key = (request.slice, spec)
        if key not in self._limits:
            self._limits[key] = image_limits(pixels, spec)
        return self._limits[key]


def _messages(steps: Generator[BaseModel, None, Any]) -> Generator[dict[str, Any], None, Any]:
    """Yield a generator's reports as messages and return its result."""
    with closing(steps):
        while True:
            try:
                report = next(steps)
            except StopIteration as stop:
                return stop.value
            yield report.model_dump()


def _n_pixels(pixels: Any, region: tuple[int, int, int, int] | None) -> int:
    """Return how many pixels are to be predicted, roughly where the region is not all inside."""
    if region is None:
        return int(pixels.shape[0] * pixels.shape[1])
    return max(0, region[1] - region[0]) * max(0, region[3] - region[2])
