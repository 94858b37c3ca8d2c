"""What a model says about the blocks of an image: class probabilities, and how unsure it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.chances import PlaneChances, block_means
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice, PredictProgress
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.predict import Region, predict

#: Probabilities of all pixels are held for a part of an image no larger than this, in pixels.
PART_SIDE = 2048


def block_chances(
    model: Model,
    image_id: str,
    pixels: NDArray[Any],
    labels: BlockLabels,
    config: PredictConfig | None = None,
    index: tuple[int, ...] = (),
) -> Generator[PredictProgress | Notice, None, PlaneChances]:
    """Predict a plane and average over its blocks, in bounded memory.

    Parameters
    ----------
    model : Model
        From :func:`napari_blockseg.learn.checkpoint.load_model`.
    image_id : str
        The image.
    pixels : (rows, cols, channels) array
        Raw values of the plane.
    labels : BlockLabels
        What is painted on it, 2-D; gives the blocks.
    config : PredictConfig, optional
        Tile, halo, batch.
    index : tuple of int
        Position of the plane on the image's leading axes.

    Yields
    ------
    PredictProgress or Notice
        As :func:`napari_blockseg.learn.predict.predict` does.

    Returns
    -------
    PlaneChances
        ``probabilities`` are means over a block's pixels, ``unsure`` is the mean of their
        entropies: a block that two classes share is not unsure by that alone.

    Raises
    ------
    ImageError, ModelError
        As :func:`napari_blockseg.learn.predict.predict`.
    """
    grid = labels.grid
    chances = np.zeros((*grid.shape, len(model.spec.classes)), np.float32)
    unsure = np.zeros(grid.shape, np.float32)
    parts = _parts(grid)
    for number, region in enumerate(parts):
        steps = predict(model, pixels, config, region, probabilities=True, uncertainty=True)
        found = yield from _counted(steps, number, len(parts))
        inside = BlockGrid((region[1] - region[0], region[3] - region[2]), grid.block)
        first_row, first_col = region[0] // grid.block, region[2] // grid.block
        where = (
            slice(first_row, first_row + inside.rows),
            slice(first_col, first_col + inside.cols),
        )
        chances[where] = np.moveaxis(block_means(found.probabilities, inside), 0, -1)
        unsure[where] = block_means(found.uncertainty, inside)
    return PlaneChances(image_id, labels, chances, unsure, index=index)


def _parts(grid: BlockGrid) -> list[Region]:
    """Return the regions of whole blocks that an image is predicted in."""
    side = max(1, PART_SIDE // grid.block) * grid.block
    return [
        (row, min(row + side, grid.pixel_rows), col, min(col + side, grid.pixel_cols))
        for row in range(0, grid.pixel_rows, side)
        for col in range(0, grid.pixel_cols, side)
    ]


def _counted(
    steps: Generator[PredictProgress | Notice, None, Any], number: int, parts: int
) -> Generator[PredictProgress | Notice, None, Any]:
    """Pass reports on, counted over all parts."""
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value
        if isinstance(report, PredictProgress):
            done, total = report.done + number * report.total, parts * report.total
            report = report.model_copy(update={"done": done, "total": total})
        yield report
