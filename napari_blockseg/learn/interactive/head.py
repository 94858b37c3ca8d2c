"""A linear head on a frozen encoder's features: from a few strokes, in a fraction of a second.

Multinomial logistic regression. Its input at a point is every stage, interpolated there; each
channel is standardized, each stage weighs the same whatever its number of channels, the last one
less: it is the one made for ImageNet's classes. A linear map and interpolation commute, so a
prediction maps each stage on its own small grid and interpolates the logits.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_blockseg.learn.interactive.features import LRG, Features
from napari_blockseg.nets.network import Network
from napari_blockseg.nets.stages import LinearHead

#: Weight decay, found on the bundled samples and on validation images; a third or three times of it
#: is as good.
DECAY = 3e-2
ITERATIONS = 40
#: Points that one fit looks at; classes keep their shares above a few hundred each.
MAX_POINTS = 20_000
#: Those of the fit that a preview waits for; all of them follow when nothing else does.
QUICK_POINTS = 4_000
_MIN_OF_CLASS = 500
#: A fit of many points takes seconds: strokes come between its pieces.
_ITERATIONS_A_PIECE = 10
#: Change of the loss, in nats, at which it ends before `ITERATIONS`.
_ENOUGH = 1e-7
LAST_STAGE = 0.3
#: Sum over a stage's channels of the squared scale.
_STAGE_POWER = 64.0
_NEVER = -1e4
#: Of a class without a label in a network: so much lower than the others, in nats.
_UNLIKELY = 2.0


@dataclass(frozen=True)
class Scaling:
    """Mean and factor of each channel of all stages, concatenated, (channels,)."""

    mean: Tensor
    factor: Tensor


@dataclass(frozen=True)
class Sample:
    """Points to fit to: (n, channels), not yet standardized, and their class indices (n,).

    ``counts`` (classes,) are those of all points that they were chosen from.
    """

    points: Tensor
    classes: Tensor
    counts: Tensor

    @classmethod
    def whole(cls, points: Tensor, classes: Tensor, n_classes: int) -> Sample:
        """Return all of some points."""
        return cls(points, classes, torch.bincount(classes, minlength=n_classes))


@dataclass(frozen=True)
class Head:
    """A linear classifier of standardized features.

    Parameters
    ----------
    scaling : Scaling
        How channels are standardized.
    weight : (channels, classes) tensor
    bias : (classes,) tensor
        Very low for classes without a label.
    loss : float
        Weighted cross-entropy of what it was fitted to, in nats.
    """

    scaling: Scaling
    weight: Tensor
    bias: Tensor
    loss: float

    def logits(self, features: Features) -> Tensor:
        """Return logits (classes, rows, cols) on the LRG of a tile."""
        return self.coarse([stage[None] for stage in features.stages], features.strides)[0]

    def at(self, points: Tensor) -> Tensor:
        """Return logits (n, classes) of points (n, channels)."""
        return (points - self.scaling.mean) * self.scaling.factor @ self.weight + self.bias

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight (channels, classes) and bias (classes,) for features as they come."""
        weight = self.weight * self.scaling.factor[:, None]
        return weight, self.bias - self.scaling.mean @ weight

    def put_into(self, linear: LinearHead) -> None:
        """Give a network's linear map these weights, for features as they come.

        A class without a label gets what is unlikely, not what is impossible: it may be painted
        later, and has to be learned then.
        """
        weight, bias = self.folded()
        least = bias[bias > _NEVER / 2].min() - _UNLIKELY
        with torch.no_grad():
            linear.head.weight.copy_(weight.T[:, :, None, None])
            linear.head.get_parameter("bias").copy_(bias.clamp_min(least))

    def coarse(self, stages: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
        """Return logits (n, classes, rows, cols) on the LRG from stages (n, channels, ., .)."""
        weight, bias = self.folded()
        rows, cols = (length * strides[0] // LRG for length in stages[0].shape[-2:])
        total = bias.view(1, -1, 1, 1).expand(len(stages[0]), -1, rows, cols).clone()
        start = 0
        for stage, stride in zip(stages, strides, strict=True):
            part = weight[start : start + stage.shape[1]].T[:, :, None, None]
            start += stage.shape[1]
            mapped = F.conv2d(stage.float(), part.to(stage.device)).to(total.device)
            if stride > LRG:
                mapped = F.interpolate(
                    mapped, scale_factor=stride // LRG, mode="bilinear", align_corners=False
                )
            total += mapped
        return total


def put_head(network: Network, head: Head) -> None:
    """Make a network with a shortcut say what a head says, and its decoder nothing yet."""
    if network.shortcut is None:
        raise ValueError("a head can be put into a network with a shortcut only")
    head.put_into(network.shortcut)
    for parameter in network.decoder.get_submodule("head").parameters():
        nn.init.zeros_(parameter)


def measure_scaling(tiles: Sequence[Features]) -> Scaling:
    """Return how the channels of these tiles become alike."""
    means, factors = [], []
    last = len(tiles[0].stages) - 1
    for index in range(last + 1):
        parts = [tile.stages[index].float().flatten(1) for tile in tiles]
        n = sum(part.shape[1] for part in parts)
        mean = torch.stack([part.sum(1) for part in parts]).sum(0) / n
        square = torch.stack([(part - mean[:, None]).square().sum(1) for part in parts]).sum(0) / n
        share = (_STAGE_POWER / len(mean)) ** 0.5 * (LAST_STAGE if index == last else 1.0)
        means.append(mean)
        factors.append(share / (square.sqrt() + 1e-5))
    return Scaling(torch.cat(means), torch.cat(factors))


def label_points(
    cells: NDArray[np.integer[Any]], width: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return where labelled cells are looked at.

    Parameters
    ----------
    cells : (rows, cols) int array
        Class index of each label cell, -1 = unlabelled.
    width : float
        Of a cell, in working pixels.

    Returns
    -------
    places : (n, 2) float array
        Rows and cols in working pixels: the centers of the cells of the LRG that a block covers,
        or of the block where it covers none.
    classes : (n,) int array
        Class index of each.
    """
    found = np.argwhere(cells >= 0)
    classes = cells[tuple(found.T)].astype(np.int64)
    along = max(1, round(width / LRG))
    offsets = (np.arange(along) + 0.5) / along
    inside = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), -1).reshape(1, -1, 2)
    places = (found[:, None] + inside).reshape(-1, 2) * width
    return places.astype(np.float32), classes.repeat(along * along)


def gather(features: Features, places: NDArray[np.float32]) -> Tensor:
    """Return all channels of a tile, (n, channels), at places in working pixels."""
    at = torch.from_numpy(places) - torch.tensor(features.origin, dtype=torch.float32)
    parts = [
        interpolated(stage, at / stride - 0.5)
        for stage, stride in zip(features.stages, features.strides, strict=True)
    ]
    return torch.cat(parts, 1)


def fit(sample: Sample, scaling: Scaling, start: Head | None = None) -> Head:
    """Fit a head to points, all at once; see :func:`fitting`."""
    steps = fitting(sample, scaling, start)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            head: Head = end.value
            return head


def fitting(
    sample: Sample, scaling: Scaling, start: Head | None = None
) -> Generator[None, None, Head]:
    """Fit a head to points, some iterations between two yields.

    Parameters
    ----------
    sample : Sample
        What to fit to; classes without a point are never predicted.
    scaling : Scaling
        How to standardize.
    start : Head, optional
        Where to start, with the same scaling.

    Notes
    -----
    Minimizes the cross-entropy, weighted by the inverse square root of the classes' numbers, plus
    `DECAY` times the sum of the squared weights, by L-BFGS. It is convex: the start decides how
    long it takes, not where it ends.
    """
    x = (sample.points.float() - scaling.mean) * scaling.factor
    y, counts = sample.classes, sample.counts.float()
    n_classes = len(counts)
    share = counts.clamp_min(1).pow(-0.5)[y]
    # Choosing among the points must not change what a class weighs.
    thin = (counts / torch.bincount(y, minlength=n_classes).clamp_min(1))[y]
    share = share * thin / (share * thin).sum()
    never = torch.where(counts > 0, 0.0, _NEVER)
    known = start is not None and start.weight.shape == (x.shape[1], n_classes)
    weight = start.weight.clone() if known and start else torch.zeros(x.shape[1], n_classes)
    bias = start.bias.clamp_min(_NEVER / 2) if known and start else torch.zeros(n_classes)
    bias = torch.where(bias > _NEVER / 4, bias, 0.0)
    weight.requires_grad_(True)
    bias.requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS_A_PIECE,
        max_eval=4 * _ITERATIONS_A_PIECE,
        tolerance_change=_ENOUGH,
        history_size=10,
        line_search_fn="strong_wolfe",
    )
    entropy = 0.0

    def closure() -> Tensor:
        nonlocal entropy
        optimizer.zero_grad()
        loss = (F.cross_entropy(x @ weight + bias + never, y, reduction="none") * share).sum()
        entropy = float(loss.detach())
        total = loss + DECAY * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    for done in range(_ITERATIONS_A_PIECE, ITERATIONS + 1, _ITERATIONS_A_PIECE):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        if optimizer.state[weight]["n_iter"] < done:
            break
        yield
    return Head(scaling, weight.detach(), bias.detach() + never, entropy)


def thinned(classes: NDArray[np.int64], most: int) -> NDArray[np.intp]:
    """Return which points to look at, sorted: all, or about `most`, rare classes whole."""
    if len(classes) <= most:
        return np.arange(len(classes))
    counts = np.bincount(classes)
    quota = max(_MIN_OF_CLASS, most // int((counts > 0).sum()))
    kept = []
    for value in np.flatnonzero(counts):
        of_class = np.flatnonzero(classes == value)
        kept.append(of_class[:: -(-len(of_class) // quota)])
    return np.sort(np.concatenate(kept))


def interpolated(stage: Tensor, at: Tensor) -> Tensor:
    """Return (n, channels) of a stage (channels, rows, cols) at places (n, 2) in its cells."""
    limits = torch.tensor(stage.shape[1:], dtype=torch.float32) - 1
    at = torch.minimum(at.clamp_min(0), limits)
    low = torch.minimum(at.floor(), (limits - 1).clamp_min(0))
    share = at - low
    first = low.long()
    second = torch.minimum(first + 1, limits.long())
    rows = stage.shape[2]
    flat = stage.flatten(1)

    def take(row: Tensor, col: Tensor) -> Tensor:
        return flat[:, row * rows + col].float().T

    top = torch.lerp(take(first[:, 0], first[:, 1]), take(first[:, 0], second[:, 1]), share[:, 1:])
    bottom = torch.lerp(
        take(second[:, 0], first[:, 1]), take(second[:, 0], second[:, 1]), share[:, 1:]
    )
    return torch.lerp(top, bottom, share[:, :1])
