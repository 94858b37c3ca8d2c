"""Spectra of the trained networks: of their loss, and of what their layers hold.

On test images that are evenly spread over the split, with their dense masks. Added to the cells
whose model is kept, as ``spectra``; cells that have it already are left alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data_sets import Source
from plan import DATA, VARIANTS, Cell, cells
from torch import Tensor

from napari_blockseg.core.spectrum import LossSpectrumSum
from napari_blockseg.learn.analysis.layers import LayerProbe, LayerSums, Seen
from napari_blockseg.learn.analysis.pieces import spread
from napari_blockseg.learn.checkpoint import Model, load_model
from napari_blockseg.learn.data import working_image
from napari_blockseg.nets.deeplabv3plus import LOW_LEVEL_STRIDE
from napari_blockseg.nets.network import MULTIPLE

MAX_IMAGES = 12
#: Cutoffs of the loss: the Nyquist frequencies of these blocks, in pixels of the image.
BLOCKS = (64, 32, 16, 8, 4, 2, 1)
#: Cutoffs of the features: the Nyquist frequencies of these cells, in pixels of the input that a
#: network at full input scale gets, so that the same frequencies are compared.
CELLS = (32, 16, 8)
#: Names of a probe's layers; DAN has no ASPP, a network without a decoder has it as its last one.
_LAST, _ASPP, _LOGITS = "fused features", "ASPP", "coarse logits"


def measure_spectra(results: Path, work: Path) -> int:
    """Add ``spectra`` to every cell whose model is kept under `work`."""
    for cell in cells():
        path, folder = results / f"{cell.name}.json", work / cell.name / "model"
        if not path.exists() or not folder.exists():
            continue
        found = json.loads(path.read_text(encoding="utf-8"))
        if "spectra" in found:
            continue
        start = time.process_time()
        found["spectra"] = _measure(cell, load_model(folder, "cpu"))
        found["spectra"]["cpu_seconds"] = round(time.process_time() - start, 1)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        entropy = found["spectra"]["loss"]["cross_entropy"]
        sys.stdout.write(f"{cell.name}: cross-entropy {entropy:.3f}\n")
        sys.stdout.flush()
    return 0


def _measure(cell: Cell, model: Model) -> dict[str, Any]:
    """Return the spectra of one network; the keys are explained where they are made."""
    pairs = list(Source(DATA[cell.data], "test").pairs())
    chosen = spread(len(pairs), MAX_IMAGES)
    # The same frequencies, whatever the scale of the input.
    strides = [round(side * VARIANTS[cell.variant].scale) for side in CELLS]
    loss = LossSpectrumSum(0.5 / np.array(BLOCKS, float))
    layers = LayerSums(0.5 / np.array(strides), model.spec.grid.scale, tolerance=0.05)
    probe = LayerProbe(model.network)
    for _, pixels, mask in (pairs[place] for place in chosen):
        image = working_image(pixels, model.spec.normalization, model.spec.grid).float()
        with torch.no_grad(), probe.listening() as seen:
            logits = model.network(image[None])
        # A head may have a branch beside it: what counts is what leaves the decoder.
        seen.append(Seen(_LOGITS, "head", probe.coarse))
        rows, cols = image.shape[-2:]
        layers.add(seen, (rows, cols), (_padded(rows), _padded(cols)))
        loss.add(_at_image_size(logits, model, mask.shape), mask)
    return {
        "images": len(chosen),
        "of": len(pairs),
        "loss": _loss_row(loss),
        "layers": _layer_rows(layers, strides, model),
    }


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


def _at_image_size(logits: Tensor, model: Model, shape: tuple[int, ...]) -> Any:
    """Return logits (K, rows, cols) at the image's own size."""
    scale = model.spec.grid.scale
    size = [round(length / scale) for length in logits.shape[-2:]]
    full = torch.nn.functional.interpolate(logits, size, mode="bilinear", align_corners=False)
    return full[0, :, : shape[0], : shape[1]].numpy()


def _loss_row(total: LossSpectrumSum) -> dict[str, Any]:
    """Return cross-entropy (nats a pixel), its part below each cutoff, and both discrepancies.

    ``discrepancy`` is R: divided by the loss; ``discrepancy_of_mean``: by the mean's term.
    """
    loss = total.result()
    return {
        "blocks": list(BLOCKS),
        "truncated": _rounded(loss.truncated),
        "cross_entropy": round(loss.cross_entropy, 6),
        "mean_term": round(loss.mean_term, 6),
        "discrepancy": _rounded(loss.discrepancy),
        "discrepancy_of_mean": _rounded(loss.discrepancy_of_mean),
    }


def _rounded(values: Any) -> list[float | None]:
    return [round(float(x), 6) if np.isfinite(x) else None for x in values]


def _layer_rows(layers: LayerSums, strides: list[int], model: Model) -> dict[str, Any]:
    """Return the share of energy (without the mean) that a grid of each cell size would keep.

    ``low_level``: encoder features at stride 4, before any truncation; ``aspp``; ``last``: what the
    logits are made from; ``logits``: as the decoder gives them, with all that is added to them.
    None where a network has no such layer. ``mean_share``: of all energy, what lies in the means.
    ``stride``: pixels of the image to a cell of the layer.
    """
    stage = model.network.encoder.strides.index(LOW_LEVEL_STRIDE) + 1
    names = {
        "low_level": f"encoder stage {stage}",
        "aspp": _ASPP,
        "last": _LAST,
        "logits": _LOGITS,
    }
    known = {one.name: one for one in layers.spectra()}
    rows: dict[str, Any] = {"cells": list(CELLS)}
    for role, name in names.items():
        one = known.get(name)
        rows[role] = one and {
            "stride": one.stride,
            "below": [_share(layers, name, stride) for stride in strides],
            "mean_share": None if one.activations_mean is None else round(one.activations_mean, 4),
        }
    return rows


def _share(layers: LayerSums, name: str, stride: int) -> float | None:
    share = layers.share_below(name, stride)
    return None if share is None else round(share, 4)
