"""Interactive mode as one endless generator: strokes in, previews out, a network behind them."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice, PreviewSource, TrainStarted, TrainStep, Validation
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.data import WorkingGrid, check_labels_fit, class_lookup
from napari_blockseg.learn.devices import is_out_of_memory
from napari_blockseg.learn.interactive.behind import Behind
from napari_blockseg.learn.interactive.carrying import Learned
from napari_blockseg.learn.interactive.features import Index, PlaneFeatures
from napari_blockseg.learn.interactive.fitted import FittedHead
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.head import Head
from napari_blockseg.learn.interactive.painted import PaintedPlanes
from napari_blockseg.learn.interactive.planes import Images, Planes
from napari_blockseg.learn.interactive.saying import Notices, train_started
from napari_blockseg.learn.interactive.view import (
    Drawing,
    Mask,
    Preview,
    Region,
    View,
    clipped,
    network_view,
    predict_view,
    view_tiles,
)
from napari_blockseg.learn.interactive.worktime import Clock, WorkTime

Report = Notice | TrainStarted | TrainStep | Validation | Preview

_IDLE_SECONDS = 0.05
#: A network that previews shows itself again after this long, and ten times what it took: it has
#: to learn between.
_SHOW_SECONDS = 5.0
_SHOW_PATIENCE = 10.0


class Source(Images, Protocol):
    """Where planes and their labels come from; they may change at any time."""

    def changed(self) -> Mapping[str, BlockLabels]:
        """Return labels, by plane, that changed since the last call; at first all there are."""


class Interactive:
    """One session: :meth:`reports` goes on until it is closed.

    Parameters
    ----------
    source : Source
        Images and labels.
    foundation : Foundation
        Network and features.
    classes : sequence of ClassInfo
        The classes.
    block : int
        Block size, in pixels.
    config : TrainConfig
        How the network behind learns.
    out : Path
        Folder of its model; see :class:`napari_blockseg.learn.interactive.behind.Behind`.
    view : View or None
        What is in view.
    full : bool
        Whether the whole network learns behind the head.
    clock : callable
        Gives the seconds by which things are due and take; that of the wall, or a simulated one.
    learned : Learned, optional
        A network that goes on learning, in place of the foundation's.
    """

    def __init__(
        self,
        source: Source,
        foundation: Foundation,
        classes: Sequence[ClassInfo],
        block: int,
        config: TrainConfig,
        out: Path,
        view: View | None = None,
        full: bool = True,
        clock: Clock = time.perf_counter,
        learned: Learned | None = None,
    ) -> None:
        self._source, self._foundation, self._classes = source, foundation, tuple(classes)
        self._grid = WorkingGrid.for_scale(block, config.working_scale(block))
        self._lookup = class_lookup(classes)
        self._notices = Notices()
        self._maker = foundation.maker
        self._painted = PaintedPlanes(self._maker, len(self._classes), config.seed)
        self._full, self._clock, self._work = full, clock, WorkTime(clock)
        note = self._notices.note
        self._behind = Behind(
            *(foundation, self._painted, classes, self._grid, config, Path(out), note, self._work),
            learned,
        )
        self._halted = False
        self._labels: dict[str, BlockLabels] = {}
        n_channels = foundation.maker.encoder.encoder.n_channels
        self._planes = Planes(source, n_channels, self._grid)
        self._view = view
        self._fitted = FittedHead(self._painted, self._maker)
        self._scoring: Iterator[Validation | Notice | None] | None = None
        self._asked: float | None = None
        self._shown, self._show_patience = clock(), _SHOW_SECONDS

    # -- what a caller does between two reports --------------------------------------------------

    def look_at(self, view: View) -> None:
        """Preview another view from now on."""
        if view != self._view:
            self._view = view
            # Strokes may wait for a preview already: it is of this view then.
            self._asked = self._clock() if self._asked is None else self._asked
            self._planes.forget_all_but({*self._painted.planes, view.name})

    def rename(self, classes: Sequence[ClassInfo]) -> None:
        """Give the classes other names or colors from now on; their values stay the same."""
        self._classes = tuple(classes)
        self._behind.rename(classes)

    @property
    def view(self) -> View | None:
        """What is previewed."""
        return self._view

    @property
    def source(self) -> PreviewSource:
        """Which one previews."""
        return self._behind.source

    @property
    def head(self) -> Head | None:
        """The head as it was fitted last, None before the first time."""
        return self._fitted.head

    def live_model(self) -> Model | None:
        """Return what previews as a model, None before anything can; it changes with time."""
        return self._behind.shown(self.head)

    def network_model(self) -> Model | None:
        """Return the network behind as it is now, None before it has learned anything."""
        return self._behind.model()

    @property
    def steps(self) -> int:
        """Steps that the network has taken."""
        return self._behind.steps

    @property
    def best(self) -> float | None:
        """Held-out mIoU of the network whose weights were kept, None before any were."""
        return self._behind.best

    def reports(self) -> Generator[Report | None, None, None]:
        """Preview, learn, follow the labels; closing saves.

        Yields
        ------
        Report or None
            TrainStarted first; a Preview after every change of labels or view; TrainStep and
            Validation of the network; None where there is nothing to say.
        """
        with closing(self._turns()) as turns:
            while True:
                with self._work.running():
                    report = next(turns)
                yield report

    # -- one turn --------------------------------------------------------------------------------

    def _turns(self) -> Generator[Report | None, None, None]:
        try:
            self._take_labels()
            yield train_started(self._painted, self._foundation, self._grid)
            while True:
                self._take_labels()
                while self._notices.waiting:
                    yield self._notices.waiting.pop(0)
                yield from self._turn()
        except GeneratorExit:
            self._behind.save_at_end(self.head)
            raise
        except BaseException:
            with suppress(BlockSegError):  # what has ended it is what should be known
                self._behind.save_at_end(self.head)
            raise

    def _turn(self) -> Iterator[Report | None]:
        """Do what is most urgent."""
        behind = self._behind
        if not self._can_fit():
            yield from self._get_ready()
        elif self._asked is not None:
            yield from self._answer()
        elif self._painted.open:
            # Labels of other images: a tile at a time, and the head learns from it.
            self._gather(self._painted.open[0])
            yield None
        elif self._fitted.stale:
            self._fitted.fit()
            self._asked = self._clock() if behind.source == "interactive" else None
            yield None
        elif self._fitted.can_refine:
            if self._fitted.refine() and behind.source == "interactive":
                self._asked = self._clock()
            yield None
        elif self.head is None or not self._full or self._halted:
            time.sleep(_IDLE_SECONDS)
            yield None
        elif self._scoring is not None or behind.due_to_score():
            yield self._score(self.head)
        elif behind.source == "network" and self._show_is_due():
            self._asked = self._clock()
            yield None
        else:
            yield self._learn()

    def _show_is_due(self) -> bool:
        return self._clock() - self._shown > self._show_patience

    def _get_ready(self) -> Iterator[None]:
        """Before there are strokes enough, make the features of what is in view."""
        plane, region = self._in_view()
        missing = [] if plane is None else self._missing(plane, region)
        if plane is not None and missing:
            self._see(plane, missing[0])
        else:
            time.sleep(_IDLE_SECONDS)
        yield None

    def _answer(self) -> Iterator[Preview | None]:
        """Preview the view from the present labels; begin again where the view changes."""
        asked, view, began = self._asked, self._view, self._work()
        plane, region = self._in_view()
        self._asked = None
        if plane is None or view is None or asked is None:
            return
        source = self._behind.source
        mask = yield from self._following(view, self._draw(view, plane, region))
        # Strokes that came on the way: the head has seen them, the network has to learn first.
        self._asked = None
        if mask is not None:
            self._shown = self._clock()
            if source == "network":
                took = self._work() - began
                self._show_patience = max(_SHOW_SECONDS, _SHOW_PATIENCE * took)
            yield Preview(view, region, mask, source, self._shown - asked)
        elif self._view is not None and self._view != view:
            self._asked = asked

    def _following(self, view: View, drawing: Drawing) -> Drawing:
        """Go on with a preview while its view is looked at; strokes are taken in on the way."""
        while True:
            try:
                next(drawing)
            except StopIteration as end:
                mask: Mask | None = end.value
                return mask
            except BlockSegError as error:
                self._notices.say(str(error), "warning")
                self._view = None
                return None
            yield None
            self._take_labels()
            if self._view != view:
                return None

    def _draw(self, view: View, plane: PlaneFeatures, region: Region) -> Drawing:
        """Return the mask of a view, None where it cannot be; yields before what takes long.

        The head is fitted after all that: it knows of strokes that came on the way, and who paints
        on and on waits no longer for a preview.
        """
        if self._behind.source == "network":
            model = self.live_model()
            return None if model is None else (yield from network_view(model, plane, region))
        for tile in self._missing(plane, region):
            yield None
            if not self._see(plane, tile):
                return None
        for place in self._open_in(view):
            if not self._maker.has(plane, place[1]):
                yield None
            if place in self._painted.open:
                self._gather(place)
        for place in self._open_in(view):
            self._gather(place)
        if self._fitted.stale:
            self._fitted.fit()
        if self.head is None or not self._can_fit():
            return None
        return predict_view(self.head, self._maker, plane, region, self._classes)

    def _open_in(self, view: View) -> list[tuple[str, Index]]:
        """Return the tiles of the plane in view whose labels are not gathered yet."""
        return [place for place in self._painted.open if place[0] == view.name]

    def _score(self, head: Head) -> Report | None:
        """Score a piece of what is held out: strokes come between."""
        before = self._behind.source
        self._scoring = self._scoring or self._behind.score(head)
        try:
            report = next(self._scoring)
        except StopIteration:
            self._scoring, report = None, None
        if self._behind.source != before:
            self._asked = self._clock()
        return report

    def _learn(self) -> TrainStep | None:
        """Take a piece of a step of the network; where it cannot be, the head goes on alone."""
        try:
            return self._behind.learn(self.head)
        except BlockSegError as error:
            self._halted = True  # other labels may be what it takes
            self._notices.say(
                f"{error} The network behind has stopped; it tries again after the next change of "
                "labels.",
                "warning",
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._full = False
            self._notices.say(
                "Out of memory: the network behind stops, the quick head goes on.", "warning"
            )
        return None

    # -- the head --------------------------------------------------------------------------------

    def _can_fit(self) -> bool:
        return int((self._painted.counts > 0).sum()) >= 2

    def _gather(self, place: tuple[str, Index]) -> None:
        self._notices.attempt(lambda: self._painted.gather(place))
        self._fitted.stale = True

    def _missing(self, plane: PlaneFeatures, region: Region) -> list[Index]:
        """Return the tiles in view without features in memory."""
        return [tile for tile in view_tiles(plane, region) if not self._maker.has(plane, tile)]

    def _see(self, plane: PlaneFeatures, tile: Index) -> bool:
        """Make the features of a tile in view; where it cannot be, look at nothing."""
        found = self._notices.attempt(lambda: self._maker.get(plane, tile))
        if found is None:
            self._view = None
        return found is not None

    # -- labels and images -----------------------------------------------------------------------

    def _take_labels(self) -> None:
        for name, labels in self._source.changed().items():
            old = self._labels.get(name)
            same = old is not None and np.array_equal(old.values, labels.values)
            if same or (old is None and not labels.values.any()):
                continue
            self._notices.attempt(lambda name=name, labels=labels: self._read_labels(name, labels))  # type: ignore[misc]

    def _read_labels(self, name: str, labels: BlockLabels) -> None:
        plane = self._planes.get(name)
        check_labels_fit(name, labels, plane.pixels)
        self._labels[name] = labels
        before = self._asked if self._can_fit() else None
        for other in self._painted.update(name, plane, labels.grid, self._lookup[labels.values]):
            self._behind.take(other)
        self._halted = False
        self._fitted.stale = True
        self._asked = self._clock() if before is None else before
        if not self._can_fit():
            self._notices.say("Paint some blocks of at least two classes for a preview.")

    def _in_view(self) -> tuple[PlaneFeatures | None, Region]:
        view = self._view
        plane = None if view is None else self._notices.attempt(lambda: self._planes.get(view.name))
        if view is None or plane is None:
            self._view = None
            return None, (0, 0, 0, 0)
        return plane, clipped(view.region, plane.pixels.shape)
