"""Choose the blocks of one cell, learn from them, and score what was learned."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from painting import Annotator, load_blocks, save_blocks
from plan import Cell

from napari_blockseg.core.chances import PlaneChances

annotator = cache(Annotator)


class Learner(Protocol):
    """What learns from blocks: :class:`heads.Heads` or :class:`networks.Networks`."""

    def learned(self, cell: Cell, known: dict[str, Any]) -> Any:
        """Return what a cell has learned from its labelled blocks."""

    def chances(self, learned: Any, known: dict[str, Any]) -> list[PlaneChances]:
        """Return what that says about the blocks of the training images."""

    def score(self, learned: Any) -> dict[str, Any]:
        """Return its scores on the test images."""

    def settings(self, seed: int) -> dict[str, Any]:
        """Return how it learns."""


@cache
def learner_of(kind: str, data: str, work: Path, steps: int | None) -> Learner:
    """Return the learner of a data set, the same one at every call."""
    if kind == "head":
        from heads import Heads

        return Heads(data, annotator(data), work)
    from networks import Networks

    return Networks(data, annotator(data), work, steps)


def run_cell(cell: Cell, work: Path, steps: int | None = None) -> dict[str, Any]:
    """Learn one cell, keep its labels under `work`, and score it.

    Cells that it adds to are made again where `work` does not hold them.

    Parameters
    ----------
    cell : Cell
        What to learn.
    work : Path
        Folder of labels, features and models.
    steps : int, optional
        Steps of a network, fewer than the plan's, to try the machinery out.
    """
    learner = learner_of(cell.learner, cell.data, work, steps)
    started, cpu = time.monotonic(), time.process_time()
    known = _blocks(cell, learner, work)
    chosen = time.process_time()
    learned = learner.learned(cell, known)
    trained = time.process_time()
    images = annotator(cell.data).images(known)
    classes = annotator(cell.data).classes
    counts = sum(image.labels.counts(len(classes)) for image in images)
    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in classes],
        **learner.settings(cell.seed),
        "labelable_blocks": annotator(cell.data).labelable,
        "blocks_of_class": [int(n) for n in counts[1:]],
        "images_with_labels": sum(bool(image.labels.n_labelled) for image in images),
        "test": learner.score(learned),
        "cpu_seconds_choosing": round(chosen - cpu, 1),
        "cpu_seconds_learning": round(trained - chosen, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def _blocks(cell: Cell, learner: Learner, work: Path) -> dict[str, Any]:
    """Return which blocks are labelled, and keep that."""
    path = work / cell.name / "blocks.npz"
    if path.exists():
        return load_blocks(path)
    before = cell.before
    if before is None or cell.choice == "random":
        known = annotator(cell.data).drawn(cell)
    else:
        labelled = _blocks(before, learner, work)
        planes = learner.chances(learner.learned(before, labelled), labelled)
        known = annotator(cell.data).chosen(cell, labelled, planes)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_blocks(path, known)
    return known
