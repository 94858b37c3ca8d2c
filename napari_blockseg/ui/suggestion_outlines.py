"""Outlines of the blocks to label next, on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from napari_blockseg.ui.geometry import TRANSFORM_EVENTS, copied_dims, data_to_world

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_blockseg.core.grid import BlockGrid
    from napari_blockseg.core.reports import Suggestion

NAME = "next blocks"
_COLOR, _CURRENT = "yellow", "white"
# Share of a block's side, so that an outline hides nothing of what is inside.
_WIDTH, _CURRENT_WIDTH = 0.1, 0.2


def outline(grid: BlockGrid, one: Suggestion) -> np.ndarray:
    """Return the corners of a block in pixels of its image, (4, ndim), clipped to the image."""
    rows, cols = grid.pixel_slices(one.row, one.col)
    top, bottom, left, right = (
        edge - 0.5 for edge in (rows.start, rows.stop, cols.start, cols.stop)
    )
    corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
    return np.array([(*one.index, *corner) for corner in corners], dtype=float)


class SuggestionOutlines:
    """Keep one Shapes layer with the outlines of blocks of the shown image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown; the selection stays as it is, so that painting goes on.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._image: Image | None = None
        self.layer: Shapes | None = None

    def show(
        self,
        image: Image,
        grid: BlockGrid,
        blocks: Sequence[Suggestion],
        current: Suggestion | None,
    ) -> None:
        """Outline blocks of the shown image, and one of them more than the others."""
        if not blocks:
            self.clear()
            return
        if self.layer is None or self._image is not image or self.layer not in self._viewer.layers:
            self.clear()
            self._add(image, len(grid.image_shape))
        looked_at = [one == current for one in blocks]
        self.layer.data = []
        self.layer.add_rectangles(
            [outline(grid, one) for one in blocks],
            edge_width=[grid.block * (_CURRENT_WIDTH if y else _WIDTH) for y in looked_at],
            edge_color=[_CURRENT if y else _COLOR for y in looked_at],
            face_color="transparent",
        )
        self.layer.selected_data = set()

    def clear(self) -> None:
        """Remove the layer."""
        if self._image is not None:
            for event in TRANSFORM_EVENTS:
                getattr(self._image.events, event).disconnect(self._follow)
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer, self._image = None, None

    def _add(self, image: Image, ndim: int) -> None:
        layer = Shapes(
            ndim=ndim, name=NAME, affine=data_to_world(image, ndim), **copied_dims(image, ndim)
        )
        layer.editable = False
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        self._viewer.layers.append(layer)
        self._viewer.layers.selection = selected
        self._viewer.layers.selection.active = active
        self.layer, self._image = layer, image
        for event in TRANSFORM_EVENTS:
            getattr(image.events, event).connect(self._follow)

    def _follow(self, _event: Any = None) -> None:
        if self.layer is not None and self._image is not None:
            self.layer.affine = data_to_world(self._image, self.layer.ndim)
