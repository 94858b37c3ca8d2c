"""What each loss and term costs beside a step of the network, in processor time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from camvid_blocks import machine
from plan import DATA
from training import NETWORK

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.learn.losses import ExtraTerms, Target, batch_loss, gated_crf
from napari_blockseg.nets.build import build_network

CLASSES, CROPS, SIDE = 11, 8, 8
ROUNDS = 5


def measure_cost(results: Path) -> int:
    """Write ``cost.json``: the least seconds of several rounds in turns, and shares of a step."""
    crop = DATA["camvid"].crop
    torch.manual_seed(0)
    network = build_network(NETWORK.model_copy(update={"weights": "none"}), CLASSES, 3)
    images = torch.rand(CROPS, 3, crop, crop)
    cells = torch.randint(CLASSES, (CROPS, crop // SIDE, crop // SIDE))
    cells[torch.rand(cells.shape) > 0.1] = -1
    targets = [Target(one, side=SIDE) for one in cells]
    logits = torch.randn(CROPS, CLASSES, crop, crop, requires_grad=True)
    weights = torch.ones(CLASSES)
    teacher = build_network(NETWORK.model_copy(update={"weights": "none"}), CLASSES, 3).eval()
    pseudo = ExtraTerms(TrainConfig(pseudo_labels=1.0), teacher)
    timed: dict[str, Callable[[], Any]] = {
        "network, forward and backward": lambda: network.train()(images).square().mean().backward(),
        **{
            f"loss {kind}": lambda kind=kind: batch_loss(logits, targets, weights, kind).backward()
            for kind in ("pixel", "block", "logits", "soft")
        },
        **{
            f"gated CRF on cells of {grid}": lambda grid=grid: gated_crf(
                logits, images, grid=grid
            ).backward()
            for grid in (1, 2, 4)
        },
        "pseudo-labels": lambda: pseudo(logits, images, targets, weights, 1.0).backward(),
    }
    least = dict.fromkeys(timed, float("inf"))
    for _ in range(ROUNDS):
        for name, work in timed.items():
            start = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - start)
    step = least["network, forward and backward"]
    found = {
        "what": f"{CROPS} crops of {crop}, {CLASSES} classes, a tenth of blocks of {SIDE} labelled",
        "cpu_seconds": {name: round(value, 4) for name, value in least.items()},
        "share_of_network": {name: round(value / step, 4) for name, value in least.items()},
        "command": "python benchmarks/weak_labels cost",
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "machine": machine(),
    }
    (results / "cost.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(found["share_of_network"], indent=1) + "\n")
    return 0
