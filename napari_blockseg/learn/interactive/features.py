"""What a frozen encoder sees in an image: computed once, tile by tile, kept on disk.

A tile is a square of the image at working scale. Its features are the encoder's stages; those finer
than the low-resolution grid (LRG, one cell per `LRG` x `LRG` working pixels) are averaged to it,
coarser ones stay as small as they are. Mean and deviation of the pixels of each cell of the LRG
come first, as a stage of their own.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.atomic import json_text
from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import ImageError
from napari_blockseg.core.normalize import Normalization, image_limits
from napari_blockseg.learn.data import WorkingGrid, working_band
from napari_blockseg.learn.devices import mixed_precision
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.folding import fold_batch_norm
from napari_blockseg.nets.network import ENCODER_REACH, MULTIPLE, pad_to_multiple, round_up
from napari_blockseg.nets.stages import FINEST, pixel_stage
from napari_blockseg.nets.truncation import to_stride

#: Working pixels per cell of the low-resolution grid.
LRG = FINEST
#: Side of a tile, in working pixels.
TILE = 1024
#: Kept around a tile, so that what is interpolated inside never looks past its edge.
MARGIN = MULTIPLE
#: Memory for features, in bytes; what does not fit is read from disk again.
MEMORY_BYTES = 512 * 2**20
_FORMAT = 1

Index = tuple[int, int]


class Store(Protocol):
    """Where features are kept between sessions."""

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return what is kept under a key."""

    def put(self, key: str, arrays: dict[str, NDArray[Any]]) -> bool:
        """Keep arrays under a key."""


@dataclass(frozen=True)
class Features:
    """Stages of one tile.

    Parameters
    ----------
    stages : tuple of (channels, rows, cols) float16 tensors
        Fine to coarse.
    strides : tuple of int
        Working pixels per cell of each.
    origin : (row, col)
        Working pixel at which their first cells begin, a multiple of 32.
    """

    stages: tuple[Tensor, ...]
    strides: tuple[int, ...]
    origin: Index

    @property
    def nbytes(self) -> int:
        """Memory that they take."""
        return sum(stage.numel() * stage.element_size() for stage in self.stages)


class FrozenEncoder:
    """A copy of an encoder that never changes: eval mode, batch norm folded, no gradients.

    Parameters
    ----------
    encoder : Encoder
        The one to copy.
    config : NetworkConfig
        It was built from this one.
    device : torch.device
        Where it runs.
    """

    def __init__(self, encoder: Encoder, config: NetworkConfig, device: torch.device) -> None:
        self.digest = _digest(encoder)
        # A quarter of the time less, the same features to six digits.
        self.encoder = fold_batch_norm(encoder, encoder.n_channels).requires_grad_(False)
        self.encoder.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = device
        self.name = f"{config.encoder}/{config.output_stride}"
        #: Of the stages that :meth:`stages` returns.
        self.strides = (LRG, *(max(LRG, stride) for stride in encoder.strides))

    @torch.inference_mode()
    def stages(self, images: Tensor) -> list[Tensor]:
        """Return the stages of images (n, channels, rows, cols) in 0..1, sides multiples of 32."""
        moved = images.to(
            device=self.device, dtype=torch.float32, memory_format=torch.channels_last
        )
        with mixed_precision(self.device):
            seen = self.encoder(moved)
        return [pixel_stage(moved), *self.on_grid(seen)]

    def on_grid(self, seen: list[Tensor]) -> list[Tensor]:
        """Return the encoder's features with those finer than the LRG averaged to it."""
        strides = self.encoder.strides
        return [
            to_stride(one, stride, max(LRG, stride))
            for one, stride in zip(seen, strides, strict=True)
        ]


