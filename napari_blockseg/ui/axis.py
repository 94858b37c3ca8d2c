"""The frequency axis of the spectrum plot, and the block sizes one can stop at on it. No Qt.

A cutoff is read as the block that resolves it, ``0.5 / cutoff`` pixels: coarse blocks on the left,
fine ones on the right. On the log axis every halving of the block takes the same room.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

#: How far past the present grid the axis goes: its Nyquist shall be seen as an end of knowledge.
_BEYOND_LOG = 2.0**0.6
_BEYOND_LINEAR = 1.14
#: A dragged cutoff this near to a power of two (or to the present grid) is taken for it.
_SNAP = 0.08
#: Ticks nearer than this share of the axis would run into one another.
_ROOM = 0.11


@dataclass(frozen=True)
class Axis:
    """Frequencies from `low` to the Nyquist of the present grid, and a little beyond.

    Parameters
    ----------
    low
        Lowest frequency of interest, cycles per pixel.
    block
        Of the present grid, pixels.
    log
        Whether places are ``log2`` of the frequency; else they are the frequency.
    """

    low: float
    block: int
    log: bool = True

    @property
    def nyquist(self) -> float:
        """What the present grid resolves, cycles per pixel."""
        return 0.5 / self.block

    @property
    def coarsest(self) -> int:
        """The coarsest block that has a place, pixels."""
        return max(round(0.5 / self.low), self.block)

    def place(self, cutoff: FloatArray | float) -> FloatArray:
        """Return where a frequency is drawn."""
        values = np.asarray(cutoff, dtype=float)
        return np.log2(values) if self.log else values

    def cutoff(self, place: float) -> float:
        """Return the frequency that is drawn at a place, within what the grid knows."""
        value = 2.0**place if self.log else place
        return float(min(max(value, self.low), self.nyquist))

    def range(self) -> tuple[float, float]:
        """Return the places of the left and the right end."""
        if not self.log:
            return 0.0, self.nyquist * _BEYOND_LINEAR
        return float(self.place(self.low)), float(self.place(self.nyquist * _BEYOND_LOG))

    def ticks(self) -> list[tuple[float, str]]:
        """Return (place, block size in pixels as text), finest first, as many as have room."""
        left, right = self.range()
        found: list[tuple[float, str]] = []
        for size in self.stops():
            place = float(self.place(0.5 / size))
            if not found or abs(found[-1][0] - place) >= _ROOM * (right - left):
                found.append((place, str(size)))
        return found

    def stops(self) -> list[int]:
        """Return the present grid's block size and the powers of two above it, in pixels."""
        powers = [2**n for n in range(40) if self.block < 2**n <= self.coarsest * 1.001]
        return [self.block, *powers]


def snapped_block(cutoff: float, axis: Axis) -> int:
    """Return the block size that a dragged cutoff means, in pixels.

    Near the present grid and near a power of two it is that one, elsewhere the nearest whole
    number of pixels.
    """
    size = 0.5 / cutoff
    for stop in (axis.block, 2 ** round(math.log2(size))):
        if abs(math.log2(size / stop)) < _SNAP and axis.block <= stop <= axis.coarsest:
            return stop
    return min(max(round(size), axis.block), axis.coarsest)


def next_block(block: int, coarser: bool, fine: bool, axis: Axis) -> int:
    """Return the next block size on the way to coarser or finer ones, in pixels.

    Parameters
    ----------
    block
        Where one is.
    coarser
        The direction.
    fine
        By a pixel (by a sixteenth where blocks are large) rather than to the next power of two.
    axis
        Its ends are stops too.
    """
    if fine:
        step = max(block // 16, 1)
        wanted = block + step if coarser else block - step
    else:
        end = axis.coarsest if coarser else axis.block
        stops = [s for s in axis.stops() if (s > block if coarser else s < block)]
        wanted = (min if coarser else max)(stops, default=end)
    return min(max(wanted, axis.block), axis.coarsest)
