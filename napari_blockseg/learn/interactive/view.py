"""The preview: what the head, or the network, says about the part of an image in view."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.reports import PreviewSource
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.interactive.features import LRG, TILE, FeatureMaker, PlaneFeatures
from napari_blockseg.learn.interactive.head import Head
from napari_blockseg.learn.predict import predict

Region = tuple[int, int, int, int]
Mask = NDArray[np.unsignedinteger[Any]]
#: A mask in the making; None where it cannot be.
Drawing = Generator[None, None, Mask | None]

_CHUNK_VALUES = 1_000_000


@dataclass(frozen=True)
class View:
    """A plane by name, and the region (row start, row stop, col start, col stop) in view.

    In image pixels; None is the whole plane.
    """

    name: str
    region: Region | None = None


@dataclass(frozen=True)
class Preview:
    """Class values (rows, cols) of a view, and who predicted them.

    ``seconds`` since the change that it answers was noticed.
    """

    view: View
    region: Region
    mask: Mask
    source: PreviewSource
    seconds: float


def clipped(region: Region | None, shape: Sequence[int]) -> Region:
    """Return a region cut to an image of (rows, cols, ...); at least one pixel remains."""
    if region is None:
        return 0, shape[0], 0, shape[1]
    r0, c0 = min(max(region[0], 0), shape[0] - 1), min(max(region[2], 0), shape[1] - 1)
    r1, c1 = max(min(region[1], shape[0]), r0 + 1), max(min(region[3], shape[1]), c0 + 1)
    return r0, r1, c0, c1


def view_tiles(plane: PlaneFeatures, region: Region) -> list[tuple[int, int]]:
    """Return the tiles that a region (image pixels) needs."""
    return plane.tiles(_times(_cells(plane, region), LRG))


def predict_view(
    head: Head,
    maker: FeatureMaker,
    plane: PlaneFeatures,
    region: Region,
    classes: Sequence[ClassInfo],
) -> Mask:
    """Return class values (rows, cols) of a region in image pixels.

    Features that are not in memory are loaded or computed: ask for them before, one by one.
    """
    window = _cells(plane, region)
    logits = torch.empty(
        head.weight.shape[1], window[1] - window[0], window[3] - window[2], dtype=torch.float32
    )
    per_tile = TILE // LRG
    for row, col in plane.tiles(_times(window, LRG)):
        features = maker.get(plane, (row, col))
        seen = head.logits(features)
        top, left = features.origin[0] // LRG, features.origin[1] // LRG
        r0, r1 = max(row * per_tile, window[0]), min((row + 1) * per_tile, window[1])
        c0, c1 = max(col * per_tile, window[2]), min((col + 1) * per_tile, window[3])
        logits[:, r0 - window[0] : r1 - window[0], c0 - window[2] : c1 - window[2]] = seen[
            :, r0 - top : r1 - top, c0 - left : c1 - left
        ]
    return _class_values(logits, window, plane, region, classes)


def network_view(model: Model, plane: PlaneFeatures, region: Region) -> Drawing:
    """Return class values (rows, cols) of a region in image pixels, a tile between two yields."""
    with closing(predict(model, plane.pixels, PredictConfig(), region)) as steps:
        while True:
            try:
                next(steps)
            except StopIteration as end:
                mask: Mask = end.value.mask
                return mask
            yield


def _cells(plane: PlaneFeatures, region: Region) -> Region:
    """Return the cells of the LRG between which a region's pixels are interpolated."""
    found: list[int] = []
    cell = LRG / plane.grid.scale
    for start, stop, length in (
        (region[0], region[1], plane.shape[0]),
        (region[2], region[3], plane.shape[1]),
    ):
        last = -(-length // LRG)
        found.append(min(max(0, math.floor((start + 0.5) / cell - 0.5)), last - 1))
        found.append(min(max(found[-1] + 1, math.floor((stop - 0.5) / cell - 0.5) + 2), last))
    return found[0], found[1], found[2], found[3]


def _times(region: Region, factor: int) -> Region:
    return region[0] * factor, region[1] * factor, region[2] * factor, region[3] * factor


def _class_values(
    logits: Tensor,
    window: Region,
    plane: PlaneFeatures,
    region: Region,
    classes: Sequence[ClassInfo],
) -> Mask:
    """Interpolate logits to image pixels and return the class values of the largest."""
    values = np.array([info.value for info in classes])
    values = values.astype(np.uint8 if values.max() <= 255 else np.uint16)
    cell = LRG / plane.grid.scale
    in_rows = _positions(region[0], region[1], cell) - window[0]
    in_cols = _positions(region[2], region[3], cell) - window[2]
    mask = np.empty((len(in_rows), len(in_cols)), values.dtype)
    size = max(1, _CHUNK_VALUES // (logits.shape[0] * len(in_cols)))
    wide = _lerp(logits, in_cols, 2)
    for start in range(0, len(in_rows), size):
        rows = slice(start, start + size)
        mask[rows] = values[_lerp(wide, in_rows[rows], 1).argmax(0).numpy()]
    return mask


def _positions(start: int, stop: int, cell: float) -> Tensor:
    """Return where the centers of image pixels lie among those of cells."""
    return (torch.arange(start, stop, dtype=torch.float64) + 0.5) / cell - 0.5


def _lerp(values: Tensor, at: Tensor, axis: int) -> Tensor:
    at = at.clamp(0, values.shape[axis] - 1)
    low = at.floor().long().clamp(max=max(0, values.shape[axis] - 2))
    high = (low + 1).clamp(max=values.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    share = (at - low).to(values.dtype).view(shape)
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), share)
