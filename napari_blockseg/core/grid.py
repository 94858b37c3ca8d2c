"""The block grid: which pixels belong to which block."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.errors import LabelError


@dataclass(frozen=True, slots=True)
class BlockGrid:
    """A grid of square blocks over an image.

    Parameters
    ----------
    image_shape : tuple of int
        Leading axes (planes of a stack, time points), then rows and columns, in pixels. A channel
        axis is never part of it.
    block : int
        Side of a block, in pixels. The last row and column of blocks may be cut off by the edge
        of the image ("ragged"). 1 means pixel labels.

    Raises
    ------
    LabelError
        If there are fewer than two axes, an empty axis, or a block below 1.

    Notes
    -----
    Pixel coordinates follow napari: pixel i covers ``[i - 0.5, i + 0.5)``, so block r covers
    ``[r * block - 0.5, (r + 1) * block - 0.5)`` and its center is at
    ``r * block + (block - 1) / 2``.

    Examples
    --------
    >>> grid = BlockGrid((100, 64), 16)
    >>> grid.shape
    (7, 4)
    >>> grid.pixel_slices(6, 0)
    (slice(96, 100, None), slice(0, 16, None))
    """

    image_shape: tuple[int, ...]
    block: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_shape", tuple(int(n) for n in self.image_shape))
        object.__setattr__(self, "block", int(self.block))
        if len(self.image_shape) < 2 or min(self.image_shape) < 1:
            raise LabelError(
                f"Got image shape {self.image_shape}; expected rows and columns (and perhaps "
                "leading axes), none of them empty. Check the axes of the image."
            )
        if self.block < 1:
            raise LabelError(f"Got block size {self.block}; expected 1 pixel or more.")

    @property
    def leading_shape(self) -> tuple[int, ...]:
        """Sizes of the axes before rows and columns."""
        return self.image_shape[:-2]

    @property
    def pixel_rows(self) -> int:
        """Rows of the image, in pixels."""
        return self.image_shape[-2]

    @property
    def pixel_cols(self) -> int:
        """Columns of the image, in pixels."""
        return self.image_shape[-1]

    @property
    def rows(self) -> int:
        """Rows of blocks."""
        return math.ceil(self.pixel_rows / self.block)

    @property
    def cols(self) -> int:
        """Columns of blocks."""
        return math.ceil(self.pixel_cols / self.block)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an array with one cell a block: leading axes, rows, cols."""
        return (*self.leading_shape, self.rows, self.cols)

    @property
    def plane(self) -> BlockGrid:
        """The grid of one plane: the same without leading axes."""
        return BlockGrid(self.image_shape[-2:], self.block)

    def with_block(self, block: int) -> BlockGrid:
        """Return the grid of the same image with another block size."""
        return BlockGrid(self.image_shape, block)

    def block_of(self, row: float, col: float) -> tuple[int, int]:
        """Return the block that holds a pixel position; it may lie outside the grid."""
        return (
            math.floor((row + 0.5) / self.block),
            math.floor((col + 0.5) / self.block),
        )

    def contains(self, row: int, col: int) -> bool:
        """Whether block (row, col) exists."""
        return 0 <= row < self.rows and 0 <= col < self.cols

    def pixel_slices(self, row: int, col: int) -> tuple[slice, slice]:
        """Return the pixels of one block, clipped to the image.

        Raises
        ------
        LabelError
            If there is no such block.
        """
        if not self.contains(row, col):
            raise LabelError(
                f"Got block ({row}, {col}); the grid has {self.rows} rows and {self.cols} columns."
            )
        b = self.block
        return (
            slice(row * b, min((row + 1) * b, self.pixel_rows)),
            slice(col * b, min((col + 1) * b, self.pixel_cols)),
        )

    def block_areas(self) -> NDArray[np.int64]:
        """Return how many pixels each block holds: (rows, cols), fewer at ragged edges."""
        return np.outer(
            _cell_sizes(self.pixel_rows, self.block), _cell_sizes(self.pixel_cols, self.block)
        )

    def brush_slices(self, row: int, col: int, size: int) -> tuple[slice, slice]:
        """Return the blocks under a square brush of `size` x `size` blocks, clipped to the grid.

        An even brush reaches one block further up and left than down and right. The slices are
        empty where the brush lies outside the grid.
        """
        before = size // 2
        return (
            _clipped(row - before, size, self.rows),
            _clipped(col - before, size, self.cols),
        )

    def brush_bounds(self, row: int, col: int, size: int) -> tuple[float, float, float, float]:
        """Return the outline (top, bottom, left, right) of the brush's true footprint.

        Returns
        -------
        tuple of float
            Pixel edges (``-0.5`` is the image's upper edge), clipped to the image.
        """
        in_rows, in_cols = self.brush_slices(row, col, size)
        b = self.block
        return (
            in_rows.start * b - 0.5,
            min(in_rows.stop * b, self.pixel_rows) - 0.5,
            in_cols.start * b - 0.5,
            min(in_cols.stop * b, self.pixel_cols) - 0.5,
        )

    def scale_translate(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return scale and translate that lay a grid array over its image (last two axes)."""
        shift = (self.block - 1) / 2
        return (float(self.block), float(self.block)), (shift, shift)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"image_shape": list(self.image_shape), "block": self.block}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> BlockGrid:
        """Return the grid that :meth:`to_dict` described."""
        return cls(tuple(values["image_shape"]), values["block"])


def _cell_sizes(pixels: int, block: int) -> NDArray[np.int64]:
    edges = np.minimum(np.arange(math.ceil(pixels / block) + 1) * block, pixels)
    return np.diff(edges).astype(np.int64)


def _clipped(start: int, size: int, stop: int) -> slice:
    low = min(max(start, 0), stop)
    return slice(low, min(max(start + size, low), stop))
