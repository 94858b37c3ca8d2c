"""Block labels: one class value per block, and how they come from and go to other grids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid

Policy = Literal["majority", "pure"]
IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class BlockLabels:
    """One class value per block of a grid.

    Parameters
    ----------
    grid : BlockGrid
        The geometry.
    values : array of int, shape ``grid.shape``
        0 = unlabelled, 1..K = classes. Kept as a read-only uint8 or uint16 array.

    Raises
    ------
    LabelError
        If the shape is not the grid's, or a value is negative or above 65535.
    """

    grid: BlockGrid
    values: IntArray

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.shape != self.grid.shape:
            raise LabelError(
                f"Got block labels of shape {values.shape}; an image of shape "
                f"{self.grid.image_shape} in blocks of {self.grid.block} needs {self.grid.shape}."
            )
        kept = np.array(values, dtype=label_dtype(values))
        kept.flags.writeable = False
        object.__setattr__(self, "values", kept)

    @classmethod
    def empty(cls, grid: BlockGrid, n_classes: int = 255) -> BlockLabels:
        """Return labels with nothing painted, in a dtype that holds `n_classes`."""
        return cls(grid, np.zeros(grid.shape, np.uint8 if n_classes <= 255 else np.uint16))

    @classmethod
    def from_mask(
        cls,
        mask: IntArray,
        block: int,
        n_classes: int,
        policy: Policy = "majority",
        purity: float = 0.95,
    ) -> BlockLabels:
        """Label blocks as an annotator would from a dense mask.

        Parameters
        ----------
        mask : (..., rows, cols) int array
            0 = void, 1..K = classes.
        block : int
            Block size, in pixels.
        n_classes : int
            K.
        policy : {"majority", "pure"}
            "majority": the most frequent class of the block, ties to the lowest value; blocks
            that are mostly void stay unlabelled. "pure": only blocks of which one class covers at
            least `purity` of all pixels (void counts against it).
        purity : float
            Share of the block's pixels, 0 to 1.

        Raises
        ------
        LabelError
            If the mask has values above `n_classes` or below 0.
        """
        counts = class_counts(mask, block, n_classes)
        best = counts[..., 1:].argmax(-1) + 1
        area = counts.sum(-1)
        if policy == "pure":
            painted = counts[..., 1:].max(-1) >= purity * area
        else:
            painted = counts[..., 0] * 2 <= area
        painted &= counts[..., 1:].max(-1) > 0
        return cls(BlockGrid(mask.shape, block), np.where(painted, best, 0))

    @property
    def n_labelled(self) -> int:
        """How many blocks have a class."""
        return int(np.count_nonzero(self.values))

    def counts(self, n_classes: int) -> NDArray[np.int64]:
        """Return blocks per value, (K + 1,): index 0 counts the unlabelled."""
        return np.bincount(self.values.ravel(), minlength=n_classes + 1)

    def to_mask(self) -> IntArray:
        """Return the dense mask: every pixel gets its block's value; shape ``image_shape``."""
        rows, cols = self.grid.pixel_rows, self.grid.pixel_cols
        return _enlarged(self.values, self.grid.block, rows, cols)

    def plane(self, index: tuple[int, ...]) -> BlockLabels:
        """Return the labels of one plane of a stack."""
        return BlockLabels(self.grid.plane, self.values[index])

    def with_values(self, values: IntArray) -> BlockLabels:
        """Return the same grid with other values."""
        return BlockLabels(self.grid, values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockLabels):
            return NotImplemented
        return self.grid == other.grid and np.array_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Regrid:
    """Labels on another grid, and what that changed.

    ``changed_pixels`` of ``labelled_pixels`` (all labelled pixels before) have another value
    after; ``changed_blocks`` counts new blocks in which a pixel changed.
    """

    labels: BlockLabels
    changed_blocks: int
    changed_pixels: int
    labelled_pixels: int


def regrid(labels: BlockLabels, block: int) -> Regrid:
    """Put labels on a grid of another block size.

    Parameters
    ----------
    labels : BlockLabels
        The labels.
    block : int
        New block size, in pixels. A divisor of the old one loses nothing. A coarser (or
        incommensurable) one takes the majority of labelled pixels where at least half of the
        block's pixels are labelled; otherwise the block stays unlabelled.

    Returns
    -------
    Regrid
        The new labels with the count of what changed.
    """
    old = labels.grid
    new = old.with_block(block)
    if block == old.block:
        return Regrid(labels, 0, 0, int(_labelled_pixels(labels)))
    labelled = int(_labelled_pixels(labels))
    if old.block % block == 0:
        factor = old.block // block
        values = _enlarged(labels.values, factor, new.rows, new.cols)
        return Regrid(BlockLabels(new, values), 0, 0, labelled)
    planes = [_coarser_plane(labels.plane(index), block) for index in np.ndindex(old.leading_shape)]
    values = np.stack([plane[0] for plane in planes]).reshape(new.shape)
    return Regrid(
        BlockLabels(new, values.astype(labels.values.dtype)),
        sum(plane[1] for plane in planes),
        sum(plane[2] for plane in planes),
        labelled,
    )


