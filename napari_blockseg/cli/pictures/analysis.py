"""The analysis plots: loss by frequency, what the layers hold, what truncation costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_blockseg.cli.pictures.chart import INK, Axes, Color, Page, legend

if TYPE_CHECKING:
    from napari_blockseg.core.analysis import Analysis, LayerSpectrum

_WIDTH, _HEIGHT, _MARGIN = 1120, 330, 72
_HALF = (_WIDTH - 3 * _MARGIN) / 2
_SHARES = tuple((i / 5, f"{i * 20} %") for i in range(6))
_BLOCK_AXIS = "cutoff, as the block size that resolves it (pixels)"

MOMENT_COLORS: dict[str, Color] = {
    "start": (128, 134, 142),
    "early": (230, 159, 0),
    "end": (0, 114, 178),
}
#: From the first to the last layer of a part of the network.
_RAMPS: dict[str, tuple[Color, Color]] = {
    "encoder": ((140, 190, 225), (8, 60, 120)),
    "aspp": ((213, 94, 0), (213, 94, 0)),
    "decoder": ((120, 195, 150), (0, 105, 75)),
    "head": ((136, 34, 85), (136, 34, 85)),
}
_DECADES_IN_STEPS = 2.5
_OTHER = ((160, 160, 160), (60, 60, 60))


def moment_color(moment: str) -> Color:
    """Return the color of a moment of training."""
    return MOMENT_COLORS.get(moment, INK)


def layer_colors(layers: Sequence[LayerSpectrum]) -> list[Color]:
    """Return a color a layer: a hue for each part of the network, darker toward its end."""
    found = []
    for layer in layers:
        part = [one.name for one in layers if one.stage == layer.stage]
        along = part.index(layer.name) / max(len(part) - 1, 1)
        first, last = _RAMPS.get(layer.stage, _OTHER)
        red, green, blue = (round(a + along * (b - a)) for a, b in zip(first, last, strict=True))
        found.append((red, green, blue))
    return found


def log_ticks(values: Sequence[float]) -> list[float]:
    """Return round numbers that enclose positive values: 1, 2, 5, 10 ... or powers of ten."""
    low, high = min(values), max(values)
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = [m * 10.0**e for e in exponents for m in (1, 2, 5)]
    if math.log10(high / low) > _DECADES_IN_STEPS:
        steps = [10.0**e for e in exponents]
    first = max((i for i, step in enumerate(steps) if step <= low), default=0)
    last = min((i for i, step in enumerate(steps) if step >= high), default=len(steps) - 1)
    return steps[first : last + 1]


def draw_loss(analysis: Analysis, path: Path) -> Path:
    """Write the cross-entropy by frequency, at each moment of training, as a PNG.

    Parameters
    ----------
    analysis : Analysis
        What was found.
    path : Path
        The file; its folder is created.
    """
    text = (
        "Cross-entropy against labels without their fine details: at the right end, all details "
        "count and the curve meets the cross-entropy itself (dashed)."
    )
    items = [
        (
            f"{one.moment}: step {one.step}, cross-entropy {one.loss.cross_entropy:.3f}",
            moment_color(one.moment),
        )
        for one in analysis.checkpoints
    ]
    page, top = _page("What the loss sees of the labels", text, items)
    _truncated(page, analysis, _MARGIN, top)
    _discrepancies(page, analysis, 2 * _MARGIN + _HALF, top)
    return page.save(path, top + _HEIGHT + 70)


def _truncated(page: Page, analysis: Analysis, left: float, top: float) -> None:
    curves = [one.loss for one in analysis.checkpoints]
    values = [v for loss in curves for v in (*loss.truncated, loss.cross_entropy) if v > 0]
    ticks = log_ticks(values or [0.1, 1.0])
    ends = (math.log10(ticks[0]), math.log10(ticks[-1]))
    x_ticks, x_ends = _block_ticks(curves[-1].cutoffs)
    axes = Axes(page, left, top, left + _HALF, top + _HEIGHT, x_ends, ends)
    y_ticks = [(math.log10(tick), f"{tick:g}") for tick in ticks]
    axes.frame("Cross-entropy below a cutoff (nats a pixel)", x_ticks, y_ticks, _BLOCK_AXIS)
    for one in analysis.checkpoints:
        color, whole = moment_color(one.moment), one.loss.cross_entropy
        if whole > 0:
            level = math.log10(whole)
            page.line([axes.place(x, level) for x in x_ends], color, 1.2, dash=4)
        ys = [math.log10(v) if v > 0 else math.nan for v in one.loss.truncated]
        axes.curve([math.log2(c) for c in one.loss.cutoffs], ys, color, 2.4)


def _discrepancies(page: Page, analysis: Analysis, left: float, top: float) -> None:
    x_ticks, x_ends = _block_ticks(analysis.end.loss.cutoffs)
    axes = Axes(page, left, top, left + _HALF, top + _HEIGHT, x_ends)
    axes.frame(
        "Excess over the full loss, as a share of its mean term", x_ticks, _SHARES, _BLOCK_AXIS
    )
    for one in analysis.checkpoints:
        ys = [_bounded(value) for value in one.loss.discrepancy_of_mean]
        axes.curve([math.log2(c) for c in one.loss.cutoffs], ys, moment_color(one.moment), 2.4)


def draw_layers(analysis: Analysis, path: Path) -> Path:
    """Write what each layer's activations and gradients consist of as a PNG; see `draw_loss`."""
    text = (
        "Share of energy, without the mean, below a cutoff, at the end of training. A layer whose "
        "curve is high at the left could work on a coarser grid. Dashed: the labels."
    )
    layers = analysis.end.layers
    colors = layer_colors(layers)
    items = [(one.name, color) for one, color in zip(layers, colors, strict=True)]
    page, top = _page("What the layers hold", text, items)
    parts: tuple[tuple[str, float, Callable[[LayerSpectrum], Sequence[float | None]]], ...] = (
        ("Activations", _MARGIN, lambda one: one.activations),
        ("Gradients of the loss", 2 * _MARGIN + _HALF, lambda one: one.gradients),
    )
    x_ticks, x_ends = _block_ticks(layers[0].cutoffs)
    for title, left, pick in parts:
        axes = Axes(page, left, top, left + _HALF, top + _HEIGHT, x_ends)
        axes.frame(title, x_ticks, _SHARES, _BLOCK_AXIS)
        for one, color in zip(layers, colors, strict=True):
            ys = [_bounded(value) for value in pick(one)]
            axes.curve([math.log2(c) for c in one.cutoffs], ys, color, 2.2)
        ys = [_bounded(value) for value in analysis.label_energy]
        axes.dashed([math.log2(c) for c in analysis.label_cutoffs], ys, INK)
    return page.save(path, top + _HEIGHT + 70)


