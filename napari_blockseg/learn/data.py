"""Images at working scale, and which class each label cell has.

The network sees images shrunk so that one block is a whole number of pixels wide: block edges fall
on pixel edges, and the mean over a block's pixels is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.errors import ImageError, LabelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization, image_limits, normalize

CACHE_BYTES = 2 * 2**30
_BAND_PIXELS = 4_000_000


@dataclass(frozen=True)
class TrainingImage:
    """One plane to train on.

    Parameters
    ----------
    image_id : str
        Its name in reports.
    pixels : (rows, cols, channels) array
        Raw values.
    labels : BlockLabels
        2-D, of the same image.
    """

    image_id: str
    pixels: NDArray[Any]
    labels: BlockLabels


def check_labels_fit(name: str, labels: BlockLabels, pixels: Any) -> None:
    """Make sure that labels are of an image of this size.

    Raises
    ------
    LabelError
        If they are not.
    """
    if labels.grid.image_shape != pixels.shape[:2]:
        raise LabelError(
            f"Got labels for an image of {labels.grid.image_shape} pixels; {name!r} has "
            f"{pixels.shape[:2]}. Did the image change?"
        )


@dataclass(frozen=True)
class PixelKind:
    """What images that are learned from together have in common.

    Parameters
    ----------
    name : str
        Of the image that the others have to be like.
    n_channels : int
        Of all of them.
    dtype : numpy dtype
        Of the one with that name; others have one that is normalized the same way.
    """

    name: str
    n_channels: int
    dtype: np.dtype[Any]

    def check(self, name: str, pixels: Any) -> None:
        """Make sure that an image is of this kind.

        Raises
        ------
        ImageError
            If it is not.
        """
        if pixels.ndim != 3 or pixels.shape[-1] != self.n_channels:
            raise ImageError(
                f"Got image {name!r} of shape {pixels.shape}; expected (rows, cols, "
                f"{self.n_channels}) as of {self.name!r}. Train on images of one kind."
            )
        if Normalization.for_dtype(pixels.dtype) != Normalization.for_dtype(self.dtype):
            raise ImageError(
                f"Got {self.name!r} as {self.dtype} and {name!r} as {pixels.dtype}; 8-bit images "
                "and others are normalized differently. Convert them to one type."
            )


@dataclass(frozen=True)
class WorkingGrid:
    """How image pixels, label cells and working pixels lie over one another.

    A unit is a square of ``unit`` image pixels that becomes ``side`` working pixels and holds
    ``split`` x ``split`` label cells (blocks). Either ``split`` is 1 (a block is at least one
    working pixel wide), or ``side`` is 1.

    Examples
    --------
    >>> WorkingGrid.for_scale(block=16, scale=0.5)
    WorkingGrid(unit=16, side=8, split=1)
    >>> WorkingGrid.for_scale(block=1, scale=0.5)
    WorkingGrid(unit=2, side=1, split=2)
    """

    unit: int
    side: int
    split: int

    @classmethod
    def for_scale(cls, block: int, scale: float) -> WorkingGrid:
        """Return the grid whose scale is nearest to the wanted one."""
        if block * scale >= 0.75:
            return cls(unit=block, side=max(1, round(block * scale)), split=1)
        split = max(2, round(1 / (block * scale)))
        return cls(unit=block * split, side=1, split=split)

    @property
    def scale(self) -> float:
        """Working pixels per image pixel."""
        return self.side / self.unit

    def shape(self, rows: int, cols: int) -> tuple[int, int]:
        """Return rows and cols of the working image of an image."""
        return (
            math.ceil(rows / self.unit) * self.side,
            math.ceil(cols / self.unit) * self.side,
        )


def working_image(
    pixels: NDArray[Any],
    spec: Normalization,
    grid: WorkingGrid,
    limits: tuple[float, float] | None = None,
) -> torch.Tensor:
    """Normalize an image and shrink it with antialiasing, band by band.

    Parameters
    ----------
    pixels : (rows, cols, channels) array
        Raw values.
    spec : Normalization
        How they become 0..1.
    grid : WorkingGrid
        The working scale.
    limits : (low, high), optional
        Raw values that become 0 and 1; by default those of `pixels`.

    Returns
    -------
    (channels, rows, cols) float16 tensor
        Its size is ``grid.shape``; the image is continued by its last row and column up to whole
        units.

    Raises
    ------
    ImageError
        If a value is NaN or infinite.
    """
    limits = image_limits(pixels, spec) if limits is None else limits
    rows, cols, channels = pixels.shape
    out = torch.empty(channels, *grid.shape(rows, cols), dtype=torch.float16)
    step = max(1, _BAND_PIXELS // (grid.unit * -(-cols // grid.unit) * grid.unit))
    n_units = out.shape[1] // grid.side
    for start in range(0, n_units, step):
        stop = min(start + step, n_units)
        band = working_band(pixels, spec, grid, limits, start, stop)
        out[:, start * grid.side : stop * grid.side] = band
    return out


def working_band(
    pixels: Any,
    spec: Normalization,
    grid: WorkingGrid,
    limits: tuple[float, float],
    start: int,
    stop: int,
) -> torch.Tensor:
    """Return the rows of a working image that lie in units `start` to `stop`.

    Parameters
    ----------
    pixels : (rows, cols, channels) array
        Raw values of the whole image; only the rows that are needed are read, so that it may be
        lazy (numpy.memmap, dask, zarr).
    spec, grid, limits
        As in :func:`working_image`.
    start, stop : int
        Rows of units.

    Returns
    -------
    (channels, (stop - start) * side, cols) float16 tensor
    """
    rows, cols = pixels.shape[:2]
    out_rows, out_cols = grid.shape(rows, cols)
    # What antialiasing looks at beyond the band.
    margin = 0 if grid.scale == 1 else 2
    first, last = max(0, start - margin), min(out_rows // grid.side, stop + margin)
    band = normalize(np.asarray(pixels[first * grid.unit : last * grid.unit]), spec, limits)
    missing = (last - first) * grid.unit - len(band), out_cols // grid.side * grid.unit - cols
    if any(missing):
        band = np.pad(band, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
    image = torch.from_numpy(band).permute(2, 0, 1)
    small = _shrink(image, (last - first) * grid.side, out_cols)
    offset = (start - first) * grid.side
    return small[:, offset : offset + (stop - start) * grid.side].half()


def _shrink(image: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    if image.shape[-2:] == (rows, cols):
        return image
    return F.interpolate(image[None], (rows, cols), mode="bilinear", antialias=True)[0]


class WorkingImages:
    """Working copies of training images, kept in memory up to a limit, made again beyond it.

    Parameters
    ----------
    images : sequence of TrainingImage
        May read from disk on access; each is asked for once while the copies fit.
    spec : Normalization
        How raw values become 0..1.
    grid : WorkingGrid
        The working scale.
    max_bytes : int
        Memory for the copies.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        spec: Normalization,
        grid: WorkingGrid,
        max_bytes: int = CACHE_BYTES,
    ) -> None:
        self._images = images
        self._spec = spec
        self._grid = grid
        self._room = max_bytes
        self._kept: dict[int, torch.Tensor] = {}

    def __getitem__(self, index: int) -> torch.Tensor:
        kept = self._kept.get(index)
        if kept is None:
            kept = self.prepare(index, self._images[index])
        return kept

    def prepare(self, index: int, image: TrainingImage) -> torch.Tensor:
        """Make the working copy of an image that was read already.

        Raises
        ------
        ImageError
            If it holds NaN or infinite values; the message names the image.
        """
        try:
            made = working_image(image.pixels, self._spec, self._grid)
        except ImageError as error:
            raise ImageError(f"Image {image.image_id!r}: {error}") from error
        size = made.numel() * made.element_size()
        if size <= self._room:
            self._kept[index] = made
            self._room -= size
        return made


def class_lookup(classes: Sequence[ClassInfo]) -> NDArray[np.int16]:
    """Return an array from label value to class index (channel of the logits); -1 = none."""
    lookup = np.full(65536, -1, np.int16)
    for index, info in enumerate(classes):
        lookup[info.value] = index
    return lookup
