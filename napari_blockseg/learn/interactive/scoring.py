"""Head and network, scored on the same held-out blocks, at the same points."""

from __future__ import annotations

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
MAX_WINDOWS = 16


@dataclass(frozen=True)
class Score:
    """IoU in 0..1 of each class by name, and their mean; None where nothing can be said."""

    miou: float | None
    iou: dict[str, float | None]


@dataclass(frozen=True)
class Points:
    """Held-out points of a plane: places (n, 2) in working pixels, and class indices (n,)."""

    plane: PlaneFeatures
    places: NDArray[np.float32]
    classes: NDArray[np.int64]


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


def network_says(
    model: Model, points: Sequence[Points]
) -> Generator[None, None, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Let a network classify held-out points, one window between two yields.

    Returns
    -------
    truth, found : (n,) int arrays
        Class indices; of at most `MAX_WINDOWS` windows, always the same ones for the same points.
    """
    truth, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    jobs = []
    for one in points:
        keys, which = np.unique(one.places.astype(int) // WINDOW, axis=0, return_inverse=True)
        which = which.reshape(-1)
        jobs += [(one, which == number, key) for number, key in enumerate(keys)]
    step = max(1, -(-len(jobs) // MAX_WINDOWS))
    for one, chosen, key in jobs[::step]:
        found.append(_window_says(model, one.plane, one.places[chosen], key))
        truth.append(one.classes[chosen])
        yield
    return np.concatenate(truth), np.concatenate(found)


def _window_says(
    model: Model, plane: PlaneFeatures, places: NDArray[np.float32], key: NDArray[np.int64]
) -> NDArray[np.int64]:
    edges = []
    for at, length in zip(key, plane.shape, strict=True):
        edges.append(max(0, int(at) * WINDOW - CONTEXT))
        edges.append(min(round_up(length), (int(at) + 1) * WINDOW + CONTEXT))
    image = plane.window((edges[0], edges[1], edges[2], edges[3]))
    logits = run_tiles(model.network, image[None], model.device)[0]
    stride = image.shape[1] / logits.shape[1]
    at = torch.from_numpy(places) - torch.tensor([edges[0], edges[2]], dtype=torch.float32)
    return largest(interpolated(logits, at / stride - 0.5))


def largest(logits: Tensor) -> NDArray[np.int64]:
    """Return the class index of the largest logit of each row of (n, classes)."""
    found: NDArray[np.int64] = logits.argmax(1).numpy()
    return found
