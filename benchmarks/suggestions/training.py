"""Choose the blocks of one cell, train on them, and score the network."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

from data_sets import Source, score
from painting import Annotator, load_blocks, save_blocks
from plan import DATA, Cell

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.train import train

NETWORK = NetworkConfig(decoder_stride=4)
annotator = cache(Annotator)


def run_cell(cell: Cell, work: Path, steps: int | None = None) -> dict[str, Any]:
    """Train one cell, keep its labels and its model under `work`, and score it.

    Cells that it adds to are made again where `work` does not hold them.

    Parameters
    ----------
    cell : Cell
        What to train.
    work : Path
        Folder of labels and models.
    steps : int, optional
        Fewer than the plan's, to try the machinery out.
    """
    started = time.monotonic()
    known = _blocks(cell, work, steps)
    chosen = time.monotonic()
    _train(cell, known, work, steps)
    trained = time.monotonic()
    images = annotator(cell.data).images(known)
    classes = annotator(cell.data).classes
    counts = sum(image.labels.counts(len(classes)) for image in images)
    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in classes],
        "train": _config(cell, steps).model_dump(mode="json"),
        "network": NETWORK.model_dump(mode="json"),
        "labelable_blocks": annotator(cell.data).labelable,
        "blocks_of_class": [int(n) for n in counts[1:]],
        "images_with_labels": sum(bool(image.labels.n_labelled) for image in images),
        "test": score(
            load_model(work / cell.name / "model", "cpu"), Source(DATA[cell.data], "test")
        ),
        "seconds_choosing": round(chosen - started, 1),
        "seconds_training": round(trained - chosen, 1),
        "seconds": round(time.monotonic() - started, 1),
    }


def _blocks(cell: Cell, work: Path, steps: int | None) -> dict[str, Any]:
    """Return which blocks are labelled, and keep that."""
    path = work / cell.name / "blocks.npz"
    if path.exists():
        return load_blocks(path)
    before = cell.before
    if before is None or cell.choice == "random":
        known = annotator(cell.data).drawn(cell)
    else:
        if not (work / before.name / "done").exists():
            _train(before, _blocks(before, work, steps), work, steps)
        model = load_model(work / before.name / "model", "cpu")
        labelled = load_blocks(work / before.name / "blocks.npz")
        known = annotator(cell.data).chosen(cell, labelled, model)
    save_blocks(path, known)
    return known


def _train(cell: Cell, known: dict[str, Any], work: Path, steps: int | None) -> None:
    folder = work / cell.name
    if (folder / "done").exists():
        return
    source = annotator(cell.data)
    for _ in train(
        source.images(known), source.classes, NETWORK, _config(cell, steps), out=folder / "model"
    ):
        pass
    (folder / "model" / "resume.safetensors").unlink(missing_ok=True)
    (folder / "done").touch()


def _config(cell: Cell, steps: int | None) -> TrainConfig:
    data = DATA[cell.data]
    return TrainConfig(
        steps=steps or data.steps,
        seed=cell.seed,
        crop=data.crop,
        scale=data.scale,
        orientation=data.orientation,
        validation=False,
        keep_checkpoints=False,
        device="cpu",
        checkpoint_seconds=3600,
    )
