"""Crops: drawn where labels are, aligned to blocks, at random scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.learn.augment import Orientation, crop_transform
from napari_blockseg.learn.data import WorkingGrid, WorkingImages
from napari_blockseg.learn.losses import Target

Cells = NDArray[np.int16]

SCALE_RANGE = (0.6, 1.6)
# Blocks at least this wide (working pixels) can be rescaled by whole pixels; narrower labels are
# resampled like a dense mask.
_ALIGNED_SIDE = 4


@dataclass(frozen=True)
class Batch:
    """Crops of one size: images (n, channels, rows, cols) in 0..1 and their targets."""

    images: Tensor
    targets: list[Target]


class CropSampler:
    """Draws crops for training.

    Parameters
    ----------
    images : WorkingImages
        The images at working scale.
    sizes : sequence of (rows, cols)
        Size of each image in image pixels.
    cells : sequence of (rows, cols) int arrays
        Class index of each label cell of each image, -1 = unlabelled (or held out).
    n_classes : int
        Number of classes.
    grid : WorkingGrid
        The working scale.
    config : TrainConfig
        Crop, batch, class balance, augmentation.
    orientation : {"any", "upright"}
        Which flips and turns are allowed.
    rng : numpy Generator
        Draws places and scales. Flips and intensities come from torch's generator.

    Notes
    -----
    With probability ``class_balance`` a class is drawn first, then one of its cells anywhere;
    otherwise any labelled cell. The crop lies at random around that cell. Its scale is drawn as
    the number of pixels a block will have, so that a block stays a whole number of pixels wide.
    """

    def __init__(
        self,
        images: WorkingImages,
        sizes: Sequence[tuple[int, int]],
        cells: Sequence[Cells],
        n_classes: int,
        grid: WorkingGrid,
        config: TrainConfig,
        orientation: Orientation,
        rng: np.random.Generator,
    ) -> None:
        self._images = images
        self._sizes = list(sizes)
        self._cells = list(cells)
        self._n_classes = n_classes
        self._grid = grid
        self._config = config
        self._rng = rng
        self._transform = crop_transform(orientation) if config.augment else None
        self.crop = _crop_shape([grid.shape(*size) for size in sizes], config.crop, orientation)
        self._count()

    @property
    def counts(self) -> NDArray[np.int64]:
        """Labelled cells of each class, (classes,)."""
        return self._table.sum(0)  # type: ignore[no-any-return]

    def set_cells(self, index: int, cells: Cells) -> None:
        """Replace the labels of one image; :attr:`counts` follows."""
        self._cells[index] = cells
        self._count()

    def draw(self, batch_size: int) -> Batch:
        """Draw a batch. There must be labelled cells."""
        crops = [self._draw_one() for _ in range(batch_size)]
        return Batch(torch.stack([image for image, _ in crops]), [target for _, target in crops])

    def _count(self) -> None:
        self._table = np.stack(
            [np.bincount(c[c >= 0].ravel(), minlength=self._n_classes) for c in self._cells]
        ).astype(np.int64)

    def _draw_one(self) -> tuple[Tensor, Target]:
        index, row, col = self._draw_cell()
        if self._grid.side >= _ALIGNED_SIDE and self._grid.side * 2 <= min(self.crop):
            return self._aligned_crop(index, row, col)
        return self._resampled_crop(index, row, col)

    def _draw_cell(self) -> tuple[int, int, int]:
        rng, table = self._rng, self._table
        if rng.random() < self._config.class_balance:
            wanted = self._draw_from(table.sum(0) > 0)
            per_image = table[:, wanted]
        else:
            wanted, per_image = -1, table.sum(1)
        index = self._draw_from(per_image)
        cells = self._cells[index]
        fits = cells == wanted if wanted >= 0 else cells >= 0
        row = self._draw_from(fits.sum(1))
        return index, row, self._draw_from(fits[row])

    def _draw_from(self, weights: NDArray[np.generic]) -> int:
        """Return an index in proportion to its weight, from one uniform number.

        So the same generator draws nearly the same crops from finer, coarser or other labels of
        the same images: runs that are compared differ in their labels, not in their luck.
        """
        reached = np.cumsum(weights)
        return int(np.searchsorted(reached, self._rng.random() * reached[-1], side="right"))

    def _draw_ratio(self) -> float:
        if not self._config.augment:
            return 1.0
        return float(np.exp(self._rng.uniform(*np.log(SCALE_RANGE))))

    def _aligned_crop(self, index: int, row: int, col: int) -> tuple[Tensor, Target]:
        """Cut whole blocks and give each a whole number of pixels."""
        grid, cells = self._grid, self._cells[index]
        side = max(2, round(grid.side * self._draw_ratio()))
        shape = tuple(max(1, length // side) for length in self.crop)
        top = self._place(row, shape[0], cells.shape[0])
        left = self._place(col, shape[1], cells.shape[1])
        image = _cut(
            self._images[index],
            top * grid.side,
            left * grid.side,
            shape[0] * grid.side,
            shape[1] * grid.side,
        )
        image = _resize(image, shape[0] * side, shape[1] * side)
        piece = _cut_cells(cells, top, left, *shape)
        valid = self._valid(index, top, left, shape, side)
        image, piece, valid = self._augment(image, piece, valid)
        return _fill_crop(image, self.crop), Target(piece, side, valid=valid)

    def _resampled_crop(self, index: int, row: int, col: int) -> tuple[Tensor, Target]:
        """Cut pixels; the labels are looked up pixel by pixel (nearest), as of a dense mask."""
        grid, cells, split = self._grid, self._cells[index], self._grid.split
        image = self._images[index]
        ratio = self._draw_ratio()
        shape = tuple(max(1, round(length / ratio)) for length in self.crop)
        half = grid.side // 2
        top = self._place(row * grid.side // split + half, shape[0], image.shape[1])
        left = self._place(col * grid.side // split + half, shape[1], image.shape[2])
        pixels = _resize(_cut(image, top, left, *shape), *self.crop)
        limits = [length * grid.scale for length in self._sizes[index]]
        in_rows = _lookup(top, shape[0], self.crop[0] * split, limits[0], grid)
        in_cols = _lookup(left, shape[1], self.crop[1] * split, limits[1], grid)
        inside = (in_rows >= 0)[:, None] & (in_cols >= 0)[None, :]
        piece = np.where(inside, cells[np.ix_(np.maximum(in_rows, 0), np.maximum(in_cols, 0))], -1)
        valid = None if inside.all() else torch.from_numpy(inside)
        labels = torch.from_numpy(piece.astype(np.int64))
        pixels, labels, valid = self._augment(pixels, labels, valid)
        return pixels, Target(labels, side=1, split=split, valid=valid)

    def _place(self, at: int, length: int, total: int) -> int:
        """Return where a crop of `length` starts so that it holds `at`; inside if it fits."""
        share = self._rng.random()
        if length >= total:
            return -int(share * (length - total + 1))
        return min(max(at - int(share * length), 0), total - length)

    def _valid(
        self, index: int, top: int, left: int, shape: tuple[int, ...], side: int
    ) -> Tensor | None:
        rows, cols = (length / self._grid.unit for length in self._sizes[index])
        if min(top, left) >= 0 and top + shape[0] <= rows and left + shape[1] <= cols:
            return None  # no ragged block in sight, and nothing beside the image
        at_rows = top + (torch.arange(shape[0] * side) + 0.5) / side
        at_cols = left + (torch.arange(shape[1] * side) + 0.5) / side
        in_rows, in_cols = (at_rows >= 0) & (at_rows < rows), (at_cols >= 0) & (at_cols < cols)
        return in_rows[:, None] & in_cols[None, :]

    def _augment(
        self, image: Tensor, cells: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        if self._transform is None:
            return image, cells, valid
        inputs = [tv_tensors.Image(image), tv_tensors.Mask(cells)]
        if valid is not None:
            inputs.append(tv_tensors.Mask(valid))
        image, cells, *rest = (x.as_subclass(Tensor) for x in self._transform(inputs))
        return image, cells, rest[0] if rest else None


def _crop_shape(
    shapes: list[tuple[int, int]], crop: int, orientation: Orientation
) -> tuple[int, int]:
    """Return the crop's rows and cols: no larger than the largest image, square for turns."""
    rows, cols = (min(crop, -(-max(lengths) // 32) * 32) for lengths in zip(*shapes, strict=True))
    return (rows, cols) if orientation == "upright" else (max(rows, cols),) * 2


def _cut(image: Tensor, top: int, left: int, rows: int, cols: int) -> Tensor:
    """Cut a window, continued by the image's edge where it reaches beyond."""
    total_rows, total_cols = image.shape[-2:]
    piece = image[
        :, max(top, 0) : min(top + rows, total_rows), max(left, 0) : min(left + cols, total_cols)
    ].float()
    above, before = max(-top, 0), max(-left, 0)
    below = rows - above - piece.shape[1]
    after = cols - before - piece.shape[2]
    if above or before or below or after:
        piece = F.pad(piece[None], (before, after, above, below), mode="replicate")[0]
    return piece


def _cut_cells(cells: Cells, top: int, left: int, rows: int, cols: int) -> Tensor:
    out = np.full((rows, cols), -1, np.int64)
    r0, c0 = max(top, 0), max(left, 0)
    piece = cells[r0 : top + rows, c0 : left + cols]
    out[r0 - top : r0 - top + piece.shape[0], c0 - left : c0 - left + piece.shape[1]] = piece
    return torch.from_numpy(out)


def _lookup(
    start: int, length: int, wanted: int, limit: float, grid: WorkingGrid
) -> NDArray[np.intp]:
    """Return which cell each of `wanted` samples of a window falls on; -1 outside the image."""
    at = start + (np.arange(wanted) + 0.5) * (length / wanted)
    cell = np.floor(at * grid.split / grid.side).astype(np.intp)
    return np.where((at >= 0) & (at < limit), cell, -1)


def _resize(image: Tensor, rows: int, cols: int) -> Tensor:
    if image.shape[-2:] == (rows, cols):
        return image
    return v2.functional.resize(image, [rows, cols], antialias=True)  # type: ignore[no-any-return]


def _fill_crop(image: Tensor, shape: tuple[int, int]) -> Tensor:
    """Continue a crop whose blocks do not fill it; no label lies on what is added."""
    below, right = shape[0] - image.shape[1], shape[1] - image.shape[2]
    if not below and not right:
        return image
    return F.pad(image[None], (0, right, 0, below), mode="replicate")[0]
