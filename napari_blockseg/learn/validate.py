"""Scoring the held-out blocks of a training run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.core.reports import Validation
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.dataset import Dataset
from napari_blockseg.learn.holdout import MIN_CLASS_BLOCKS
from napari_blockseg.learn.stitching import RowUpsampler, stitch_tiles

_TILE = 512


def validate(model: Model, data: Dataset, classes: Sequence[ClassInfo], step: int) -> Validation:
    """Score a model on the pixels of held-out labelled blocks.

    Returns
    -------
    Validation
        IoU of each class with at least 5 held-out blocks, and their mean; None where nothing can be
        said.
    """
    confusion = Confusion(len(classes))
    blocks = np.zeros(len(classes), int)
    for index in range(data.n_images):
        cells = data.held_out_cells(index)
        if not (cells >= 0).any():
            continue
        blocks += np.bincount(cells[cells >= 0].ravel(), minlength=len(classes))
        _add_image(confusion, model, data, index)
    iou = confusion.iou()
    scored = {
        info.name: float(value) if n >= MIN_CLASS_BLOCKS and np.isfinite(value) else None
        for info, value, n in zip(classes, iou, blocks, strict=True)
    }
    known = [value for value in scored.values() if value is not None]
    return Validation(
        step=step,
        miou=float(np.mean(known)) if known else None,
        iou=scored,
        pixel_accuracy=confusion.pixel_accuracy(),
    )


def _add_image(confusion: Confusion, model: Model, data: Dataset, index: int) -> None:
    rows, cols = data.sizes[index]
    truth = data.held_out_cells(index) + 1
    block = data.block
    in_cols = np.arange(cols) // block
    upsampler = RowUpsampler(rows, cols, model.network.logits_stride / data.grid.scale)
    bands = stitch_tiles(model.network, data.images[index], _TILE, model.network.halo, model.device)
    for band in bands:
        for start, logits in upsampler.push(band.logits, band.done == band.total):
            in_rows = np.arange(start, start + logits.shape[1]) // block
            wanted = truth[in_rows][:, in_cols]
            if wanted.any():
                confusion.add(wanted, logits.argmax(0).numpy() + 1)
