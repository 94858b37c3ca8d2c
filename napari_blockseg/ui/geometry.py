"""Where blocks, pixels and the world of the viewer meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_blockseg.core.grid import BlockGrid

FloatArray = NDArray[np.float64]

#: Events of an image layer after which its labels have to be laid over it again.
TRANSFORM_EVENTS = ("scale", "translate", "rotate", "shear", "affine")


def data_to_world(layer: Layer, ndim: int) -> FloatArray:
    """Return the transform from a layer's pixels to the world, by asking the layer.

    Parameters
    ----------
    layer : napari layer
        May have more axes than `ndim` (channels, time): the last `ndim` count.
    ndim : int
        Number of axes of the result.

    Returns
    -------
    (ndim + 1, ndim + 1) float array
        Homogeneous matrix: scale, translate, rotate, shear and affine of the layer in one.
    """
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)), dtype=float)[-ndim:]
    matrix = np.eye(ndim + 1)
    matrix[:ndim, ndim] = origin
    for axis in range(ndim):
        step = np.zeros(layer.ndim)
        step[layer.ndim - ndim + axis] = 1.0
        moved = np.asarray(layer.data_to_world(step), dtype=float)[-ndim:]
        matrix[:ndim, axis] = moved - origin
    return matrix


def block_to_pixel(grid: BlockGrid) -> FloatArray:
    """Return the homogeneous matrix from cells of the grid to pixels of its image.

    Notes
    -----
    Cell r has its center at pixel ``r * b + (b - 1) / 2``; leading axes are not scaled.
    """
    ndim = len(grid.shape)
    (scale, _), (shift, _) = grid.scale_translate()
    matrix = np.eye(ndim + 1)
    for axis in (ndim - 2, ndim - 1):
        matrix[axis, axis] = scale
        matrix[axis, ndim] = shift
    return matrix


def block_affine(image: Layer, grid: BlockGrid) -> FloatArray:
    """Return the affine that lays a grid's array over its image in the world."""
    return data_to_world(image, len(grid.shape)) @ block_to_pixel(grid)


def copied_dims(image: Layer, ndim: int) -> dict[str, Any]:
    """Return units and axis labels of an image for a layer of its last `ndim` axes."""
    return {"units": image.units[-ndim:], "axis_labels": image.axis_labels[-ndim:]}


def image_edges(grid: BlockGrid) -> tuple[float, float, float, float]:
    """Return where the image ends, in cells of the grid: (top, bottom, left, right).

    A ragged grid reaches over the image; drawn labels are cut off here.
    """
    shift, b = (grid.block - 1) / 2, grid.block
    bottom = (grid.pixel_rows - 0.5 - shift) / b
    right = (grid.pixel_cols - 0.5 - shift) / b
    return -0.5, bottom, -0.5, right
