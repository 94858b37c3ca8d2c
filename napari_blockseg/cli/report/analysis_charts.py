"""The charts of the analysis page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from napari_blockseg.cli.pictures.analysis import layer_colors, log_ticks, moment_color
from napari_blockseg.cli.pictures.chart import INK
from napari_blockseg.cli.report.charts import Axis, Chart, Line, log2_axis, share_axis

if TYPE_CHECKING:
    from napari_blockseg.core.analysis import (
        Analysis,
        Checkpoint,
        LossCurve,
        TruncationTrial,
    )

_BLOCKS = "cutoff as block size (pixels)"
_BLUE = moment_color("end")
LABELS = "labels"


def loss_chart(analysis: Analysis) -> Chart:
    """Return the cross-entropy below each cutoff, with the cross-entropy itself dashed."""
    losses = [one.loss for one in analysis.checkpoints]
    values = [v for loss in losses for v in (*loss.truncated, loss.cross_entropy) if v > 0]
    lines = []
    for one in analysis.checkpoints:
        lines += [_truncated(one), _whole(one)]
    return Chart(
        id="loss",
        lines=lines,
        x=log2_axis(_BLOCKS, _blocks(losses[-1].cutoffs), rising=False),
        y=_log_axis("cross-entropy (nats a pixel)", values),
        legend=True,
        about="Cross-entropy against labels low-passed at each cutoff, by moment of training",
    )


def _truncated(one: Checkpoint) -> Line:
    loss = one.loss
    words = [
        f"{one.moment} of training, details down to blocks of {_size(block)} px: {value:.3f} "
        f"(all details: {loss.cross_entropy:.3f})"
        for block, value in zip(_blocks(loss.cutoffs), loss.truncated, strict=True)
    ]
    ys = [math.log10(v) if v > 0 else math.nan for v in loss.truncated]
    color, name = moment_color(one.moment), f"{one.moment} (step {one.step})"
    return Line(_log2(loss.cutoffs), ys, words, color, name, dots=False, width=2.6)


def _whole(one: Checkpoint) -> Line:
    xs = _log2(one.loss.cutoffs)
    whole = one.loss.cross_entropy
    y = math.log10(whole) if whole > 0 else math.nan
    words = [f"{one.moment} of training: cross-entropy {whole:.3f}"] * 2
    color = moment_color(one.moment)
    return Line([xs[0], xs[-1]], [y, y], words, color, dots=False, width=1.4, dash="dash")


def discrepancy_chart(analysis: Analysis, of_mean: bool) -> Chart:
    """Return a discrepancy by cutoff: of the mean term, or R, which is a share of the loss."""
    picked: Callable[[LossCurve], Sequence[float | None]] = (
        (lambda loss: loss.discrepancy_of_mean) if of_mean else (lambda loss: loss.discrepancy)
    )
    lines, values = [], []
    for one in analysis.checkpoints:
        ys = [math.nan if v is None else v for v in picked(one.loss)]
        values += [y for y in ys if y > 0]
        lines.append(_discrepancy(one, ys, of_mean))
    title = "(L\u2032 - L) / mean term" if of_mean else "R = |L\u2032 - L| / L"
    if not of_mean:
        lines = [_as_log(line) for line in lines]
    # Below a thousandth nothing matters any more.
    enough = [max(value, 1e-3) for value in values]
    return Chart(
        id="of-mean" if of_mean else "discrepancy",
        lines=lines,
        x=log2_axis(_BLOCKS, _blocks(analysis.end.loss.cutoffs), rising=False),
        y=share_axis(title) if of_mean else _log_axis(title, enough),
        legend=True,
        about="Discrepancy of the truncated cross-entropy by cutoff",
    )


def _discrepancy(one: Checkpoint, ys: list[float], of_mean: bool) -> Line:
    what = "of the loss's mean term" if of_mean else "of the loss itself"
    words = [
        f"{one.moment}: without details finer than blocks of {_size(block)} px the loss is off by "
        f"{y:.1%} {what} (cross-entropy {one.loss.cross_entropy:.3f})"
        for block, y in zip(_blocks(one.loss.cutoffs), ys, strict=True)
    ]
    xs, color = _log2(one.loss.cutoffs), moment_color(one.moment)
    return Line(xs, ys, words, color, one.moment, dots=False, width=2.4)


def _as_log(line: Line) -> Line:
    ys = [math.log10(y) if y > 0 else math.nan for y in line.ys]
    return Line(line.xs, ys, line.words, line.color, line.name, dots=False, width=line.width)


def layers_chart(analysis: Analysis, gradients: bool) -> Chart:
    """Return the share of energy of every layer below each cutoff, a moment at a time."""
    lines = [line for one in analysis.checkpoints for line in _layer_lines(one, gradients)]
    cutoffs = [c for one in analysis.end.layers for c in one.cutoffs]
    what = "gradients" if gradients else "activations"
    return Chart(
        id=what,
        lines=[*lines, _label_line(analysis)],
        x=log2_axis(_BLOCKS, _blocks([min(cutoffs), max(cutoffs)]), rising=False),
        y=share_axis(f"share of the energy of {what}"),
        about=f"Share of the energy of each layer's {what} below each cutoff",
    )


def _layer_lines(one: Checkpoint, gradients: bool) -> list[Line]:
    what = "gradients" if gradients else "activations"
    lines = []
    for layer, color in zip(one.layers, layer_colors(one.layers), strict=True):
        shares = layer.gradients if gradients else layer.activations
        ys = [math.nan if share is None else share for share in shares]
        words = [
            f"{layer.name}, {one.moment} of training: a grid of {_size(block)} px would keep "
            f"{y:.0%} of the {what}"
            for block, y in zip(_blocks(layer.cutoffs), ys, strict=True)
        ]
        xs, label = _log2(layer.cutoffs), layer.name
        lines.append(Line(xs, ys, words, color, label, label=label, moment=one.moment, dots=False))
    return lines


def _label_line(analysis: Analysis) -> Line:
    ys = [math.nan if share is None else share for share in analysis.label_energy]
    words = [
        f"labels: blocks of {_size(block)} px hold {y:.0%} of their shape"
        for block, y in zip(_blocks(analysis.label_cutoffs), ys, strict=True)
    ]
    xs = _log2(analysis.label_cutoffs)
    return Line(xs, ys, words, INK, "labels", label=LABELS, dots=False, width=1.8, dash="dash")


def layer_entries(analysis: Analysis) -> list[tuple[str, str, tuple[int, int, int]]]:
    """Return what the buttons of the layer charts say."""
    layers = analysis.end.layers
    colors = layer_colors(layers)
    entries = [(one.name, one.name, color) for one, color in zip(layers, colors, strict=True)]
    return [*entries, (LABELS, "the labels (dashed)", INK)]


def trials_chart(analysis: Analysis, miou: bool) -> Chart:
    """Return cross-entropy or mIoU of the trained weights against the decoder stride."""
    picked: Callable[[TruncationTrial], float | None] = (
        (lambda one: one.miou) if miou else (lambda one: one.cross_entropy)
    )
    what = "mean IoU" if miou else "cross-entropy"
    ys = [math.nan if picked(one) is None else float(picked(one) or 0.0) for one in analysis.trials]
    strides = [one.decoder_stride for one in analysis.trials]
    words = [
        f"decoder stride {stride}: {what} {y:.3f}" for stride, y in zip(strides, ys, strict=True)
    ]
    best = analysis.recommended_stride
    return Chart(
        id="trials-miou" if miou else "trials-loss",
        lines=[Line([math.log2(s) for s in strides], ys, words, _BLUE, width=2.8)],
        x=log2_axis("decoder stride (working pixels)", strides),
        y=_from_zero(what + (": higher is better" if miou else ": lower is better"), ys),
        marks=[] if best is None else [(math.log2(best), f"recommended: {best}")],
        about=f"{what} of the trained weights by decoder stride, without training again",
    )


def _from_zero(title: str, values: Sequence[float]) -> Axis:
    top = max((v for v in values if math.isfinite(v)), default=1.0) or 1.0
    step = 10.0 ** math.floor(math.log10(top))
    step = next(m * step for m in (0.1, 0.2, 0.5, 1.0, 2.0) if 6 * m * step >= top)
    count = math.ceil(top / step) + 1
    return Axis(title, [(i * step, f"{i * step:g}") for i in range(count)], (0.0, top * 1.1))


def _log_axis(title: str, values: Sequence[float]) -> Axis:
    ticks = log_ticks(values or [0.1, 1.0])
    pad = 0.03
    ends = (math.log10(ticks[0]) - pad, math.log10(ticks[-1]) + pad)
    return Axis(title, [(math.log10(tick), f"{tick:g}") for tick in ticks], ends)


def _blocks(cutoffs: Sequence[float]) -> list[float]:
    return [0.5 / cutoff for cutoff in cutoffs]


def _log2(cutoffs: Sequence[float]) -> list[float]:
    return [math.log2(block) for block in _blocks(cutoffs)]


def _size(block: float) -> str:
    return f"{block:.0f}" if block >= 10 or float(block).is_integer() else f"{block:.1f}"
