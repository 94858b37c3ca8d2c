"""A simulated annotator: strokes that follow one region of a dense mask. Knows no GUI."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Place = tuple[float, float]
Labels = NDArray[np.integer]
Region = NDArray[np.bool_]

_ANGLES = np.deg2rad(np.arange(0, 180, 15))


@dataclass(frozen=True)
class Stroke:
    """A straight drag of one class, from pixel to pixel (row, col)."""

    value: int
    start: Place
    stop: Place


def first_stroke(
    mask: Labels, painted: Region, value: int, block: int, length: float, rng: np.random.Generator
) -> Stroke | None:
    """Return a stroke of a class, begun at a pixel of it drawn by chance.

    Parameters
    ----------
    mask : (rows, cols) int array
        Class values 1..K; 0 where nobody knows.
    painted : (rows, cols) bool array
        Pixels that have a label: a stroke is begun on one that has none.
    value : int
        The class.
    block : int
        Block size, in pixels.
    length : float
        Of the stroke at most, in pixels.
    rng : numpy.random.Generator
        Draws the place.

    Returns
    -------
    Stroke or None
        None where the class has no room left.
    """
    inside = room(mask == value, block)
    places = np.argwhere(inside & ~painted)
    if not len(places):
        return None
    start, stop = longest_line(inside, places[rng.integers(len(places))], length)
    return Stroke(value, start, stop)


def correction(
    mask: Labels, preview: Labels, painted: Region, block: int, length: float
) -> Stroke | None:
    """Return a stroke through the largest patch in which the preview is wrong.

    Parameters
    ----------
    mask, painted, block, length
        As of :func:`first_stroke`.
    preview : (rows, cols) int array
        What is predicted, in the values of `mask`.

    Returns
    -------
    Stroke or None
        None where the preview is right wherever one could paint.
    """
    wrong = (preview != mask) & (mask > 0) & ~painted
    best: tuple[int, int, Region] | None = None
    for value in np.unique(mask[wrong]):
        # one looks at patches, not at single pixels along a border
        patches, n_patches = ndimage.label(ndimage.binary_opening(wrong & (mask == value)))
        sizes = np.bincount(patches.ravel(), minlength=n_patches + 1)[1:]
        if n_patches and (best is None or sizes.max() > best[0]):
            best = int(sizes.max()), int(value), patches == 1 + sizes.argmax()
    if best is None:
        return None
    _, value, patch = best
    depth = ndimage.distance_transform_edt(np.pad(mask == value, 1))[1:-1, 1:-1]
    # where it is wrong, and as far inside its own region as it can be
    deepest = np.unravel_index(np.where(patch, depth, 0).argmax(), patch.shape)
    inside = patch & room(mask == value, block)
    start, stop = longest_line(inside, np.asarray(deepest), length)
    return Stroke(value, start, stop)


def room(region: Region, block: int) -> Region:
    """Return where the mouse may be so that the block under it lies mostly in a region."""
    padded = np.pad(region, 1, mode="edge")  # beyond the image there is no other class
    return (ndimage.distance_transform_edt(padded) >= 0.75 * block)[1:-1, 1:-1]


def longest_line(inside: Region, place: NDArray[np.integer], length: float) -> tuple[Place, Place]:
    """Return the ends of the longest straight line through a place that stays inside a region."""
    best: tuple[Place, Place] = (tuple(map(float, place)), tuple(map(float, place)))
    reach = 0.0
    for angle in _ANGLES:
        step = np.array([np.sin(angle), np.cos(angle)])
        ahead = _steps_inside(inside, place, step, length)
        back = _steps_inside(inside, place, -step, length - ahead)
        if ahead + back > reach:
            reach = ahead + back
            best = tuple(place - back * step), tuple(place + ahead * step)
    return best


def _steps_inside(
    inside: Region, place: NDArray[np.integer], step: NDArray[np.floating], most: float
) -> float:
    """Return how many pixels one can go before a region ends."""
    reach = np.arange(1, max(int(most), 0) + 1)
    at = np.round(place + reach[:, None] * step).astype(int)
    within = ((at >= 0) & (at < inside.shape)).all(axis=1)
    at = np.clip(at, 0, np.array(inside.shape) - 1)
    stays = np.append(within & inside[at[:, 0], at[:, 1]], False)
    return float(stays.argmin())
