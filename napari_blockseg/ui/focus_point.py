"""Bring a block into the middle of the view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import napari

    from napari_blockseg.ui.layer import BlockLabelsLayer

#: A block is shown at least this wide, in pixels of the screen.
_LEAST_WIDTH = 24.0


def look_at(viewer: napari.Viewer, layer: BlockLabelsLayer, cell: tuple[int, ...]) -> None:
    """Center the view on a block, zoomed in as far as one needs to see and to hit it.

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
    row, col = (world[axis - first] for axis in viewer.dims.displayed[-2:])
    # napari 0.9 moved the camera to the scene
    camera = getattr(viewer, "scene", viewer).camera
    camera.center = (*camera.center[:-2], row, col)
    side = float(np.abs(layer.affine.scale[-2:]).min())
    if side * camera.zoom < _LEAST_WIDTH:
        camera.zoom = _LEAST_WIDTH / side
