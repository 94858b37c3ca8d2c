"""The layer that shows where a network is unsure, block by block."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_blockseg.core.chances import block_means
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.ui.geometry import TRANSFORM_EVENTS, block_affine, copied_dims

if TYPE_CHECKING:
    import napari

    from napari_blockseg.ui.layer import BlockLabelsLayer

NAME = "uncertainty"
_COLORMAP = "inferno"
#: So many images' values are kept while others are shown; one number a block each.
_KEPT_IMAGES = 64
Region = tuple[int, int, int, int]


def whole_blocks(region: Region, grid: BlockGrid) -> Region:
    """Return the smallest region of whole blocks that holds a region, in pixels."""
    b = grid.block
    return (
        region[0] // b * b,
        min(-(-region[1] // b) * b, grid.pixel_rows),
        region[2] // b * b,
        min(-(-region[3] // b) * b, grid.pixel_cols),
    )


def full_scale(n_classes: int) -> float:
    """Return the entropy (over its maximum) that is drawn brightest: two classes alike.

    More classes alike are rare; on a scale up to 1, doubts between two of many would look dark.
    """
    return math.log(2) / math.log(max(n_classes, 2))


class UncertaintyView:
    """Keep one Image layer named "uncertainty", one cell a block, over an image.

    What was shown over an image comes back with it.

    Parameters
    ----------
    viewer : napari.Viewer
        Where it is shown; the selection stays as it is, so that painting goes on.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._image: Image | None = None
        self._grid: BlockGrid | None = None
        self._image_id = ""
        self._kept: OrderedDict[str, tuple[BlockGrid, np.ndarray]] = OrderedDict()
        self.layer: Image | None = None

    def turn_to(self, image_id: str, blocks: BlockLabelsLayer | None, n_classes: int) -> None:
        """Take the layer off, and show again what was shown over this image, if anything.

        Parameters
        ----------
        image_id : str
            The image that is shown from now on, "" for none.
        blocks : BlockLabelsLayer or None
            Its blocks.
        n_classes : int
            How many classes there are.
        """
        self._put_away()
        self._image_id = image_id
        known = self._kept.pop(image_id, None)
        if blocks is not None and known is not None and known[0] == blocks.grid:
            self._add(blocks, n_classes, known[1])

    def show(
        self,
        blocks: BlockLabelsLayer,
        values: np.ndarray,
        region: Region | None,
        slice_index: tuple[int, ...],
        n_classes: int,
    ) -> None:
        """Show how unsure the network is of the pixels of a region of whole blocks.

        Parameters
        ----------
        blocks : BlockLabelsLayer
            The blocks of the shown image; the layer goes below them, over all else.
        values : (rows, cols) float array
            Entropy over its maximum, of every pixel of the region; shown averaged per block.
        region : (row0, row1, col0, col1) or None
            In pixels; the whole plane if None. The rest keeps what it showed.
        slice_index : tuple of int
            Position in the image's leading axes.
        n_classes : int
            How many classes there are: sets what is drawn brightest.
        """
        image, grid = blocks.image, blocks.grid
        there = self.layer is not None and self.layer in self._viewer.layers
        if not there or self._image is not image or self._grid != grid:
            self._take_off()
            # napari draws NaN as nothing
            self._add(blocks, n_classes, np.full(grid.shape, np.nan, np.float32))
        row0, row1, col0, col1 = region or (0, grid.pixel_rows, 0, grid.pixel_cols)
        means = block_means(values, BlockGrid((row1 - row0, col1 - col0), grid.block))
        rows = slice(row0 // grid.block, row0 // grid.block + means.shape[0])
        cols = slice(col0 // grid.block, col0 // grid.block + means.shape[1])
        self.layer.data[(*slice_index, rows, cols)] = means
        self.layer.refresh()

    def clear(self) -> None:
        """Remove the layer, and forget what was shown over other images."""
        self._kept.clear()
        self._take_off()

    def _put_away(self) -> None:
        """Remove the layer, and keep what it showed; the user may have removed it before."""
        if self.layer is not None and self.layer in self._viewer.layers and self._grid is not None:
            self._kept[self._image_id] = (self._grid, np.asarray(self.layer.data))
            while len(self._kept) > _KEPT_IMAGES:
                self._kept.popitem(last=False)
        self._take_off()

    def _take_off(self) -> None:
        if self._image is not None:
            for event in TRANSFORM_EVENTS:
                getattr(self._image.events, event).disconnect(self._follow)
        if self.layer is not None and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = self._image = self._grid = None

    def _add(self, blocks: BlockLabelsLayer, n_classes: int, values: np.ndarray) -> None:
        image, grid = blocks.image, blocks.grid
        layer = Image(
            values,
            name=NAME,
            colormap=_COLORMAP,
            contrast_limits=(0.0, full_scale(n_classes)),
            interpolation2d="nearest",
            affine=block_affine(image, grid),
            **copied_dims(image, len(grid.shape)),
        )
        layer.contrast_limits_range = (0.0, 1.0)
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        self._viewer.layers.insert(self._viewer.layers.index(blocks), layer)
        self._viewer.layers.selection = selected
        self._viewer.layers.selection.active = active
        self.layer, self._image, self._grid = layer, image, grid
        for event in TRANSFORM_EVENTS:
            getattr(image.events, event).connect(self._follow)

    def _follow(self, _event: Any = None) -> None:
        if self.layer is not None and self._image is not None and self._grid is not None:
            self.layer.affine = block_affine(self._image, self._grid)
