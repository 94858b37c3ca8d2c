"""Logits of an image of any size, tile by tile, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.tiles import Tile, plan_tiles
from napari_blockseg.learn.devices import mixed_precision
from napari_blockseg.nets.network import MULTIPLE, Network
from napari_blockseg.nets.truncation import upsample

# A piece of rows that stays in a processor's cache from interpolation to class values.
_CHUNK_VALUES = 1_000_000


class Pixels(Protocol):
    """What an image has to be: a shape, and windows of it."""

    @property
    def shape(self) -> Sequence[int]:
        """Channels, rows, cols."""

    def __getitem__(self, window: tuple[slice, slice, slice], /) -> Tensor:
        """Return a window, of all channels."""


@dataclass(frozen=True)
class Rows:
    """Finished rows of the decoder's grid: logits (classes, n, cols) from cell row ``start``.

    ``done`` and ``total`` count tiles.
    """

    start: int
    logits: Tensor
    done: int
    total: int


@torch.inference_mode()
def run_tiles(network: Network, tiles: Tensor, device: torch.device) -> Tensor:
    """Return logits on the decoder's grid of tiles (n, channels, rows, cols): float32, CPU."""
    # torch's convolutions like channels last; other engines say what they like.
    layout = getattr(network, "memory_format", torch.channels_last)
    moved = tiles.to(device=device, dtype=torch.float32, memory_format=layout)
    with mixed_precision(device):
        logits = network.coarse_logits(moved)
    return logits.float().cpu()


