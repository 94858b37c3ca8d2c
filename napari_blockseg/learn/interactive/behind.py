"""The network behind the head: when it learns, how both score, which of them previews."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice, PreviewSource, TrainStep, Validation
from napari_blockseg.learn.checkpoint import Model, save_model
from napari_blockseg.learn.data import TrainingImage, WorkingGrid
from napari_blockseg.learn.interactive.background import Background
from napari_blockseg.learn.interactive.carrying import FROM_HEAD, Learned
from napari_blockseg.learn.interactive.features import LRG
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.head import MAX_POINTS, QUICK_POINTS, Head, fitting
from napari_blockseg.learn.interactive.headmodel import HeadModels
from napari_blockseg.learn.interactive.painted import PaintedPlanes
from napari_blockseg.learn.interactive.scoring import (
    Lead,
    Score,
    Window,
    block_numbers,
    choose_windows,
    fingerprint,
    largest,
    lead_of,
    network_says,
    score,
)
from napari_blockseg.learn.interactive.worktime import Clock
from napari_blockseg.learn.metrics_log import MetricsLog

#: Folder of the network's last weights, in the model's: a model of its own.
LAST = "last"

#: Scores are renewed after this long, and after ten times what scoring took.
_SCORE_SECONDS = 10.0
_SCORE_PATIENCE = 10.0
#: Held-out mIoU by which the other one has to be ahead: scores of few blocks waver, and a preview
#: that changes hands at every score is worse than one that is a little behind.
LEAD = 0.01

Note = Callable[[str, str], None]


class Behind:
    """A network that learns from what is painted, and its contest with the head.

    Parameters
    ----------
    foundation : Foundation
        The network to begin with.
    painted : PaintedPlanes
        What there is to learn from.
    classes : sequence of ClassInfo
        The classes.
    grid : WorkingGrid
        The working scale.
    config : TrainConfig
        How it learns.
    out : Path
        Folder of what previews: the head, or the network's best weights by held-out IoU; and in
        ``last`` the network's last ones.
    note : callable
        Takes (message, level) for what the user should know.
    clock : callable
        Gives the seconds of work that the models name, and by which saves and scores are due.
    learned : Learned, optional
        The network to go on with, in place of the foundation's.

    Attributes
    ----------
    source : {"interactive", "network"}
        Which one previews: the better one on held-out blocks, the head while nothing is known.
    """

    def __init__(
        self,
        foundation: Foundation,
        painted: PaintedPlanes,
        classes: Sequence[ClassInfo],
        grid: WorkingGrid,
        config: TrainConfig,
        out: Path,
        note: Note,
        clock: Clock = time.perf_counter,
        learned: Learned | None = None,
    ) -> None:
        self._foundation, self._painted, self._classes = foundation, painted, tuple(classes)
        self._learned = learned
        self._config, self._out, self._note, self._clock = config, out, note, clock
        self._per_block = max(1, round(grid.side / grid.split / LRG)) ** 2
        self._network: Background | None = None
        self._unread: dict[str, None] = {}
        self._scores: dict[PreviewSource, Score] = {}
        self._lead = Lead()
        self._teacher: Head | None = None
        self.source: PreviewSource = "interactive"
        self._heads = HeadModels(foundation, painted, classes, config)
        self._best: float | None = None
        self._best_on: object = None
        self._log: MetricsLog | None = None
        self._unlogged: list[TrainStep | Validation | Notice] = []
        self._cannot_save = False
        self._started = self._scored = self._saved = clock()
        self._patience = _SCORE_SECONDS

    @property
    def steps(self) -> int:
        """Steps that the network has taken."""
        return self._network.step if self._network is not None else 0

    @property
    def best(self) -> float | None:
        """Held-out mIoU of the network whose weights were kept, None before any were.

        It is forgotten when what is held out changes: another score is not above or below it.
        """
        return self._best

    def shown(self, head: Head | None) -> Model | None:
        """Return the model that previews, None before there is one."""
        if self.source == "network":
            return self.model()
        return None if head is None else self._head_model(head)

    def _head_model(self, head: Head) -> Model:
        score = self._scores.get("interactive")
        miou, iou = (None, {}) if score is None else (score.miou, score.iou)
        return self._heads.model(head, miou, iou, self._clock() - self._started)

    def model(self) -> Model | None:
        """Return the network as it is now, None before it has learned anything."""
        if self._network is None or not self.steps:
            return None
        return self._network.model(self._best, self._clock() - self._started)

    def rename(self, classes: Sequence[ClassInfo]) -> None:
        """Give the classes other names or colors, in what is saved from now on."""
        self._classes = tuple(classes)
        names = [info.name for info in classes]
        for source, one in self._scores.items():
            iou = dict(zip(names, one.iou.values(), strict=True))
            self._scores[source] = Score(one.miou, iou)
        self._heads.rename(classes)
        if self._network is not None:
            self._network.rename(classes)

    def take(self, name: str) -> None:
        """Take notice that the labels of a plane changed."""
        self._unread[name] = None

    def learn(self, head: Head | None) -> TrainStep | None:
        """Take a piece of a step; the report comes with the last piece."""
        if self._unread:
            self._teacher = None
        network = self._prepared()
        if not network.can_learn:
            return None
        start = self._clock()
        loss = network.learn(self._teacher_of(head))
        if start - self._saved > self._config.checkpoint_seconds:
            self._try_to_save(lambda: self.save(head))
        if loss is None:
            return None
        step = TrainStep(
            step=network.step,
            steps=None,
            loss=loss,
            learning_rate=network.learning_rate,
            seconds=self._clock() - start,
            progress=0.0,
        )
        self._unlogged.append(step)
        return step

    def _teacher_of(self, head: Head | None) -> Head | None:
        """Return whom the network learns from at first: a head that has not seen what is held out.

        Otherwise the network would know of it, and its score were too good.
        """
        if head is None or self.steps >= FROM_HEAD:
            return None
        if self._teacher is None:
            self._teacher = _finished(self._blind(head, QUICK_POINTS)) or head
        return self._teacher

    def _prepared(self) -> Background:
        """Return the network with the present labels; made when it is first asked for."""
        names = list(self._unread)
        if self._network is None:
            self._network = Background(
                self._foundation.network,
                self._foundation.maker.encoder,
                self._images(),
                self._classes,
                self._foundation.config,
                self._config,
                self._note,
                self._learned,
            )
        elif any(name not in self._network.names for name in names):
            self._network.read(self._images(), self._note)
        elif names:
            self._network.update({name: self._training_labels(name) for name in names})
        # Not before: what could not be taken in now is with other labels.
        self._unread = {}
        return self._network

    def _images(self) -> list[TrainingImage]:
        return [
            TrainingImage(name, plane.pixels, self._training_labels(name))
            for name, plane in self._painted.planes.items()
        ]

    def _training_labels(self, name: str) -> BlockLabels:
        values = np.array([0, *(info.value for info in self._classes)], np.uint16)
        cells = self._painted.training_cells(name)
        return BlockLabels(self._painted.grids[name], values[cells + 1])

    # -- the contest -----------------------------------------------------------------------------

    def due_to_score(self) -> bool:
        """Whether the scores are too old."""
        return bool(self.steps) and self._clock() - self._scored > self._patience

    def score(self, head: Head) -> Iterator[Validation | Notice | None]:
        """Score head and network on the same blocks; the better one previews from now on."""
        start = self._scored = self._clock()
        model, step = self.model(), self.steps
        windows = choose_windows(self._painted.held_out())
        # Weights that do not know a class yet are no measure for those that do.
        scored_on = fingerprint(windows), tuple(self._painted.counts > 0)
        blind = (yield from self._blind(head, MAX_POINTS)) if model is not None else None
        if blind is None or model is None:
            return
        said = yield from network_says(model, windows)
        by_head = self._head_says(blind, windows)
        truth = np.concatenate([one.points.classes for one in windows])
        self._scores = {
            "interactive": score(truth, by_head, self._classes, self._per_block),
            "network": score(truth, said, self._classes, self._per_block),
        }
        blocks = block_numbers(windows)
        n_classes = len(self._classes)
        self._lead = lead_of(said, by_head, truth, n_classes, blocks, self._per_block)
        self._patience = max(_SCORE_SECONDS, _SCORE_PATIENCE * (self._clock() - start))
        if scored_on != self._best_on:
            self._best, self._best_on = None, scored_on
        for report in self._choose(step):
            self._unlogged.append(report)
            yield report

    def _blind(self, head: Head, most: int) -> Generator[None, None, Head | None]:
        """Fit a head that has not seen what is held out; None where nothing, or all, is."""
        if not self._painted.held_out():
            return None
        sample = self._painted.sample(most, blind=True)
        if int((sample.counts > 0).sum()) < 2:
            return None
        return (yield from fitting(sample, head.scaling, head))

    def _head_says(self, head: Head, windows: Sequence[Window]) -> NDArray[np.int64]:
        return np.concatenate([largest(head.at(one.points.features)) for one in windows])

    def _choose(self, step: int) -> Iterator[Validation | Notice]:
        network, head = self._scores["network"], self._scores["interactive"]
        better = self._better()
        shown, other = (network, head) if better == "network" else (head, network)
        yield Validation(
            step=step,
            miou=shown.miou,
            iou=shown.iou,
            pixel_accuracy=None,
            source=better,
            other_miou=other.miou,
        )
        takes_over = better == "network" and self.source != "network"
        better_than_ever = self._best is None or (network.miou or 0.0) >= self._best
        is_best = better == "network" and (takes_over or better_than_ever)
        if is_best and self._try_to_save(lambda: self._write(self._out, network.miou, network.iou)):
            self._best = network.miou
        if better != self.source:
            self.source = better
            mine, its = (f"{100 * (one.miou or 0):.0f} %" for one in (network, head))
            who = "The network" if better == "network" else "The quick head"
            yield Notice(
                message=f"{who} previews from now on: held-out mIoU of the network {mine}, of the "
                f"quick head {its}."
            )

    def _better(self) -> PreviewSource:
        """Return who previews: the one that does, unless the other one is clearly ahead."""
        if abs(self._lead.mean) <= LEAD or not self._lead.sure:
            return self.source
        return "network" if self._lead.mean > 0 else "interactive"

    # -- saving ----------------------------------------------------------------------------------

    def save(self, head: Head | None) -> None:
        """Save what previews (of the network, its best weights are saved), the last ones, the log.

        Parameters
        ----------
        head : Head or None
            The present one.

        Raises
        ------
        OSError
            If the disk does not take it; what is there stays whole.
        """
        self._saved = self._clock()
        if self.source == "interactive" and head is not None:
            model = self._head_model(head)
            save_model(self._out, model.spec, model.network.state_dict())
        if not self.steps:
            return
        self._write(self._out / LAST, None, {})
        self._log = self._log or MetricsLog(self._out, 0)
        for report in self._unlogged:
            self._log.add(report)
        self._unlogged = []
        self._log.flush()

    def save_at_end(self, head: Head | None) -> None:
        """Save for the last time.

        Raises
        ------
        ModelError
            If the disk does not take it.
        """
        try:
            self.save(head)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{self._out} could not be saved: {error}. It is as it was saved before, if it "
                "was. Make room on the disk, or see whether it can be written, and train again."
            ) from error

    def _try_to_save(self, save: Callable[[], None]) -> bool:
        """Save something; a disk that does not take it is said, and the session goes on."""
        try:
            save()
        except (OSError, SafetensorError) as error:
            if not self._cannot_save:
                self._note(
                    f"{self._out} could not be saved: {error}. What was saved before is kept, and "
                    "it is tried again. Make room on the disk, or see whether it can be written.",
                    "warning",
                )
            self._cannot_save = True
            return False
        self._cannot_save = False
        return True

    def _write(self, folder: Path, miou: float | None, iou: dict[str, float | None]) -> None:
        if self._network is not None:
            self._network.save(folder, miou, iou, self._clock() - self._started)


def _finished(steps: Generator[None, None, Head | None]) -> Head | None:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            head: Head | None = end.value
            return head
