"""The head of what is painted: fitted anew after strokes, to a part of many points at first."""

from __future__ import annotations

from collections.abc import Generator

from napari_blockseg.learn.interactive.features import FeatureMaker
from napari_blockseg.learn.interactive.head import (
    MAX_POINTS,
    QUICK_POINTS,
    Head,
    fit,
    fitting,
    measure_scaling,
)
from napari_blockseg.learn.interactive.painted import PaintedPlanes

_SCALING_TILES = 16


class FittedHead:
    """A head that follows what is gathered.

    A preview waits for :meth:`fit`, which looks at few points; :meth:`refine` takes in all of them,
    piece by piece, so that strokes come between.

    Parameters
    ----------
    painted : PaintedPlanes
        What there is to fit to.
    maker : FeatureMaker
        Where the features of whole tiles come from.

    Attributes
    ----------
    head : Head or None
        As it was fitted last.
    stale : bool
        Whether something was painted since; whoever gathers it says so.
    """

    def __init__(self, painted: PaintedPlanes, maker: FeatureMaker) -> None:
        self._painted, self._maker = painted, maker
        self._scaled_from = 0
        self._refining: Generator[None, None, Head] | None = None
        self.head: Head | None = None
        self.stale = True

    @property
    def can_refine(self) -> bool:
        """Whether there are points that the head has not looked at."""
        return self._refining is not None

    def fit(self) -> None:
        """Fit to a part of what is gathered, if it is of two classes."""
        self.stale, self._refining = False, None
        n_points = self._painted.n_points
        if not n_points:
            return
        sample = self._painted.sample(QUICK_POINTS)
        if int((sample.counts > 0).sum()) < 2:
            return
        places = self._painted.gathered()
        scaling, start = None if self.head is None else self.head.scaling, self.head
        # What is measured on few tiles is measured again once there are twice as many.
        if scaling is None or len(places) >= 2 * self._scaled_from:
            chosen = places[:: -(-len(places) // _SCALING_TILES)]
            tiles = [self._maker.get(self._painted.planes[name], tile) for name, tile in chosen]
            scaling, start, self._scaled_from = measure_scaling(tiles), None, len(places)
        self.head = fit(sample, scaling, start)
        if len(sample.classes) < n_points:
            self._refining = self._fit_to_all(self.head)

    def refine(self) -> bool:
        """Take a piece of the fit to all points; return whether that has made another head."""
        if self._refining is None:
            return False
        try:
            next(self._refining)
        except StopIteration as end:
            self.head, self._refining = end.value, None
            return True
        return False

    def _fit_to_all(self, start: Head) -> Generator[None, None, Head]:
        sample = self._painted.sample(MAX_POINTS)
        return (yield from fitting(sample, start.scaling, start))
