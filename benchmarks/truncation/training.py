"""Train and score one cell."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

from data_sets import Source, score
from plan import BATCH, DATA, SOFT, VARIANTS, Cell

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import TrainStep
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.train import train


def run_cell(cell: Cell, work: Path) -> dict[str, Any]:
    """Train one cell on dense masks, keep its model under `work`, score it on the test images."""
    started = time.monotonic()
    source = Source(DATA[cell.data], "train")
    images = [
        TrainingImage(stem, pixels, BlockLabels.from_mask(mask, 1, len(source.classes)))
        for stem, pixels, mask in source.pairs()
    ]
    config, network = (
        train_config(cell),
        NetworkConfig(**{"shortcut": False, **VARIANTS[cell.variant].network}),
    )
    folder = work / cell.name / "model"
    losses, steps = [], []
    for report in train(images, source.classes, network, config, out=folder):
        if isinstance(report, TrainStep) and report.loss is not None:
            losses.append(report.loss)
            steps.append(time.process_time())
    (folder / "resume.safetensors").unlink(missing_ok=True)
    tenth = max(1, len(losses) // 10)
    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in source.classes],
        "train": config.model_dump(mode="json"),
        "network": network.model_dump(mode="json"),
        "images": len(images),
        "loss_first_tenth": statistics.fmean(losses[:tenth]),
        "loss_last_tenth": statistics.fmean(losses[-tenth:]),
        "cpu_seconds_per_step": round((steps[-1] - steps[0]) / (len(steps) - 1), 4),
        "seconds_training": round(time.monotonic() - started, 1),
        "test": score(load_model(folder, "cpu"), Source(DATA[cell.data], "test")),
        "seconds": round(time.monotonic() - started, 1),
    }


def train_config(cell: Cell) -> TrainConfig:
    """Return how a cell is trained; an input at half scale has crops of the same content."""
    data, variant = DATA[cell.data], VARIANTS[cell.variant]
    # Crops are multiples of 32: a halved one is rounded up, which gives it a little more context.
    crop = -(-round(data.crop * variant.scale) // 32) * 32
    return TrainConfig(
        steps=data.steps,
        seed=cell.seed,
        batch_size=BATCH[cell.data],
        crop=crop,
        scale=data.scale * variant.scale,
        orientation=data.orientation,
        loss="soft" if cell.variant in SOFT else "block",
        validation=False,
        device="cpu",
        checkpoint_seconds=3600,
    )