class PlaneFeatures:
    """Features of one plane, by tile.

    Parameters
    ----------
    identity : list
        Plain values that name the plane and its content.
    pixels : (rows, cols, channels) array
        Raw values; may be lazy.
    normalization : Normalization
        How raw values become 0..1.
    grid : WorkingGrid
        The working scale.
    """

    def __init__(
        self, identity: list[Any], pixels: Any, normalization: Normalization, grid: WorkingGrid
    ) -> None:
        self.identity = identity
        self.pixels = pixels
        self.normalization = normalization
        self.grid = grid
        self.shape: Index = grid.shape(*pixels.shape[:2])
        self._limits: tuple[float, float] | None = None

    def tiles(self, region: tuple[int, int, int, int] | None = None) -> list[Index]:
        """Return the tiles (row, col) that a region (row start, row stop, ...) touches.

        The region is in working pixels; by default all of the plane.
        """
        top, bottom, left, right = region or (0, self.shape[0], 0, self.shape[1])
        rows = range(max(0, top) // TILE, -(-min(bottom, self.shape[0]) // TILE))
        cols = range(max(0, left) // TILE, -(-min(right, self.shape[1]) // TILE))
        return [(row, col) for row in rows for col in cols]

    def extent(self, tile: Index) -> tuple[int, int, int, int]:
        """Return (row start, row stop, col start, col stop) of a tile with its margin."""
        edges = []
        for at, length in zip(tile, self.shape, strict=True):
            edges.append(max(0, at * TILE - MARGIN))
            edges.append(min(round_up(length), (at + 1) * TILE + MARGIN))
        return edges[0], edges[1], edges[2], edges[3]

    def window(self, region: tuple[int, int, int, int]) -> Tensor:
        """Return working pixels (channels, rows, cols) of a region, in 0..1.

        Beyond the working image it is continued by its last row and column.
        """
        if self._limits is None:
            self._limits = image_limits(self.pixels, self.normalization)
        top, bottom, left, right = region
        side, rows, cols = self.grid.side, *self.shape
        first, last = top // side, min(-(-bottom // side), rows // side)
        band = working_band(self.pixels, self.normalization, self.grid, self._limits, first, last)
        piece = band[:, top - first * side : bottom - first * side, left : min(right, cols)].float()
        missing = bottom - top - piece.shape[1], right - left - piece.shape[2]
        if any(missing):
            piece = F.pad(piece[None], (0, missing[1], 0, missing[0]), mode="replicate")[0]
        return piece


class FeatureMaker:
    """Computes features of tiles, or finds them in memory or on disk.

    Parameters
    ----------
    encoder : FrozenEncoder
        What computes.
    store : Store or None
        Where they are kept.
    max_bytes : int
        Memory for those used last.
    """

    def __init__(
        self, encoder: FrozenEncoder, store: Store | None, max_bytes: int = MEMORY_BYTES
    ) -> None:
        self.encoder = encoder
        self._store = store
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self.computed = 0

    def has(self, plane: PlaneFeatures, tile: Index) -> bool:
        """Whether a tile's features are in memory."""
        return self._key(plane, tile) in self._kept

    def get(self, plane: PlaneFeatures, tile: Index) -> Features:
        """Return the features of a tile.

        Raises
        ------
        ImageError
            If the image has other channels than the encoder, or holds NaN.
        """
        key = self._key(plane, tile)
        found = self._kept.pop(key, None) or self._load(key, plane, tile)
        if found is None:
            found = self._compute(plane, tile)
            self._save(key, found)
        self._kept[key] = found
        self._forget()
        return found

    def _compute(self, plane: PlaneFeatures, tile: Index) -> Features:
        """Run the encoder over a tile and as much around it as it looks at."""
        channels = plane.pixels.shape[-1]
        if channels != self.encoder.encoder.n_channels:
            raise ImageError(
                f"Got an image with {channels} channel(s); this encoder takes "
                f"{self.encoder.encoder.n_channels}. Convert the image."
            )
        kept = plane.extent(tile)
        reach = round_up(ENCODER_REACH)
        limits = [round_up(length) for length in plane.shape]
        read = (
            max(0, kept[0] - reach),
            min(limits[0], kept[1] + reach),
            max(0, kept[2] - reach),
            min(limits[1], kept[3] + reach),
        )
        images = pad_to_multiple(plane.window(read)[None], MULTIPLE)
        stages = []
        for stage, stride in zip(self.encoder.stages(images), self.encoder.strides, strict=True):
            rows = slice((kept[0] - read[0]) // stride, (kept[1] - read[0]) // stride)
            cols = slice((kept[2] - read[2]) // stride, (kept[3] - read[2]) // stride)
            # Half precision ends at 65504.
            part = stage[0, :, rows, cols].clamp(-6e4, 6e4).half().cpu()
            stages.append(part.contiguous())
        self.computed += 1
        return Features(tuple(stages), self.encoder.strides, (kept[0], kept[2]))

    def _key(self, plane: PlaneFeatures, tile: Index) -> str:
        return feature_key(
            format=_FORMAT,
            plane=plane.identity,
            tile=[*tile, TILE, MARGIN],
            encoder=self.encoder.name,
            weights=self.encoder.digest,
            grid=[plane.grid.unit, plane.grid.side, LRG],
            normalization=plane.normalization.model_dump(mode="json"),
        )

    def _load(self, key: str, plane: PlaneFeatures, tile: Index) -> Features | None:
        found = self._store.get(key) if self._store else None
        names = [f"stage{i}" for i in range(len(self.encoder.strides))]
        if found is None or any(name not in found for name in names):
            return None
        top, _, left, _ = plane.extent(tile)
        stages = tuple(torch.from_numpy(found[name]) for name in names)
        return Features(stages, self.encoder.strides, (top, left))

    def _save(self, key: str, features: Features) -> None:
        if self._store is not None:
            self._store.put(key, {f"stage{i}": s.numpy() for i, s in enumerate(features.stages)})

    def _forget(self) -> None:
        """Let go of the features used longest ago; the last ones stay, whatever they take."""
        taken = sum(features.nbytes for features in self._kept.values())
        while taken > self._max_bytes and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            taken -= gone.nbytes


def feature_key(**parts: Any) -> str:
    """Return the name under which features are kept.

    Parameters
    ----------
    **parts
        All that the features depend on, as plain values: image, encoder, weights, scale,
        normalization, ...

    Examples
    --------
    >>> feature_key(image="a", scale=0.5) == feature_key(scale=0.5, image="a")
    True
    >>> feature_key(image="a", scale=0.5) == feature_key(image="a", scale=1.0)
    False
    """
    return hashlib.sha256(json_text(dict(sorted(parts.items()))).encode()).hexdigest()[:40]


def _digest(encoder: Encoder) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
