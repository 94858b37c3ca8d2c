"""Cross-entropy by frequency of the kept networks, on the test images and their dense masks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data_sets import Source
from plan import DATA, Cell, cells
from safetensors.torch import load_file

from napari_blockseg.core.spectrum import LossSpectrumSum
from napari_blockseg.learn.checkpoint import Model, load_model
from napari_blockseg.learn.data import working_image

# Cutoffs: the Nyquist frequencies of these blocks, in image pixels, and the highest frequency.
CUTOFF_BLOCKS = (64, 32, 16, 8, 4, 2, 1)
MOMENTS = ("start", "early", "end")


def measure_losses(results: Path, work: Path) -> int:
    """Add ``losses`` to every cell whose model is kept under `work`."""
    for cell in cells():
        path = results / f"{cell.name}.json"
        folder = work / cell.name / "model"
        if not path.exists() or not folder.exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        if "losses" in found:
            continue
        found["losses"] = {moment: _measure(cell, folder, moment) for moment in MOMENTS}
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        end = found["losses"]["end"]
        sys.stdout.write(f"{cell.name}: CE {end['cross_entropy']:.3f}\n")
        sys.stdout.flush()
    return 0


def _measure(cell: Cell, folder: Path, moment: str) -> dict[str, Any]:
    model = load_model(folder, "cpu")
    if moment != "end":
        model.network.load_state_dict(load_file(folder / "checkpoints" / f"{moment}.safetensors"))
    cutoffs = 0.5 / np.array(CUTOFF_BLOCKS, float)
    total = LossSpectrumSum(cutoffs)
    for _, pixels, mask in Source(DATA[cell.data], "test").pairs():
        total.add(_logits(model, pixels), mask)
    loss = total.result()
    return {
        "blocks": list(CUTOFF_BLOCKS),
        "truncated": [round(float(x), 6) for x in loss.truncated],
        "cross_entropy": round(loss.cross_entropy, 6),
        "mean_term": round(loss.mean_term, 6),
        "discrepancy": [round(float(x), 6) for x in loss.discrepancy],
        "discrepancy_of_mean": [round(float(x), 6) for x in loss.discrepancy_of_mean],
    }


@torch.inference_mode()
def _logits(model: Model, pixels: Any) -> Any:
    """Return the logits (K, rows, cols) of a whole image at the image's own size."""
    rows, cols = pixels.shape[:2]
    image = working_image(pixels, model.spec.normalization, model.spec.grid).float()
    logits = model.network(image[None])
    grid = model.spec.grid
    full = torch.nn.functional.interpolate(
        logits,
        (round(image.shape[1] / grid.scale), round(image.shape[2] / grid.scale)),
        mode="bilinear",
        align_corners=False,
    )
    return full[0, :, :rows, :cols].numpy()
