"""Head and network, scored on the same held-out blocks, at the same points."""

from __future__ import annotations

import hashlib
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
#: Standard errors of a lead beyond which the one that leads is held for the better one: one that is
#: not better leads by as much one time in ten.
SURE = 1.28
#: Blocks on which two have to differ before anything is told: of fewer, the error itself is not
#: known.
MIN_DIFFERENT = 5
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


@dataclass(frozen=True)
class Lead:
    """By how much one classifier's mean IoU is above another's.

    Parameters
    ----------
    mean : float
        The difference, -1..1.
    error : float
        Its standard error.
    n_different : int
        Blocks on which the two differ.
    """

    mean: float = 0.0
    error: float = 0.0
    n_different: int = 0

    @property
    def sure(self) -> bool:
        """Whether it is more than chance gives one that is not better, nine times in ten."""
        return self.n_different >= MIN_DIFFERENT and abs(self.mean) > SURE * self.error


def lead_of(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    truth: NDArray[np.int64],
    n_classes: int,
    blocks: NDArray[np.int64],
    per_block: int,
) -> Lead:
    """Compare two classifiers on the same points.

    Parameters
    ----------
    one, other, truth : (n,) int arrays
        Class indices.
    n_classes : int
        Number of classes; those that :func:`score` leaves out are left out.
    blocks : (n,) int array
        Number, from 0, of the block in which each point lies: it is blocks that were drawn, and
        points of the same block are no witnesses of their own.
    per_block : int
        Points of one block, as for :func:`score`.

    Returns
    -------
    Lead
        Of `one` over `other`; 0 where no class can be scored.

    Notes
    -----
    The error is the infinitesimal jackknife's (Efron, The Jackknife, the Bootstrap and Other
    Resampling Plans, 1982, ch. 6): the root of the sum over blocks of their squared influence on
    the difference. With ``h`` hits and union ``u`` of a class, ``h_b`` and ``u_b`` those of a
    block, the block's influence on that IoU is ``(h_b - u_b h / u) / u``.
    """
    n_blocks = int(blocks.max(initial=-1)) + 1
    enough = np.bincount(truth, minlength=n_classes) >= MIN_CLASS_BLOCKS * per_block
    mean, influence = 0.0, np.zeros(n_blocks)
    for index in np.flatnonzero(enough):
        for found, sign in ((one, 1.0), (other, -1.0)):
            hit = (truth == index) & (found == index)
            either = (truth == index) | (found == index)
            iou, union = hit.sum() / either.sum(), either.sum()
            mean += sign * iou
            of_block = np.bincount(blocks, hit - iou * either, n_blocks)
            influence += sign * of_block / union
    n_scored = max(1, int(enough.sum()))
    n_different = len(np.unique(blocks[one != other]))
    return Lead(mean / n_scored, float(np.linalg.norm(influence)) / n_scored, n_different)


def block_numbers(windows: Sequence[Window]) -> NDArray[np.int64]:
    """Return the number of the block, from 0, of each point of windows, window after window."""
    planes = {id(one.points.plane): number for number, one in enumerate(windows)}
    keys = [np.zeros((0, 3), np.int64)]
    for one in windows:
        plane = one.points.plane
        at = np.floor(one.points.places * (plane.grid.split / plane.grid.side)).astype(np.int64)
        keys.append(np.insert(at, 0, planes[id(plane)], axis=1))
    numbers: NDArray[np.int64] = np.unique(np.concatenate(keys), axis=0, return_inverse=True)[1]
    return numbers.reshape(-1)


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


def fingerprint(windows: Sequence[Window]) -> bytes:
    """Return what tells windows from others: scores of different points are not to be compared.

    It depends on where the points are and on their classes, not on their order.
    """
    parts = []
    for one in windows:
        points = one.points
        order = np.lexsort(points.places.T)
        found = hashlib.sha256(repr((points.plane.identity, one.extent)).encode())
        found.update(points.places[order].tobytes())
        found.update(points.classes[order].tobytes())
        parts.append(found.digest())
    return hashlib.sha256(b"".join(sorted(parts))).digest()


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