def draw_trials(analysis: Analysis, path: Path) -> Path:
    """Write what other decoder strides cost without retraining as a PNG; see `draw_loss`."""
    page, top = _page("What a coarser decoder costs", analysis.reason, [])
    trials = analysis.trials
    entropies = [one.cross_entropy for one in trials]
    mious = [math.nan if one.miou is None else one.miou for one in trials]
    steps = _round_steps(max(entropies, default=1.0))
    shares = _round_steps(max((v for v in mious if v > 0), default=1.0))
    panels = (
        ("Cross-entropy (nats a pixel): lower is better", _MARGIN, entropies, steps),
        ("Mean IoU: higher is better", 2 * _MARGIN + _HALF, mious, shares),
    )
    xs = [math.log2(one.decoder_stride) for one in trials]
    ends = (min(xs) - 0.3, max(xs) + 0.3)
    x_ticks = [(x, str(one.decoder_stride)) for x, one in zip(xs, trials, strict=True)]
    for title, left, values, ticks in panels:
        y_ends = (0.0, ticks[-1][0])
        axes = Axes(page, left, top, left + _HALF, top + _HEIGHT, ends, y_ends)
        axes.frame(title, x_ticks, ticks, "decoder stride (working pixels)")
        if analysis.recommended_stride is not None:
            axes.mark(math.log2(analysis.recommended_stride), "recommended")
        axes.curve(xs, values, MOMENT_COLORS["end"], 2.6, dots=True)
        for x, value, following in zip(xs, values, [*values[1:], -math.inf], strict=True):
            if not math.isnan(value):
                at = axes.place(x, value)
                # Beside the upright mark, where there is one, and not on a curve that rises.
                marked = 2.0**x == analysis.recommended_stride
                free = (-8, "rs") if following > value else (8, "ls")
                aside, anchor = free if marked else (0, "ms")
                page.text(at[0] + aside, at[1] - 14, f"{value:.3f}", 12, INK, anchor)
    return page.save(path, top + _HEIGHT + 70)


def _page(heading: str, text: str, items: Sequence[tuple[str, Color]]) -> tuple[Page, float]:
    page = Page(_WIDTH, _HEIGHT + 300 + 26 * len(items), density=2)
    page.text(_MARGIN, 18, heading, 22)
    y = page.wrapped(_MARGIN, 54, text, _WIDTH - 2 * _MARGIN, 14)
    if items:
        y = legend(page, _MARGIN, y + 8, _WIDTH - 2 * _MARGIN, items)
    return page, y + 62


def _block_ticks(cutoffs: Sequence[float]) -> tuple[list[tuple[float, str]], tuple[float, float]]:
    low, high = math.log2(cutoffs[0]), math.log2(cutoffs[-1])
    places = [(math.log2(0.5 / block), block) for block in (2**i for i in range(13))]
    ticks = [(x, str(block)) for x, block in places if low - 1e-9 <= x <= high + 1e-9]
    return ticks, (low, high)


def _round_steps(top: float) -> list[tuple[float, str]]:
    """Return ticks from 0 in round steps, the last of them not below `top`."""
    scale = 10.0 ** math.floor(math.log10(top))
    step = next(m * scale for m in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if 5 * m * scale >= top)
    return [(i * step, f"{i * step:g}") for i in range(math.ceil(top / step - 1e-9) + 1)]


def _bounded(value: float | None) -> float:
    return math.nan if value is None else min(max(value, 0.0), 1.0)
