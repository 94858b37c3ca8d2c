"""Head and network, scored on the same held-out blocks, at the same points."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.holdout import MIN_CLASS_BLOCKS
from napari_blockseg.learn.interactive.features import PlaneFeatures
from napari_blockseg.learn.interactive.head import interpolated
from napari_blockseg.learn.stitching import run_tiles
from napari_blockseg.nets.network import round_up

#: Side of the windows in which the network is scored, in working pixels, without their context.
WINDOW = 192
CONTEXT = 128
#: Standard deviations of chance beyond which one of two is held for the better one.
SURE = 1.64
#: Pixels that the network looks at for one score, context included.
MAX_PIXELS = 16 * (WINDOW + 2 * CONTEXT) ** 2


@dataclass(frozen=True)
class Score:
    """IoU in 0..1 of each class by name, and their mean; None where nothing can be said."""

    miou: float | None
    iou: dict[str, float | None]


@dataclass(frozen=True)
class Points:
    """Held-out points of a plane, or of a window of it.

    Parameters
    ----------
    plane : PlaneFeatures
        The plane.
    places : (n, 2) float array
        Rows and cols in working pixels.
    classes : (n,) int array
        Class indices.
    features : (n, channels) tensor
        What the head sees there.
    """

    plane: PlaneFeatures
    places: NDArray[np.float32]
    classes: NDArray[np.int64]
    features: Tensor


@dataclass(frozen=True)
class Window:
    """Points inside a window (row start, row stop, col start, col stop), context included."""

    points: Points
    extent: tuple[int, int, int, int]

    @property
    def pixels(self) -> int:
        """Working pixels that the network has to look at."""
        top, bottom, left, right = self.extent
        return (bottom - top) * (right - left)


def score(
    truth: NDArray[np.int64], found: NDArray[np.int64], classes: Sequence[ClassInfo], per_block: int
) -> Score:
    """Score class indices at points.

    Parameters
    ----------
    truth, found : (n,) int arrays
        Class indices.
    classes : sequence of ClassInfo
        The classes.
    per_block : int
        Points of one block: a class needs as many as 5 blocks have.
    """
    n = len(classes)
    table = np.bincount(truth * n + found, minlength=n * n).reshape(n, n)
    hits = np.diag(table)
    union = table.sum(0) + table.sum(1) - hits
    enough = table.sum(1) >= MIN_CLASS_BLOCKS * per_block
    iou = {
        info.name: float(hits[i] / union[i]) if enough[i] else None
        for i, info in enumerate(classes)
    }
    known = [value for value in iou.values() if value is not None]
    return Score(float(np.mean(known)) if known else None, iou)


def can_tell(
    truth: NDArray[np.int64],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    per_block: int,
) -> bool:
    """Return whether the points tell two classifiers apart, whichever is better.

    Parameters
    ----------
    truth, one, other : (n,) int arrays
        Class indices.
    per_block : int
        Points of one block; they are right or wrong together, so they count as one.

    Notes
    -----
    McNemar's test (Psychometrika 12, 1947): of the blocks that only one of them has right, ``a``
    and ``b``, chance alone gives ``|a - b| > 1.64 sqrt(a + b)`` one time in ten.
    """
    wins = float(((one == truth) & (other != truth)).sum()) / per_block
    losses = float(((one != truth) & (other == truth)).sum()) / per_block
    return abs(wins - losses) > SURE * math.sqrt(wins + losses)


def choose_windows(points: Sequence[Points]) -> list[Window]:
    """Return what is scored: all that is held out, or as evenly as `MAX_PIXELS` allow.

    Always the same for the same points. A plane no larger than a window with its context is one.
    """
    found = []
    for one in points:
        sides = [_window_side(length) for length in one.plane.shape]
        keys, which = np.unique(one.places.astype(int) // sides, axis=0, return_inverse=True)
        for number, key in enumerate(keys):
            inside = which.reshape(-1) == number
            part = Points(one.plane, one.places[inside], one.classes[inside], one.features[inside])
            found.append(Window(part, _extent(one.plane, key, sides)))
    step = max(1, -(-sum(window.pixels for window in found) // MAX_PIXELS))
    return found[::step]


def network_says(
    model: Model, windows: Sequence[Window]
) -> Generator[None, None, NDArray[np.int64]]:
    """Let a network classify the points of windows, one window between two yields.

    Returns
    -------
    (n,) int array
        Class indices, window after window.
    """
    found = [np.zeros(0, np.int64)]
    for window in windows:
        found.append(_window_says(model, window))
        yield
    return np.concatenate(found)


def _window_side(length: int) -> int:
    whole = round_up(length)
    return whole if whole <= WINDOW + 2 * CONTEXT else WINDOW


def _extent(
    plane: PlaneFeatures, key: NDArray[np.int64], sides: Sequence[int]
) -> tuple[int, int, int, int]:
    edges = []
    for at, length, side in zip(key, plane.shape, sides, strict=True):
        edges.append(max(0, int(at) * side - CONTEXT))
        edges.append(min(round_up(length), (int(at) + 1) * side + CONTEXT))
    return edges[0], edges[1], edges[2], edges[3]


def _window_says(model: Model, window: Window) -> NDArray[np.int64]:
    image = window.points.plane.window(window.extent)
    logits = run_tiles(model.network, image[None], model.device)[0]
    stride = image.shape[1] / logits.shape[1]
    top, _, left, _ = window.extent
    at = torch.from_numpy(window.points.places) - torch.tensor([top, left], dtype=torch.float32)
    return largest(interpolated(logits, at / stride - 0.5))


def largest(logits: Tensor) -> NDArray[np.int64]:
    """Return the class index of the largest logit of each row of (n, classes)."""
    found: NDArray[np.int64] = logits.argmax(1).numpy()
    return found
