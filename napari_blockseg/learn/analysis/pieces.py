"""What a network is looked at with: images or crops of them, beside the labels they should get."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.errors import ImageError, LabelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import image_limits
from napari_blockseg.learn.checkpoint import ModelSpec
from napari_blockseg.learn.data import TrainingImage, WorkingGrid, class_lookup, working_image
from napari_blockseg.learn.losses import Target
from napari_blockseg.nets.network import MULTIPLE

IntArray = NDArray[np.integer[Any]]
Window = tuple[int, int, int, int]

#: Images up to this many pixels at working scale are looked at whole, larger ones in crops.
WHOLE_PIXELS = 2**20
CROP_SIDE = 512
MAX_CROPS = 4
_CACHE_BYTES = 2**29


@dataclass(frozen=True, eq=False)
class Piece:
    """An image, or a crop of one, as the network sees it.

    Parameters
    ----------
    image : (channels, rows, cols) tensor
        In 0..1, at working scale; whole units of its grid.
    target : Target
        The block labels, as training takes them.
    mask : (image rows, image cols) int array
        The labels pixel by pixel of the image: 0 = unlabelled, 1..K in the order of the logits.
    values : (rows, cols) int array
        The labels cell by cell as they were given, for the label spectrum.
    block : int
        Pixels of the image per cell of `values`.
    grid : WorkingGrid
        How pixels, cells and working pixels lie over one another.
    is_crop : bool
        Whether it is a part of an image.
    """

    image: Tensor
    target: Target
    mask: IntArray
    values: IntArray
    block: int
    grid: WorkingGrid
    is_crop: bool = False

    @property
    def n_labelled(self) -> int:
        """Labelled pixels of the image."""
        return int(np.count_nonzero(self.mask))

    def working_values(self) -> IntArray | None:
        """Return the labels at working scale, (rows, cols) 0..K; None if pixels there are mixed."""
        rows, cols = self.image.shape[-2:]
        if self.grid.scale == 1:
            return _padded(self.mask, rows, cols)
        if self.grid.split > 1 or self.block != self.grid.unit:
            return None
        side = self.grid.side
        values = (self.target.cells.numpy() + 1).repeat(side, 0).repeat(side, 1)
        if self.target.valid is not None:
            values = np.where(self.target.valid.numpy(), values, 0)
        return values

    def soft_labels(self, n_classes: int) -> NDArray[np.float32]:
        """Return what share of each working pixel has which class, (K, rows, cols)."""
        rows, cols = self.image.shape[-2:]
        unit, side = self.grid.unit, self.grid.side
        mask = torch.from_numpy(_padded(self.mask, rows // side * unit, cols // side * unit))
        shares = np.empty((n_classes, rows, cols), np.float32)
        for c in range(n_classes):
            one = (mask == c + 1).float()[None, None]
            shares[c] = F.interpolate(one, (rows, cols), mode="area")[0, 0].numpy()
        return shares


class Pieces:
    """The pieces of a choice of images, made again where memory does not hold them.

    Parameters
    ----------
    images : sequence of TrainingImage
        May read from disk on access.
    chosen : sequence of int
        Which of them.
    spec : ModelSpec
        The model's: its classes, its working scale, its normalisation.
    """

    def __init__(
        self, images: Sequence[TrainingImage], chosen: Sequence[int], spec: ModelSpec
    ) -> None:
        self._images = images
        self._spec = spec
        self._lookup = class_lookup(spec.classes) + 1
        self._room = _CACHE_BYTES
        self._kept: dict[int, list[Piece]] = {}
        self.chosen = list(chosen)

    def of_image(self, index: int) -> list[Piece]:
        """Return the labelled pieces of an image: one, or a few crops of a large one.

        Raises
        ------
        ImageError, LabelError
            If image, labels and model do not fit one another.
        """
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        made = cut_image(self._images[index], self._spec, self._lookup)
        size = sum(one.image.numel() * 2 + 2 * one.mask.nbytes for one in made)
        if size <= self._room:
            self._kept[index] = made
            self._room -= size
        return made

    def __iter__(self) -> Iterator[Piece]:
        for index in self.chosen:
            yield from self.of_image(index)


def spread(n: int, wanted: int) -> list[int]:
    """Return at most `wanted` of the numbers 0..n-1, evenly spread, the same every time."""
    if n <= wanted:
        return list(range(n))
    return [int(i) for i in np.linspace(0, n - 1, wanted).round()]


def cut_image(image: TrainingImage, spec: ModelSpec, lookup: NDArray[np.int16]) -> list[Piece]:
    """Return the labelled pieces of an image.

    Parameters
    ----------
    image : TrainingImage
        With labels on any block size; the model's own are used as they are.
    spec : ModelSpec
        The model's.
    lookup : (65536,) int array
        From label value to 1..K, 0 for what the model does not know.

    Raises
    ------
    ImageError
        If it has other channels than the model, or holds NaN.
    LabelError
        If the labels belong to an image of another size.
    """
    pixels, grid = image.pixels, spec.grid
    if pixels.ndim != 3 or pixels.shape[2] != spec.n_channels:
        raise ImageError(
            f"Image {image.image_id!r} has shape {pixels.shape}; this model takes (rows, cols, "
            f"{spec.n_channels}). Analyse it with images like those it was trained on."
        )
    if image.labels.grid.image_shape != pixels.shape[:2]:
        raise LabelError(
            f"Got labels for {image.labels.grid.image_shape} pixels; image {image.image_id!r} has "
            f"{pixels.shape[:2]}. Check that they belong together."
        )
    limits = image_limits(pixels, spec.normalization)
    try:
        return [
            _cut(pixels, image.labels, window, spec, lookup, limits)
            for window in _windows(image.labels, grid, lookup)
        ]
    except ImageError as error:
        raise ImageError(f"Image {image.image_id!r}: {error}") from error


def _cut(
    pixels: NDArray[Any],
    labels: BlockLabels,
    window: Window,
    spec: ModelSpec,
    lookup: NDArray[np.int16],
    limits: tuple[float, float],
) -> Piece:
    top, bottom, left, right = window
    values = lookup[labels.values[_cells(window, labels.grid.block)]]
    in_rows = np.arange(top, bottom) // labels.grid.block - top // labels.grid.block
    in_cols = np.arange(left, right) // labels.grid.block - left // labels.grid.block
    mask = values[np.ix_(in_rows, in_cols)]
    own = labels.grid.block == spec.block
    cells = values if own else BlockLabels.from_mask(mask, spec.block, len(spec.classes)).values
    image = working_image(pixels[top:bottom, left:right], spec.normalization, spec.grid, limits)
    return Piece(
        image=image,
        target=_target(cells, mask.shape, spec.grid),
        mask=mask,
        values=values,
        block=labels.grid.block,
        grid=spec.grid,
        is_crop=mask.shape != pixels.shape[:2],
    )


def _target(cells: IntArray, shape: tuple[int, ...], grid: WorkingGrid) -> Target:
    classes = torch.from_numpy(cells.astype(np.int64)) - 1
    valid = None
    if grid.split == 1 and (shape[0] % grid.unit or shape[1] % grid.unit):
        # Only pixels of the image count in the blocks that its edge cuts.
        rows, cols = (
            (torch.arange(n * grid.side) + 0.5) / grid.side * grid.unit < length
            for n, length in zip(cells.shape, shape, strict=True)
        )
        valid = rows[:, None] & cols[None, :]
    return Target(classes, grid.side, grid.split, valid)


def _windows(labels: BlockLabels, grid: WorkingGrid, lookup: NDArray[np.int16]) -> list[Window]:
    """Return what to look at of an image, in its pixels: all of it, or crops that are painted."""
    rows, cols = labels.grid.pixel_rows, labels.grid.pixel_cols
    if math.prod(grid.shape(rows, cols)) <= WHOLE_PIXELS:
        return [(0, rows, 0, cols)] if lookup[labels.values].any() else []
    # Crops begin where the network samples the whole image, so both see the same.
    step = MULTIPLE // math.gcd(MULTIPLE, grid.side) * grid.unit
    side = max(1, round(CROP_SIDE / grid.scale) // step) * step
    places = [
        (top, min(top + side, rows), left, min(left + side, cols))
        for top in range(0, rows, side)
        for left in range(0, cols, side)
    ]
    painted = [
        int((lookup[labels.values[_cells(place, labels.grid.block)]] > 0).sum()) for place in places
    ]
    # Where little is painted, look where it is.
    enough = max(1, max(painted) // 2)
    good = [place for place, count in zip(places, painted, strict=True) if count >= enough]
    return [good[i] for i in spread(len(good), MAX_CROPS)]


def _cells(window: Window, block: int) -> tuple[slice, slice]:
    top, bottom, left, right = window
    return slice(top // block, -(-bottom // block)), slice(left // block, -(-right // block))


def _padded(mask: IntArray, rows: int, cols: int) -> IntArray:
    return np.pad(mask, ((0, rows - mask.shape[0]), (0, cols - mask.shape[1])))
