"""The charts of the spectrum page, out of findings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.cli.pictures.chart import Color
from napari_blockseg.cli.report.charts import Axis, Chart, Line, log2_axis, share_axis

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum import Findings

FloatArray = NDArray[np.float64]

#: Coarser blocks than this are no choice for anybody, in pixels.
_COARSEST = 256
#: Of lines that are no class; told apart without color vision too.
_BLUE, _ORANGE, _GREEN, _PURPLE = (0, 114, 178), (213, 94, 0), (0, 158, 115), (136, 34, 85)


def spectrum_chart(findings: Findings) -> Chart:
    """Return the share of energy of each class against the cutoff, which is a block size."""
    curve = findings.curve
    blocks = 0.5 / curve.cutoffs
    seen = (curve.energy > 0).any(axis=0) & (blocks <= _COARSEST * (1 + 1e-9))
    if not seen.any():
        seen = np.ones(len(blocks), bool)
    xs = np.log2(blocks[seen])
    lines = [
        _class_line(findings, i, xs, blocks[seen], curve.energy[i, seen], curve.error[i, seen])
        for i in range(len(findings.classes))
    ]
    return Chart(
        id="spectrum",
        lines=lines,
        x=log2_axis("cutoff as block size (pixels)", blocks[seen].tolist(), rising=False),
        y=share_axis("share of the class's energy"),
        marks=_marks(findings),
        about="Label spectrum: share of each class's energy that blocks of each size can hold",
    )


def _class_line(
    findings: Findings,
    i: int,
    xs: FloatArray,
    blocks: FloatArray,
    energy: FloatArray,
    error: FloatArray,
) -> Line:
    info = findings.classes[i]
    known = np.nan_to_num(error)
    words = [
        f"{info.name}: blocks of {_size(block)} px hold {share:.0%}"
        f"{f' (± {half:.0%})' if half > 0 else ''} of its shape"
        for block, share, half in zip(blocks, np.nan_to_num(energy), known, strict=True)
    ]
    band = (np.clip(energy - error, 0, 1).tolist(), np.clip(energy + error, 0, 1).tolist())
    # Of two classes that cover everything the curves coincide: both must be seen.
    wide = findings.curve.is_covered(i)
    return Line(
        xs=xs.tolist(),
        ys=energy.tolist(),
        words=words,
        color=info.color,
        name=info.name,
        label=str(info.value),
        band=band if (known > 0).any() else None,
        width=6.0 if wide else 2.2,
        dots=False,
    )


def ceilings_chart(findings: Findings) -> Chart:
    """Return mIoU, boundary F and so on of labels against their block size."""
    rows = findings.rows
    xs = [math.log2(row.block) for row in rows]
    measures = [("mean IoU", _BLUE, "solid", [row.miou for row in rows])]
    if findings.measured:
        measures += [
            ("mean IoU, band-limited", _BLUE, "dash", [row.band_limited_miou for row in rows]),
            ("boundary F", _ORANGE, "solid", [row.boundary_f for row in rows]),
            ("pixel accuracy", _GREEN, "solid", [row.pixel_accuracy for row in rows]),
        ]
    lines = [
        _measure_line(name, color, dash, xs, [row.block for row in rows], values)
        for name, color, dash, values in measures
    ]
    if not findings.measured:
        lines = [_with_error(lines[0], [row.error for row in rows])]
    return Chart(
        id="ceilings",
        lines=lines + _predicted(findings),
        x=log2_axis("block size (pixels)", [row.block for row in rows]),
        y=share_axis("best that such labels can reach"),
        marks=_marks(findings),
        legend=True,
        about="How well labels of each block size can describe the pixels",
    )


def class_ceilings_chart(findings: Findings) -> Chart:
    """Return the best IoU of each class against the block size."""
    blocks = [row.block for row in findings.rows]
    lines = []
    for i, info in enumerate(findings.classes):
        values = [float(row.iou[i]) for row in findings.rows]
        words = [
            f"{info.name}: labels of {_size(block)} px can reach an IoU of {value:.2f}"
            for block, value in zip(blocks, values, strict=True)
        ]
        xs = [math.log2(block) for block in blocks]
        label = str(info.value)
        lines.append(Line(xs, values, words, info.color, info.name, label=label))
    return Chart(
        id="classes",
        lines=lines,
        x=log2_axis("block size (pixels)", blocks),
        y=Axis("best IoU", [(i / 5, f"{i / 5:.1f}") for i in range(6)], (0.0, 1.02)),
        marks=_marks(findings),
        about="The best IoU that labels of each block size can reach, per class",
    )


def _measure_line(
    name: str,
    color: Color,
    dash: str,
    xs: list[float],
    blocks: list[int],
    values: list[float | None],
) -> Line:
    ys = [math.nan if value is None else float(value) for value in values]
    words = [
        f"{name} of labels in blocks of {_size(block)} px: at most {y:.3f}"
        for block, y in zip(blocks, ys, strict=True)
    ]
    return Line(xs, ys, words, color, name, width=2.6, dash=dash)


def _with_error(line: Line, errors: list[float]) -> Line:
    lows = [max(y - e, 0.0) for y, e in zip(line.ys, errors, strict=True)]
    highs = [min(y + e, 1.0) for y, e in zip(line.ys, errors, strict=True)]
    words = [f"{text} (± {e:.2f})" for text, e in zip(line.words, errors, strict=True)]
    return Line(
        line.xs,
        line.ys,
        words,
        line.color,
        f"{line.name}, estimated",
        band=(lows, highs),
        width=2.6,
    )


def _predicted(findings: Findings) -> list[Line]:
    found = sorted(findings.advice.predictions, key=lambda one: one.block)
    if not found:
        return []
    lost = {row.block: bool(findings.loses(row)) for row in findings.rows}
    words = [
        f"trained on blocks of {_size(one.block)} px, a network is expected to reach "
        f"{one.trained_ratio:.0%} ({one.low:.0%} to {one.high:.0%}) of what full labels give"
        for one in found
    ]
    return [
        Line(
            [math.log2(one.block) for one in found],
            # A mean that leaves the lost classes out would rise where it gets worse.
            [math.nan if lost[one.block] else one.trained_ratio for one in found],
            words,
            _PURPLE,
            "trained on them, predicted",
            band=(
                [math.nan if lost[one.block] else one.low for one in found],
                [math.nan if lost[one.block] else one.high for one in found],
            ),
            width=2.6,
            dash="dot",
        )
    ]


def _marks(findings: Findings) -> list[tuple[float, str]]:
    best = findings.advice.recommended_block
    return [] if best is None else [(math.log2(best), f"recommended: {best} px")]


def _size(block: float) -> str:
    return f"{block:.0f}" if block >= 10 or float(block).is_integer() else f"{block:.1f}"
