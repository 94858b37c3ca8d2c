"""What a session has to say: how it began, and notices that wait for their turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.reports import Notice, TrainStarted
from napari_blockseg.learn.data import WorkingGrid
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.painted import PaintedPlanes


class Notices:
    """Notices in the order in which they came.

    Attributes
    ----------
    waiting : list of Notice
        Whoever passes them on takes them out.
    """

    def __init__(self) -> None:
        self.waiting: list[Notice] = []
        self._said: set[str] = set()

    def note(self, message: str, level: str = "info") -> None:
        """Say something, again if need be."""
        self.waiting.append(Notice.model_validate({"message": message, "level": level}))

    def say(self, message: str, level: str = "info") -> None:
        """Say something, once."""
        if message not in self._said:
            self._said.add(message)
            self.note(message, level)

    def attempt(self, work: Callable[[], Any]) -> Any:
        """Do something for one image; what is wrong with it is said, and None returned."""
        try:
            return work()
        except BlockSegError as error:
            self.say(str(error), "warning")
            return None


def train_started(
    painted: PaintedPlanes, foundation: Foundation, grid: WorkingGrid
) -> TrainStarted:
    """Return the report of a session that begins: there is no telling when it ends."""
    counts, held = int(painted.counts.sum()), painted.n_held_out
    return TrainStarted(
        steps=None,
        minutes=None,
        n_images=len(painted.planes),
        n_labelled_blocks=counts,
        n_train_blocks=counts - held,
        n_val_blocks=held,
        validation="superblocks" if held else "none",
        device=str(foundation.maker.encoder.device),
        scale=grid.scale,
        decoder_stride=foundation.network.decoder_stride,
    )
