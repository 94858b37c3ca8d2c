"""What a network says about blocks: class probabilities and how unsure it is, block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels

Measure = Literal["entropy", "margin"]
FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class PlaneChances:
    """What a network says about the blocks of one plane.

    Parameters
    ----------
    image_id : str
        The image.
    labels : BlockLabels
        What is painted on the plane; labelled blocks are never suggested.
    probabilities : (rows, cols, K) float array
        Of each class, averaged over the block's pixels.
    unsure : (rows, cols) float array, optional
        How unsure the network is of the block's pixels, 0 to 1: what the measure "entropy" goes by
        in place of the entropy of `probabilities`, which also counts blocks that two classes share.
    features : (rows, cols, n) float array, optional
        What blocks look like; by default blocks are compared by `probabilities`.
    index : tuple of int
        Position of the plane on the image's leading axes.

    Raises
    ------
    LabelError
        If the shapes do not belong together.
    """

    image_id: str
    labels: BlockLabels
    probabilities: FloatArray
    unsure: FloatArray | None = None
    features: FloatArray | None = None
    index: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shape = self.labels.values.shape
        for array in (self.probabilities, self.unsure, self.features):
            if array is not None and (array.shape[:2] != shape or len(shape) != 2):
                raise LabelError(
                    f"Got values of shape {array.shape} for the blocks of {self.image_id!r}; its "
                    f"grid has {shape}. Was the block size changed meanwhile?"
                )


def uncertainty(probabilities: FloatArray, measure: Measure = "entropy") -> FloatArray:
    """Return how unsure a distribution is: 0 one class for sure, 1 as unsure as can be.

    Parameters
    ----------
    probabilities : (..., K) float array
        Each sums to 1.
    measure : {"entropy", "margin"}
        Entropy over its maximum ``log K``; or 1 minus the lead of the likeliest class over the
        second.
    """
    chances = np.asarray(probabilities, dtype=np.float64)
    if chances.shape[-1] < 2:
        return np.zeros(chances.shape[:-1])
    if measure == "margin":
        top = np.partition(chances, -2, axis=-1)
        return 1.0 - (top[..., -1] - top[..., -2])
    terms = chances * np.log(np.maximum(chances, 1e-300))
    found: FloatArray = np.clip(-terms.sum(-1) / math.log(chances.shape[-1]), 0.0, 1.0)
    return found


def mixture(probabilities: FloatArray) -> FloatArray:
    """Return how different a block's neighbours are: 0 all alike, 1 two classes half and half.

    Parameters
    ----------
    probabilities : (rows, cols, K) float array
        Each sums to 1.

    Returns
    -------
    (rows, cols) float array
        High where a border of classes runs through, so that a block may hold both.

    Notes
    -----
    Jensen-Shannon divergence of the 3 x 3 blocks round each one, in bits, 1 at most: the entropy of
    their mean less the mean of their entropies. Doubts that all of them share leave it at 0.
    """
    n_classes = probabilities.shape[-1]
    if n_classes < 2:
        return np.zeros(probabilities.shape[:2])
    chances = np.asarray(probabilities, dtype=np.float64)
    mean = uniform_filter(chances, (3, 3, 1), mode="nearest")
    each = uniform_filter(uncertainty(chances), 3, mode="nearest")
    found: FloatArray = np.clip((uncertainty(mean) - each) * math.log2(n_classes), 0.0, 1.0)
    return found


def block_means(values: NDArray[Any], grid: BlockGrid) -> FloatArray:
    """Return the mean over the pixels of every block; a ragged block has fewer of them.

    Parameters
    ----------
    values : (..., pixel rows, pixel cols) array
        One value a pixel of the image.
    grid : BlockGrid
        The blocks of one plane of that size.

    Returns
    -------
    (..., rows, cols) float32 array

    Raises
    ------
    LabelError
        If the image of the grid has another size.
    """
    if values.shape[-2:] != (grid.pixel_rows, grid.pixel_cols):
        raise LabelError(
            f"Got values of {values.shape[-2]} x {values.shape[-1]} pixels for the blocks of an "
            f"image of {grid.pixel_rows} x {grid.pixel_cols}."
        )
    starts = [np.arange(n) * grid.block for n in (grid.rows, grid.cols)]
    sums = np.add.reduceat(values, starts[0], axis=-2, dtype=np.float32)
    sums = np.add.reduceat(sums, starts[1], axis=-1)
    means: FloatArray = sums / grid.block_areas().astype(np.float32)
    return means
