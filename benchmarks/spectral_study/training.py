"""Train and score one cell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from data_sets import Source, score
from plan import DATA, Cell

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import TrainStep
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.train import train


def run_cell(cell: Cell, work: Path) -> dict[str, Any]:
    """Train one cell, keep its model under `work`, and score it on the test images."""
    data = DATA[cell.data]
    started = time.monotonic()
    source = Source(data, "train")
    images = [
        TrainingImage(stem, pixels, BlockLabels.from_mask(mask, cell.block, len(source.classes)))
        for stem, pixels, mask in source.pairs()
    ]
    config = TrainConfig(
        steps=data.steps,
        seed=cell.seed,
        crop=data.crop,
        scale=data.scale,
        orientation=data.orientation,
        validation=False,
        device="cpu",
        checkpoint_seconds=3600,
    )
    network = NetworkConfig(decoder_stride=cell.decoder_stride, shortcut=False)
    folder = work / cell.name / "model"
    losses = _train(images, source.classes, network, config, folder)
    trained = time.monotonic() - started
    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in source.classes],
        "train": config.model_dump(mode="json"),
        "network": network.model_dump(mode="json"),
        "images": len(images),
        "labelled_blocks": sum(image.labels.n_labelled for image in images),
        "owned_blocks": [
            int(n) for n in sum(i.labels.counts(len(source.classes)) for i in images)[1:]
        ],
        "loss_first_tenth": sum(losses[: len(losses) // 10]) / (len(losses) // 10),
        "loss_last_tenth": sum(losses[-(len(losses) // 10) :]) / (len(losses) // 10),
        "seconds_training": round(trained, 1),
        "test": score(load_model(folder, "cpu"), Source(data, "test")),
        "seconds": round(time.monotonic() - started, 1),
    }


def _train(
    images: list[TrainingImage], classes: Any, network: Any, config: TrainConfig, folder: Path
) -> list[float]:
    """Train; the weights of the start and of a tenth of the way are kept by training itself."""
    reports = train(images, classes, network, config, out=folder)
    losses = [r.loss for r in reports if isinstance(r, TrainStep) and r.loss is not None]
    (folder / "resume.safetensors").unlink(missing_ok=True)
    return losses
