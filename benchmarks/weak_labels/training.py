"""Train and score one cell, or take it over from the spectral study."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from data_sets import Source, score
from painting import painted, strokes
from plan import DATA, LENGTHS, RECIPES, WITH_SHORTCUT, Cell

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.reports import TrainStep
from napari_blockseg.learn.checkpoint import Model, load_model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.train import train

NETWORK = NetworkConfig(decoder_stride=4, shortcut=False)
SPECTRAL = Path(__file__).parent.parent / "results" / "spectral_study"


def train_config(cell: Cell, steps: int | None = None) -> TrainConfig:
    """Return how a cell is trained; only labels, recipe and seed differ within a data set."""
    data = DATA[cell.data]
    return TrainConfig(
        steps=steps or round(data.steps * LENGTHS.get(cell.recipe, 1.0)),
        seed=cell.seed,
        crop=data.crop,
        scale=data.scale,
        orientation=data.orientation,
        validation=False,
        device="cpu",
        checkpoint_seconds=3600,
        **RECIPES[cell.recipe],
    )


def network_config(cell: Cell) -> NetworkConfig:
    """Return the network that a cell trains."""
    return NETWORK.model_copy(update={"shortcut": cell.recipe in WITH_SHORTCUT})


def run_cell(cell: Cell, work: Path, steps: int | None = None) -> dict[str, Any]:
    """Train one cell, keep its model under `work`, and score it on the test images.

    Parameters
    ----------
    cell : Cell
        What to train.
    work : Path
        Folder for models.
    steps : int, optional
        Fewer than the plan's, to try the machinery out.
    """
    started = time.monotonic()
    classes = Source(DATA[cell.data], "train").classes
    config, folder = train_config(cell, steps), work / cell.name
    losses: list[float] = []
    cpu: list[float] = []

    def learn(images: list[TrainingImage], out: Path) -> Model:
        losses.clear()
        cpu.clear()
        for report in train(images, classes, network_config(cell), config, out=out):
            if isinstance(report, TrainStep) and report.loss is not None:
                losses.append(report.loss)
                cpu.append(time.process_time())
        (out / "resume.safetensors").unlink(missing_ok=True)
        return load_model(out, "cpu")

    images = painted(cell, learn, folder / "first")
    model = learn(images, folder / "model")
    tenth = max(1, len(losses) // 10)
    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in classes],
        "train": config.model_dump(mode="json"),
        "network": network_config(cell).model_dump(mode="json"),
        "labelled_blocks": sum(image.labels.n_labelled for image in images),
        "strokes": strokes(images, len(classes)),
        "blocks_of_class": [int(n) for n in sum(i.labels.counts(len(classes)) for i in images)[1:]],
        "losses": [round(loss, 4) for loss in losses],
        "loss_first_tenth": statistics.fmean(losses[:tenth]),
        "loss_last_tenth": statistics.fmean(losses[-tenth:]),
        "cpu_seconds_per_step": round((cpu[-1] - cpu[0]) / max(1, len(cpu) - 1), 4),
        "seconds_training": round(time.monotonic() - started, 1),
        "test": score(model, Source(DATA[cell.data], "test")),
        "seconds": round(time.monotonic() - started, 1),
    }


def adopted(cell: Cell) -> dict[str, Any] | None:
    """Return the spectral study's result of the same cell, if there is one.

    Its cells of dense masks on the full grid and of all blocks were trained with the same data,
    settings and seeds; they are taken only where every setting that is stored is the same.
    """
    kind = "dense_stride4" if cell.block == 1 else f"blocks_block{cell.block}"
    path = SPECTRAL / f"{cell.data}_{kind}_seed{cell.seed}.json"
    if cell.recipe != "block" or cell.choice != "all" or not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    same = TrainConfig(**found["train"]) == train_config(cell)
    if not same or NetworkConfig(**({"shortcut": False} | found["network"])) != NETWORK:
        return None
    kept = {key: value for key, value in found.items() if key not in ("losses", "owned_blocks")}
    images = painted(cell)
    return {
        **kept,
        "cell": cell.to_dict(),
        "strokes": strokes(images, len(found["classes"])),
        "adopted_from": f"{path.parent.name}/{path.name}",
    }