def _coarser_plane(labels: BlockLabels, block: int) -> tuple[IntArray, int, int]:
    n_classes = int(labels.values.max(initial=0))
    mask = labels.to_mask()
    coarse = (
        BlockLabels.from_mask(mask, block, n_classes)
        if n_classes
        else BlockLabels.empty(labels.grid.with_block(block))
    )
    changed = coarse.to_mask() != mask
    per_block = BlockLabels.from_mask(changed.astype(np.uint8), block, 1, "pure", purity=0.0)
    return coarse.values, per_block.n_labelled, int(np.count_nonzero(changed))


def _enlarged(values: IntArray, factor: int, rows: int, cols: int) -> IntArray:
    """Repeat each value `factor` times along rows and columns, cut to (..., rows, cols)."""
    # A block may be far larger than its image: what the cut takes away is not made first.
    tall = values.repeat(min(factor, rows), axis=-2)[..., :rows, :]
    return tall.repeat(min(factor, cols), axis=-1)[..., :cols]


def _labelled_pixels(labels: BlockLabels) -> np.int64:
    return np.sum((labels.values > 0) * labels.grid.block_areas(), dtype=np.int64)


def class_counts(mask: IntArray, block: int, n_classes: int) -> NDArray[np.int64]:
    """Count the pixels of every class in every block.

    Parameters
    ----------
    mask : (..., rows, cols) int array
        Values 0..K.
    block : int
        Block size, in pixels.
    n_classes : int
        K.

    Returns
    -------
    (..., block rows, block cols, K + 1) int array
        Pixels per value; a ragged edge block counts only pixels of the image.

    Raises
    ------
    LabelError
        If a value lies outside 0..K.
    """
    mask = np.asarray(mask)
    if mask.size and (int(mask.min()) < 0 or int(mask.max()) > n_classes):
        raise LabelError(
            f"Got mask values {int(mask.min())} to {int(mask.max())}; expected 0 (void) to "
            f"{n_classes}. Check that mask and class list belong together."
        )
    grid = BlockGrid(mask.shape, block)
    planes = int(np.prod(grid.leading_shape, dtype=np.int64))
    flat = mask.reshape(planes, grid.pixel_rows, grid.pixel_cols).astype(np.int64)
    block_row = np.arange(grid.pixel_rows) // block
    block_col = np.arange(grid.pixel_cols) // block
    cell = block_row[:, None] * grid.cols + block_col[None, :]
    n_cells = grid.rows * grid.cols
    counts = [
        np.bincount((cell * (n_classes + 1) + plane).ravel(), minlength=n_cells * (n_classes + 1))
        for plane in flat
    ]
    return np.stack(counts).reshape(*grid.shape, n_classes + 1)


def label_dtype(values: IntArray) -> type[np.uint8] | type[np.uint16]:
    """Return the smallest unsigned dtype that holds these label values.

    A uint16 array stays uint16, so that a project's dtype does not flip while painting.

    Raises
    ------
    LabelError
        If the values are not integers in 0 to 65535.
    """
    if values.dtype == np.bool_:
        return np.uint8
    if not np.issubdtype(values.dtype, np.integer):
        raise LabelError(f"Got labels of type {values.dtype}; expected integers.")
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > 65535:
        raise LabelError(f"Got label values {low} to {high}; expected 0 to 65535.")
    return np.uint16 if high > 255 or values.dtype == np.uint16 else np.uint8


@dataclass(frozen=True)
class Changes:
    """Cells that differ between two grids: ``index`` (n, ndim), ``old`` (n,), ``new`` (n,)."""

    index: NDArray[np.int64]
    old: IntArray
    new: IntArray

    def __len__(self) -> int:
        return len(self.index)


def diff(old: IntArray, new: IntArray) -> Changes:
    """Return the cells that changed between two arrays of one shape.

    Raises
    ------
    LabelError
        If the shapes differ.
    """
    if old.shape != new.shape:
        raise LabelError(f"Got grids of shape {old.shape} and {new.shape}; they must be equal.")
    where = np.nonzero(old != new)
    return Changes(np.stack(where, axis=-1).astype(np.int64), old[where], new[where])


def apply_changes(values: IntArray, changes: Changes) -> IntArray:
    """Return a copy of `values` with `changes` made."""
    changed = values.copy()
    changed[tuple(changes.index.T)] = changes.new
    return changed
