"""Tile geometry: overlapping windows whose weights add up to one everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.errors import BlockSegError


@dataclass(frozen=True, eq=False)
class Span:
    """A window along one axis: pixels ``start`` to ``stop``, and the weight of each of them.

    The weights of all spans of an axis add up to one at every pixel. They are zero near inner
    ends, where the network saw a cut instead of its surroundings.
    """

    start: int
    stop: int
    weights: NDArray[np.float32]

    @property
    def used(self) -> slice:
        """The pixels with a weight above zero, in image coordinates."""
        inside = np.flatnonzero(self.weights)
        return slice(self.start + int(inside[0]), self.start + int(inside[-1]) + 1)


@dataclass(frozen=True, eq=False)
class Tile:
    """A window of an image: its rows and its columns."""

    rows: Span
    cols: Span

    @property
    def read(self) -> tuple[slice, slice]:
        """The pixels that the network sees."""
        return slice(self.rows.start, self.rows.stop), slice(self.cols.start, self.cols.stop)

    @property
    def used(self) -> tuple[slice, slice]:
        """The pixels that its prediction contributes to."""
        return self.rows.used, self.cols.used

    def weights(self) -> NDArray[np.float32]:
        """Return the weight of each pixel of ``read``."""
        return np.outer(self.rows.weights, self.cols.weights)


def plan_spans(length: int, tile: int, halo: int, multiple: int = 32) -> list[Span]:
    """Cover an axis with windows of at most `tile` pixels that overlap by about twice `halo`.

    Parameters
    ----------
    length : int
        Pixels along the axis.
    tile : int
        Longest window, in pixels; a multiple of `multiple`.
    halo : int
        Pixels near an inner end of a window that are not to be trusted. What is used leaves at
        least one `multiple` of every window, so that windows never shrink to nothing.
    multiple : int
        Every window starts at a multiple of this, so that a network with that stride sees the
        same sampling grid as on the whole image.

    Returns
    -------
    list of Span
        In order. Weights ramp linearly over the middle quarter of each overlap: there both
        windows are at least three quarters of the halo away from their ends.

    Raises
    ------
    BlockSegError
        If `tile` is no multiple of `multiple`, or `length` is below 1.
    """
    if length < 1 or tile < multiple or tile % multiple:
        raise BlockSegError(
            f"Got tiles of {tile} pixels for {length}; expected a multiple of {multiple}."
        )
    starts = _starts(length, tile, min(halo, (tile - multiple) // 2), multiple)
    stops = [min(start + tile, length) for start in starts]
    weights = [np.ones(stop - start, np.float32) for start, stop in zip(starts, stops, strict=True)]
    for i in range(len(starts) - 1):
        overlap = stops[i] - starts[i + 1]
        cut = overlap * 3 // 8
        low, high = starts[i + 1] + cut, stops[i] - cut
        ramp = (np.arange(high - low, dtype=np.float32) + 0.5) / (high - low)
        weights[i][low - starts[i] : high - starts[i]] *= 1 - ramp
        weights[i][high - starts[i] :] = 0
        weights[i + 1][: low - starts[i + 1]] = 0
        weights[i + 1][low - starts[i + 1] : high - starts[i + 1]] *= ramp
    total = np.zeros(length, np.float32)
    for start, stop, weight in zip(starts, stops, weights, strict=True):
        total[start:stop] += weight
    # Two windows add up to one already; short steps can make three of them meet.
    return [
        Span(start, stop, weight / total[start:stop])
        for start, stop, weight in zip(starts, stops, weights, strict=True)
    ]


def _starts(length: int, tile: int, halo: int, multiple: int) -> list[int]:
    if length <= tile:
        return [0]
    step = max(multiple, (tile - 2 * halo) // multiple * multiple)
    last = math.ceil((length - tile) / multiple) * multiple
    count = math.ceil(last / step)
    # Spread evenly: the last window then overlaps no more than the others.
    return [round(i * last / count / multiple) * multiple for i in range(count + 1)]


def plan_tiles(
    shape: tuple[int, int], tile: int, halo: int, multiple: int = 32
) -> list[list[Tile]]:
    """Cover an image with tiles.

    Parameters
    ----------
    shape : (rows, cols)
        Of the image, in pixels.
    tile, halo, multiple : int
        As in :func:`plan_spans`.

    Returns
    -------
    list of list of Tile
        One list a row of tiles, from top to bottom: rows of the image above the next row's
        ``used`` are final once a row of tiles is done, so that memory stays bounded.
    """
    columns = plan_spans(shape[1], tile, halo, multiple)
    return [
        [Tile(row, col) for col in columns] for row in plan_spans(shape[0], tile, halo, multiple)
    ]
