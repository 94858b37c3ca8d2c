"""Bring a block into view: in the middle, or as near to it as leaves no part of the view blank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import napari

    from napari_blockseg.ui.layer import BlockLabelsLayer

#: A block is shown at least this wide, in pixels of the screen.
_LEAST_WIDTH = 24.0


def look_at(viewer: napari.Viewer, layer: BlockLabelsLayer, cell: tuple[int, ...]) -> None:
    """Center the view on a block, zoomed in as far as one needs to see and to hit it.

    Of a block at the image's edge the view shows the inside, not what lies beyond: there is nothing
    to judge it by. Where the image is smaller than the view, it comes into the middle itself.

    Parameters
    ----------
    viewer : napari.Viewer
        Its slice and its camera are moved.
    layer : BlockLabelsLayer
        The blocks.
    cell : tuple of int
        Leading axes, row, col.
    """
    world = np.asarray(layer.data_to_world(cell), dtype=float)
    first = viewer.dims.ndim - layer.ndim
    for axis in viewer.dims.not_displayed:
        if axis >= first:
            viewer.dims.set_point(axis, world[axis - first])
    # Swapped or rolled by the user, the view's axes are not the array's.
    axes = [axis - first for axis in viewer.dims.displayed[-2:]]
    # napari 0.9 moved the camera to the scene
    camera = getattr(viewer, "scene", viewer).camera
    side = float(np.abs(layer.affine.scale[-2:]).min())
    if side * camera.zoom < _LEAST_WIDTH:
        camera.zoom = _LEAST_WIDTH / side
    first, last = _bounds(layer, cell, axes)
    half = np.asarray(_canvas_size(viewer), dtype=float) / camera.zoom / 2
    camera.center = (*camera.center[:-2], *_kept_inside(world[axes], half, first, last))


def _bounds(
    layer: BlockLabelsLayer, cell: tuple[int, ...], axes: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the image's plane begins and ends along axes of the layer's world."""
    grid = layer.grid  # its last row and col of blocks may end before they are whole
    rows, cols = grid.pixel_rows / grid.block - 0.5, grid.pixel_cols / grid.block - 0.5
    corners = [(*cell[:-2], row, col) for row in (-0.5, rows) for col in (-0.5, cols)]
    world = np.array([layer.data_to_world(corner) for corner in corners])[:, axes]
    return world.min(0), world.max(0)


def _canvas_size(viewer: napari.Viewer) -> tuple[float, float]:
    """Return the height and width of the canvas in pixels of the screen."""
    canvas = getattr(viewer, "canvas", None)  # napari 0.9; before, the viewer kept the size itself
    return canvas.size if canvas is not None else viewer._canvas_size


def _kept_inside(
    center: NDArray[np.float64],
    half: NDArray[np.float64],
    first: NDArray[np.float64],
    last: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return where to center a view that reaches `half` to each side, along each axis."""
    inside = np.minimum(np.maximum(center, first + half), last - half)
    return np.where(last - first > 2 * half, inside, (first + last) / 2)
