"""Scoring the held-out blocks of a training run."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.core.reports import Validation
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.dataset import Dataset
from napari_blockseg.learn.holdout import MIN_CLASS_BLOCKS, sums_between
from napari_blockseg.learn.stitching import RowUpsampler, grid_shape, stitch_tiles

_TILE = 512


def validating(
    model: Model, data: Dataset, classes: Sequence[ClassInfo], step: int
) -> Generator[None, None, Validation]:
    """Score a model on the pixels of held-out labelled blocks, a tile between two yields.

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
        for _ in _add_image(confusion, model, data, index):
            yield
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


def _add_image(confusion: Confusion, model: Model, data: Dataset, index: int) -> Iterator[None]:
    rows, cols = data.sizes[index]
    truth = data.held_out_cells(index) + 1
    block, image = data.block, data.images[index]
    yield  # the image may have been made anew just now
    in_cols = np.arange(cols) // block
    cell = model.network.logits_stride / data.grid.scale
    looked_at = _looked_at(truth > 0, block, cell, grid_shape(model.network, image))
    bands = stitch_tiles(
        *(model.network, image, _TILE, model.network.halo, model.device), wanted=looked_at
    )
    upsampler = RowUpsampler(rows, cols, cell)
    for band in bands:
        for start, logits in upsampler.push(band.logits, band.done == band.total):
            in_rows = np.arange(start, start + logits.shape[1]) // block
            wanted = truth[in_rows][:, in_cols]
            if wanted.any():
                confusion.add(wanted, logits.argmax(0).numpy() + 1)
        yield


def _looked_at(
    held: NDArray[np.bool_], block: int, cell: float, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return which cells of the decoder's grid the pixels of held-out blocks are made from."""
    edges = []
    for n_cells, n_blocks in zip(shape, held.shape, strict=True):
        # Pixels up to a cell away from its center look at it; one more for rounding.
        center = (np.arange(n_cells) + 0.5) * cell
        first = (np.floor(center - cell) - 1) // block
        stop = -((-np.ceil(center + cell) - 1) // block)
        edges.append(tuple(one.clip(0, n_blocks).astype(np.intp) for one in (first, stop)))
    return sums_between(held, edges[0], edges[1]) > 0
