"""Interactive mode on a cell's labels: what previews after so many seconds of work.

All labels are there from the start, and the features of the training images are made before: the
product makes them while the user still chooses classes. Then the session of `learn.interactive`
works as it does in the product, head and network behind, by a clock that counts processor time: on
an idle core that is the time of the wall, and on a busy one the session is not cut short. What
would preview then, by its own choice on held-out blocks, is scored on the test images, and the
other one beside it.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from data_sets import Source, score, score_masks
from painting import painted, strokes
from plan import DATA, Cell
from training import train_config

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.reports import Notice, Validation
from napari_blockseg.learn.data import TrainingImage, WorkingGrid
from napari_blockseg.learn.interactive.features import PlaneFeatures
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.session import Interactive, Report
from napari_blockseg.learn.interactive.view import Preview, View, predict_view

NETWORK = NetworkConfig(decoder_stride=4)

Reports = Iterator[Report | None]


class WorkClock:
    """Seconds of processor time of this process, without those spent while it was stopped."""

    def __init__(self) -> None:
        self._apart = time.process_time()

    def __call__(self) -> float:
        """Return the seconds since it was made."""
        return time.process_time() - self._apart

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count what is done meanwhile."""
        start = time.process_time()
        yield
        self._apart += time.process_time() - start


class Painting:
    """Planes whose labels are all there at the first look; others can be looked at.

    Parameters
    ----------
    images : sequence of TrainingImage
        With their labels.
    """

    def __init__(self, images: Sequence[TrainingImage]) -> None:
        self._pixels = {image.image_id: image.pixels for image in images}
        self._news = {image.image_id: image.labels for image in images}

    def changed(self) -> Mapping[str, BlockLabels]:
        """Return all labels, once."""
        news, self._news = self._news, {}
        return news

    def pixels(self, name: str) -> Any:
        """Return the pixels of a plane."""
        return self._pixels[name]

    def identity(self, name: str) -> list[Any]:
        """Return what names a plane."""
        return [name]

    def show(self, name: str, pixels: Any) -> None:
        """Let a plane be looked at."""
        self._pixels[name] = pixels


class Work:
    """One session on a cell's labels, with the features of its images made.

    Parameters
    ----------
    cell : Cell
        Which labels, and how they are learned.
    folder : Path
        For its models.

    Attributes
    ----------
    cpu_seconds_features : float
        What the features took.
    """

    def __init__(self, cell: Cell, folder: Path) -> None:
        self.classes = Source(DATA[cell.data], "train").classes
        self.config = train_config(cell.other("block"))
        self.images = painted(cell)
        # Randomness is that of a process: weights of the decoder, flips and colors of crops.
        torch.manual_seed(cell.seed)
        channels, n_classes = self.images[0].pixels.shape[-1], len(self.classes)
        foundation = Foundation(NETWORK, self.config, channels, n_classes, None)
        self._maker = foundation.maker
        self._spec = Normalization.for_dtype(self.images[0].pixels.dtype)
        self._grid = WorkingGrid.for_scale(cell.block, self.config.working_scale(cell.block))
        self._source = Painting(self.images)
        start = time.process_time()
        for image in self.images:
            plane = self._plane(image.image_id, image.pixels)
            for tile in plane.tiles():
                self._maker.get(plane, tile)
        self.cpu_seconds_features = time.process_time() - start
        self.clock = WorkClock()
        self.session = Interactive(
            self._source,
            foundation,
            self.classes,
            cell.block,
            self.config,
            folder,
            View(self.images[0].image_id),
            clock=self.clock,
        )
        self.reports = self.session.reports()

    def preview(self, name: str, pixels: Any) -> Any:
        """Return what the session shows of an image."""
        self._source.show(name, pixels)
        self.session.look_at(View(name))
        for report in self.reports:
            if isinstance(report, Preview) and report.view.name == name:
                return report.mask
        raise RuntimeError("The session ended before its preview.")

    def by_head(self, name: str, pixels: Any) -> Any:
        """Return what the head says of an image, whoever previews."""
        if self.session.head is None:
            raise RuntimeError("There is no head yet.")
        region = 0, pixels.shape[0], 0, pixels.shape[1]
        plane = self._plane(name, pixels)
        return predict_view(self.session.head, self._maker, plane, region, self.classes)

    def _plane(self, name: str, pixels: Any) -> PlaneFeatures:
        return PlaneFeatures(self._source.identity(name), pixels, self._spec, self._grid)


def run_interactive(cell: Cell) -> dict[str, Any]:
    """Let a session work for the seconds of a cell, and score what it previews."""
    started, seconds = time.monotonic(), float(cell.recipe.split("_")[1])
    with tempfile.TemporaryDirectory() as folder:
        work = Work(cell, Path(folder))
        with closing(work.reports):
            said = _work(work.reports, work.clock, seconds)
            with work.clock.stopped():
                scores = _scores(work, Source(DATA[cell.data], "test"))
    classes, images = work.classes, work.images
    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in classes],
        "train": work.config.model_dump(mode="json"),
        "network": NETWORK.model_dump(mode="json"),
        "labelled_blocks": sum(image.labels.n_labelled for image in images),
        "strokes": strokes(images, len(classes)),
        "cpu_seconds_features": round(work.cpu_seconds_features, 2),
        **said,
        **scores,
        "seconds": round(time.monotonic() - started, 1),
    }


def _work(reports: Reports, clock: WorkClock, seconds: float) -> dict[str, Any]:
    """Let a session work until its time is up and there is a preview; return what it said."""
    first: float | None = None
    scored, said = [], []
    for report in reports:
        now = round(clock(), 2)
        if isinstance(report, Preview) and first is None:
            first = now
        elif isinstance(report, Validation):
            scored.append({"cpu_seconds": now, "step": report.step, **_held_out(report)})
        elif isinstance(report, Notice):
            said.append({"cpu_seconds": now, "message": report.message})
        if now >= seconds and first is not None:
            break
    return {
        "cpu_seconds_working": round(clock(), 2),
        "cpu_seconds_to_first_preview": first,
        "held_out": scored,
        "notices": said,
    }


def _held_out(report: Validation) -> dict[str, Any]:
    """Return whose preview follows, and the held-out mIoU of both."""
    scores = {"head": report.miou, "network": report.other_miou}
    if report.source == "network":
        scores = {"head": report.other_miou, "network": report.miou}
    return {"source": report.source, **scores}


def _scores(work: Work, test: Source) -> dict[str, Any]:
    """Score what previews on the test images, as previews; and the other one."""
    session, numbers = work.session, itertools.count()

    def named(see: Callable[[str, Any], Any]) -> Callable[[Any], Any]:
        return lambda pixels: see(f"test {next(numbers)}", pixels)

    steps, model, shown = session.steps, session.network_model(), session.source
    found = {"steps": steps, "source": shown, "test": score_masks(named(work.preview), test)}
    if shown == "network":
        return found | {"test_head": score_masks(named(work.by_head), test)}
    return found if model is None else found | {"test_network": score(model, test)}
