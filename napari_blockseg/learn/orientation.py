"""Do the images have an up and a down? Then turning them upside down teaches nonsense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

MIN_IMAGES = 5
MIN_ASYMMETRY = 0.25
_BINS = 6


def guess_orientation(
    cells: Sequence[NDArray[np.integer[Any]]], n_classes: int
) -> Literal["any", "upright"]:
    """Tell scenes (sky above, road below) from samples seen from above.

    Parameters
    ----------
    cells : sequence of (rows, cols) int arrays
        Class index of each label cell, -1 = unlabelled.
    n_classes : int
        Number of classes.

    Returns
    -------
    {"any", "upright"}
        "upright" when, over at least five images, classes keep to the upper or lower half much more
        than to the left or right one; the latter shows how much of it is chance.
    """
    labelled = [image for image in cells if (image >= 0).any()]
    if len(labelled) < MIN_IMAGES:
        return "any"
    vertical = _asymmetry(labelled, n_classes)
    sideways = _asymmetry([image.T for image in labelled], n_classes)
    return "upright" if vertical > max(MIN_ASYMMETRY, 2 * sideways) else "any"


def _asymmetry(images: Sequence[NDArray[np.integer[Any]]], n_classes: int) -> float:
    """Return how far classes' rows differ from the same turned upside down, 0 to 1."""
    table = np.zeros((n_classes, _BINS))
    for image in images:
        rows, cols = np.nonzero(image >= 0)
        bins = np.minimum((rows + 0.5) / image.shape[0] * _BINS, _BINS - 1).astype(int)
        np.add.at(table, (image[rows, cols], bins), 1)
    # What was painted where does not matter, only which class among what was painted there.
    share = table / np.maximum(table.sum(0), 1)
    both = (table.sum(0) > 0) & (table.sum(0)[::-1] > 0)
    if not both.any():
        return 0.0
    return float(0.5 * np.abs(share - share[:, ::-1]).sum(0)[both].mean())
