"""Where the classes of a mask border on one another, and what lies near those borders."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

IntArray = NDArray[np.integer[Any]]
# Writing one pixel of a disk costs about this share of a pixel's distance transform.
_STAMP_COST = 1 / 16
_CHUNK = 2**18


def boundary(mask: IntArray) -> NDArray[np.bool_]:
    """Return the pixels with a 4-neighbour of another class, (rows, cols); 0 is no class."""
    edge = np.zeros(mask.shape, bool)
    for axis in (0, 1):
        ahead, behind = mask.swapaxes(0, axis)[1:], mask.swapaxes(0, axis)[:-1]
        differ = (ahead != behind) & (ahead > 0) & (behind > 0)
        edge.swapaxes(0, axis)[1:] |= differ
        edge.swapaxes(0, axis)[:-1] |= differ
    return edge


class Boundaries:
    """The boundary pixels of every class of one mask, found in one pass.

    Parameters
    ----------
    mask : (rows, cols) int array
        0 is no class.
    radius : float
        How far "near" reaches, in pixels.

    Examples
    --------
    >>> edges = Boundaries(np.array([[1, 1, 1, 2, 2]]), radius=1.0)
    >>> edges.points(2).tolist()
    [3]
    >>> edges.near(2).tolist()
    [False, False, True, True, True]
    """

    def __init__(self, mask: IntArray, radius: float) -> None:
        self.radius = radius
        self._mask = mask
        points = np.flatnonzero(boundary(mask))
        values = mask.ravel()[points]
        order = np.argsort(values, kind="stable")
        self._points = points[order]
        self._values = values[order]

    def points(self, value: int) -> NDArray[np.intp]:
        """Return the flat indices of the boundary pixels of a class, rising."""
        first, last = np.searchsorted(self._values, [value, value + 1])
        return self._points[first:last]

    def has(self, value: int) -> bool:
        """Return whether the class is there at all."""
        return bool((self._mask == value).any())

    def near(self, value: int) -> NDArray[np.bool_]:
        """Return which pixels, flat, lie within the radius of a boundary pixel of a class."""
        points = self.points(value)
        writes = len(points) * (2 * self.radius + 1) ** 2
        if writes * _STAMP_COST <= self._mask.size:
            return _stamp(points, self._mask.shape, self.radius)
        away = np.ones(self._mask.shape, bool)
        away.ravel()[points] = False
        return np.asarray(ndimage.distance_transform_edt(away) <= self.radius).ravel()


def _stamp(points: NDArray[np.intp], shape: tuple[int, ...], radius: float) -> NDArray[np.bool_]:
    # A disk around every point. Far cheaper than distances everywhere when points are few; the
    # margin takes what lies outside, so that no disk needs to be clipped.
    reach = int(radius)
    width = shape[1] + 2 * reach
    near = np.zeros((shape[0] + 2 * reach) * width, bool)
    row, col = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (row * width + col)[np.hypot(row, col) <= radius]
    centers = (points // shape[1] + reach) * width + points % shape[1] + reach
    step = max(1, _CHUNK // len(disk))
    for first in range(0, len(centers), step):
        near[(centers[first : first + step, None] + disk).ravel()] = True
    inner = near.reshape(-1, width)[reach : reach + shape[0], reach : reach + shape[1]]
    return inner.ravel()