def stitch_tiles(
    network: Network,
    image: Pixels,
    tile: int,
    halo: int,
    device: torch.device,
    batch_size: int = 1,
    wanted: NDArray[np.bool_] | None = None,
) -> Iterator[Rows]:
    """Run the network over overlapping tiles and blend their logits.

    Parameters
    ----------
    network : Network
        In eval mode, on `device`.
    image : (channels, rows, cols) tensor
        In 0..1, at working scale; or what looks like one. It is read from top to bottom, a window
        at a time.
    tile : int
        Side of the part of a tile that is kept, in pixels at working scale.
    halo : int
        Context on each side of it, so that the network sees ``tile + 2 * halo`` pixels.
    device : torch.device
        Where the network is.
    batch_size : int
        Tiles of one shape that run together.
    wanted : (rows, cols) bool array, optional
        Cells of the decoder's grid that are looked at; see :func:`grid_shape`. Tiles that give
        nothing to them are left out: their logits are what they are with all tiles, others are not.

    Yields
    ------
    Rows
        After every batch; its logits cover the rows that no later tile touches (often none),
        from top to bottom without gaps.

    Notes
    -----
    Blending happens on the decoder's grid: up-sampling is linear, so blending before it gives the
    same and needs 1 / stride**2 of the memory. Only the rows of tiles in work are held.
    """
    stride = network.logits_stride
    halo = -(-halo // MULTIPLE) * MULTIPLE
    plan = plan_tiles((image.shape[1], image.shape[2]), tile + 2 * halo, halo, MULTIPLE)
    height, width = grid_shape(network, image)
    total = sum(len(row) for row in plan)
    buffer, start, done = torch.zeros(0), 0, 0
    for number, row in enumerate(plan):
        stop = min(height, _cells(row[0].read[0].stop, stride))
        last = number + 1 == len(plan)
        final = height if last else plan[number + 1][0].read[0].start // stride
        todo = row if wanted is None else [one for one in row if _gives(one, wanted, stride)]
        for group in _groups(todo, batch_size):
            seen = [image[:, one.read[0], one.read[1]] for one in group]
            logits = run_tiles(network, torch.stack(seen), device)
            del seen
            if buffer.shape[-2:] != (stop - start, width):
                buffer = _grown(buffer, logits.shape[1], stop - start, width)
            for one, part in zip(group, logits, strict=True):
                _blend(buffer, one, part, stride, start)
            if group[-1] is not todo[-1]:
                yield Rows(start, buffer[:, :0], done + len(group), total)
            done += len(group)
        done += len(row) - len(todo)
        if buffer.ndim != 3:  # no tile has said yet how many channels there are
            continue
        if buffer.shape[1] != stop - start:
            buffer = _grown(buffer, len(buffer), stop - start, width)
        kept = buffer[:, final - start :].clone()
        yield Rows(start, buffer[:, : final - start], done, total)
        # Held by nobody now, before the next row of tiles needs as much.
        buffer, start = kept, final


def grid_shape(network: Network, image: Pixels) -> tuple[int, int]:
    """Return rows and cols of the decoder's grid of an image."""
    stride = network.logits_stride
    return _cells(image.shape[1], stride), _cells(image.shape[2], stride)


def kept_share(shape: tuple[int, int], tile: int, halo: int) -> float:
    """Return how much of the pixels that the network computes is kept, 0 to 1.

    Parameters
    ----------
    shape : (rows, cols)
        Of the image at working scale, in pixels.
    tile, halo : int
        As in :func:`stitch_tiles`. The rest is the context of tiles, computed more than once.
    """
    halo = -(-halo // MULTIPLE) * MULTIPLE
    plan = plan_tiles(shape, tile + 2 * halo, halo, MULTIPLE)
    heights = [row[0].rows.stop - row[0].rows.start for row in plan]
    widths = [one.cols.stop - one.cols.start for one in plan[0]]
    return shape[0] * shape[1] / (sum(heights) * sum(widths))


def _cells(pixels: int, stride: int) -> int:
    """Return how many cells cover `pixels` once padded as the network pads."""
    return -(-pixels // MULTIPLE) * MULTIPLE // stride


def _grown(buffer: Tensor, channels: int, rows: int, cols: int) -> Tensor:
    grown = torch.zeros(channels, rows, cols)
    if buffer.ndim == 3:
        grown[:, : buffer.shape[1]] = buffer
    return grown


def _groups(row: list[Tile], size: int) -> Iterator[list[Tile]]:
    """Split a row of tiles into runs of at most `size` with one width."""
    group: list[Tile] = []
    for tile in row:
        width = tile.cols.stop - tile.cols.start
        if group and (len(group) == size or group[0].cols.stop - group[0].cols.start != width):
            yield group
            group = []
        group.append(tile)
    if group:
        yield group


def _gives(tile: Tile, wanted: NDArray[np.bool_], stride: int) -> bool:
    """Whether a tile has a weight in any wanted cell."""
    rows, cols = (
        slice(span.start // stride, _cells(span.stop, stride)) for span in (tile.rows, tile.cols)
    )
    seen = wanted[rows, cols]
    in_rows = _cell_weights(tile.rows.weights, stride, seen.shape[0]) > 0
    in_cols = _cell_weights(tile.cols.weights, stride, seen.shape[1]) > 0
    return bool(seen[in_rows.numpy()][:, in_cols.numpy()].any())


def _blend(buffer: Tensor, tile: Tile, logits: Tensor, stride: int, start: int) -> None:
    in_rows = _cell_weights(tile.rows.weights, stride, logits.shape[1])
    in_cols = _cell_weights(tile.cols.weights, stride, logits.shape[2])
    top, left = tile.read[0].start // stride - start, tile.read[1].start // stride
    window = buffer[:, top : top + logits.shape[1], left : left + logits.shape[2]]
    window += logits * (in_rows[:, None] * in_cols[None, :])


def _cell_weights(weights: NDArray[np.float32], stride: int, cells: int) -> Tensor:
    """Return the mean weight of each cell; cells beyond the image get the last pixel's."""
    full = np.pad(weights, (0, cells * stride - len(weights)), mode="edge")
    return torch.from_numpy(full.reshape(cells, stride).mean(1))


class RowUpsampler:
    """Bilinear interpolation from finished cell rows to image rows, as they come.

    Parameters
    ----------
    rows, cols : int
        Size of the image, in image pixels.
    cell : float
        Image pixels per cell.
    """

    def __init__(self, rows: int, cols: int, cell: float) -> None:
        self._rows, self._cols, self._cell = rows, cols, cell
        self._next = 0
        self._kept = torch.zeros(0)
        self._first = 0

    def push(self, logits: Tensor, last: bool) -> Iterator[tuple[int, Tensor]]:
        """Take more cell rows; yield (first image row, values (channels, n, cols)) pieces.

        Parameters
        ----------
        logits : (channels, n, cell cols) tensor
            The next cell rows.
        last : bool
            Whether there are no more.
        """
        if self._kept.ndim == 3:
            logits = torch.cat([self._kept, logits], 1)
        if not logits.shape[1]:
            return
        stop = self._first + logits.shape[1]
        end = self._rows if last else self._ready_before(stop)
        # No fewer rows than some cells have: their columns are interpolated for each piece anew.
        size = max(math.ceil(4 * self._cell), _CHUNK_VALUES // (logits.shape[0] * self._cols))
        for begin in range(self._next, end, size):
            yield begin, self._piece(logits, begin, min(begin + size, end))
        self._next = max(self._next, end)
        # The next image row may still look at the last two cell rows.
        keep = min(2, logits.shape[1])
        # A copy: a view would hold all of the rows.
        self._kept, self._first = logits[:, -keep:].clone(), stop - keep

    def _piece(self, logits: Tensor, begin: int, end: int) -> Tensor:
        """Return image rows `begin` to `end` from the cell rows at hand."""
        at = _positions(begin, end, self._cell) - self._first
        last = logits.shape[1] - 1
        low = min(max(0, math.floor(at[0])), last)
        high = min(math.floor(at[-1]) + 1, last)
        cells = logits[:, low : high + 1]
        factor = round(self._cell)
        if factor != self._cell or logits.shape[2] * factor < self._cols:
            return _lerp(_lerp(cells, _positions(0, self._cols, self._cell), 2), at - low, 1)
        # torch's own kernel is several times faster; its ends are ours, or lie outside the piece.
        skip = begin - (self._first + low) * factor
        return upsample(cells[None], factor)[0, :, skip : skip + end - begin, : self._cols]

    def _ready_before(self, stop: int) -> int:
        """Return the first image row that needs cell row `stop` or a later one."""
        at = _positions(0, self._rows, self._cell)
        return int((at.floor() + 1 < stop).sum())


def _positions(start: int, stop: int, cell: float) -> Tensor:
    """Return where pixel centers lie among cell centers."""
    return (torch.arange(start, stop, dtype=torch.float64) + 0.5) / cell - 0.5


def _lerp(values: Tensor, at: Tensor, axis: int) -> Tensor:
    """Interpolate linearly along an axis; positions beyond the ends take the end's value."""
    at = at.clamp(0, values.shape[axis] - 1)
    low = at.floor().long().clamp(max=max(0, values.shape[axis] - 2))
    high = (low + 1).clamp(max=values.shape[axis] - 1)
    shape = [1, 1, 1]
    shape[axis] = -1
    share = (at - low).to(values.dtype).view(shape)
    return torch.lerp(values.index_select(axis, low), values.index_select(axis, high), share)
