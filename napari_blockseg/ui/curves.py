"""Geometry of the plots: what is drawn where, in which color. Pure numpy, no Qt."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo

Color = tuple[int, int, int]
FloatArray = NDArray[np.float64]

#: Least contrast between a curve and its background; WCAG asks 3 of graphics.
_CONTRAST = 2.6


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a plot: points (x, y), color, name, width in pixels; NaN breaks the line."""

    name: str
    x: FloatArray
    y: FloatArray
    color: Color
    width: float = 1.6
    #: (low, high) of a band around the line, None without one.
    band: tuple[FloatArray, FloatArray] | None = None
    #: Lengths of dash and gap, in widths of the line; None for a whole line.
    dash: tuple[float, float] | None = None


@dataclass
class TrainingHistory:
    """What a training run has said so far."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    val_steps: list[int] = field(default_factory=list)
    mious: list[float] = field(default_factory=list)
    ious: dict[str, list[float]] = field(default_factory=dict)

    def add_step(self, step: int, loss: float | None) -> None:
        """Note the loss of a step; one that was there before begins anew from there."""
        if self.steps and step <= self.steps[-1]:
            self._forget_from(step)
        self.steps.append(step)
        self.losses.append(_number(loss))

    def add_validation(self, step: int, miou: float | None, iou: dict[str, float | None]) -> None:
        """Note a validation; classes may come and go between two of them."""
        for name in iou:
            self.ious.setdefault(name, [math.nan] * len(self.val_steps))
        self.val_steps.append(step)
        self.mious.append(_number(miou))
        for name, values in self.ious.items():
            values.append(_number(iou.get(name)))

    def _forget_from(self, step: int) -> None:
        """Let go of what was said of a step and later: other classes may have begun it anew."""
        kept = bisect.bisect_left(self.steps, step)
        del self.steps[kept:], self.losses[kept:]
        kept = bisect.bisect_left(self.val_steps, step)
        for values in (self.val_steps, self.mious, *self.ious.values()):
            del values[kept:]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def luminance(color: Color) -> float:
    """Return the relative luminance of an sRGB color, 0 to 1 (WCAG 2)."""
    parts = np.asarray(color) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(first: Color, second: Color) -> float:
    """Return the contrast of two colors, 1 (none) to 21."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def readable(color: Color, background: Color, least: float = _CONTRAST) -> Color:
    """Return the color, moved towards black or white until it can be told from the background."""
    goal = 0 if luminance(background) > 0.18 else 255
    for share in np.linspace(0, 1, 21):
        moved = tuple(round(part + (goal - part) * float(share)) for part in color)
        if contrast(moved, background) >= least:
            return moved
    return (goal, goal, goal)


def mixed(first: Color, second: Color, share: float) -> Color:
    """Return the color that lies `share` of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def thinned(
    x: Sequence[float], y: Sequence[float], points: int = 400
) -> tuple[FloatArray, FloatArray]:
    """Return at most `points` points of a long line: the mean of each run of neighbors."""
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    run = math.ceil(len(xs) / points) if len(xs) else 1
    if run == 1:
        return xs, ys
    starts = np.arange(0, len(xs), run)
    known = np.isfinite(ys)
    sums = np.add.reduceat(np.where(known, ys, 0.0), starts)
    counts = np.add.reduceat(known.astype(float), starts)
    sizes = np.diff([*starts, len(xs)])
    means = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    return np.add.reduceat(xs, starts) / sizes, means


def smoothed(y: FloatArray, share: float = 0.05) -> FloatArray:
    """Return the running mean of a noisy line over `share` of its length; NaN is passed over."""
    half = round(len(y) * share / 2)
    if half < 1:
        return y
    known = np.isfinite(y)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, y, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    index = np.arange(len(y))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(y))
    number = counts[high] - counts[low]
    return np.divide(sums[high] - sums[low], number, out=np.full(len(y), np.nan), where=number > 0)


def loss_curves(history: TrainingHistory, accent: Color, background: Color) -> list[Curve]:
    """Return the loss of the steps, faint, and its running mean."""
    x, y = thinned(history.steps, history.losses)
    faint = mixed(accent, background, 0.6)
    return [Curve("loss", x, y, faint, 1.0), Curve("mean loss", x, smoothed(y), accent, 2.0)]


def iou_curves(
    history: TrainingHistory, classes: Sequence[ClassInfo], text: Color, background: Color
) -> list[Curve]:
    """Return held-out IoU per class in its color, and last the mean of all in the text's color."""
    x = np.asarray(history.val_steps, dtype=float)
    colors = {info.name: info.color for info in classes}
    curves = [
        Curve(name, x, np.asarray(values), readable(colors[name], background), 1.2)
        for name, values in history.ious.items()
        if name in colors and np.isfinite(values).any()
    ]
    if np.isfinite(history.mious).any():
        curves.append(Curve("mean", x, np.asarray(history.mious), text, 2.4))
    return curves
