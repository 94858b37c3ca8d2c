"""The spectrum plot: what a label map consists of, and what each block size can hold of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_blockseg.cli.pictures.chart import GREY, INK, Axes, Color, Page, legend

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum import Findings

_WIDTH, _PANEL_HEIGHT, _MARGIN = 1120, 330, 64
_SHARES = tuple((i / 5, f"{i * 20} %") for i in range(6))
_MIN_CONTRAST = 2.2


def draw_spectrum(findings: Findings, path: Path) -> Path:
    """Write the label spectra and the ceilings per block size as a PNG.

    Parameters
    ----------
    findings : Findings
        What `blockseg spectrum` found.
    path : Path
        The file; its folder is created.

    Returns
    -------
    Path
        `path`.
    """
    page = Page(_WIDTH, _PANEL_HEIGHT + 300)
    page.text(_MARGIN, 18, "Which block size do these labels need?", 22)
    y = page.wrapped(_MARGIN, 54, _summary(findings), _WIDTH - 2 * _MARGIN, 14)
    items = [(info.name, readable(info.color)) for info in findings.classes]
    top = legend(page, _MARGIN, y + 8, _WIDTH - 2 * _MARGIN, items) + 48
    half = (_WIDTH - 3 * _MARGIN) / 2
    _spectra(page, findings, _MARGIN, top, half)
    _ceilings(page, findings, 2 * _MARGIN + half, top, half)
    return page.save(path, top + _PANEL_HEIGHT + 70)


def _summary(findings: Findings) -> str:
    source = (
        "measured on dense masks"
        if findings.block is None
        else f"estimated from painted blocks of {findings.block} pixels"
    )
    return f"{findings.advice.reason} ({findings.images} images, {source}.)"


def _spectra(page: Page, findings: Findings, left: float, top: float, width: float) -> None:
    cutoffs, energy = findings.curve
    xs = [math.log2(value) for value in cutoffs]
    # Below the first frequency of the image there is nothing to see.
    seen = [x for x, share in zip(xs, energy.T, strict=True) if (share > 0).any()]
    coarsest = min([*seen, math.log2(0.5 / 64)])
    axes = Axes(page, left, top, left + width, top + _PANEL_HEIGHT, (coarsest, xs[-1]))
    axes.frame(
        "Label spectrum: energy of each class below a cutoff",
        _block_ticks(coarsest, xs[-1], turned=True),
        _SHARES,
        "cutoff, as the block size that resolves it (pixels)",
    )
    _mark_best(axes, findings, lambda block: math.log2(0.5 / block))
    for i, (info, values) in enumerate(zip(findings.classes, energy, strict=True)):
        # Of two classes that cover everything the curves coincide: both must be seen.
        width = 6.0 if len(energy) == 2 and i == 0 else 2.0
        points = [(x, float(y)) for x, y in zip(xs, values, strict=True) if x >= coarsest]
        color = readable(info.color)
        axes.curve([x for x, _ in points], [y for _, y in points], color, width, len(points) < 10)


def _ceilings(page: Page, findings: Findings, left: float, top: float, width: float) -> None:
    rows = findings.rows
    if not rows:
        page.text(left, top, "Not enough paint to estimate ceilings yet.", 14, GREY)
        return
    xs = [math.log2(row.block) for row in rows]
    ends = (min(xs) - 0.2, max(xs) + 0.2)
    axes = Axes(page, left, top, left + width, top + _PANEL_HEIGHT, ends)
    axes.frame(
        "Ceiling: best IoU that labels of a block size can reach",
        [(x, str(row.block)) for x, row in zip(xs, rows, strict=True)],
        _SHARES,
        "block size (pixels)",
    )
    _mark_best(axes, findings, math.log2)
    for i, info in enumerate(findings.classes):
        axes.curve(xs, [float(row.iou[i]) for row in rows], readable(info.color), dots=True)
    means = [math.nan if row.miou is None else row.miou for row in rows]
    axes.curve(xs, means, INK, 3.5)
    x, y = axes.place(xs[-1], means[-1])
    page.text(x + 8, y, "mean", 12, INK, "lm")


def _mark_best(axes: Axes, findings: Findings, place: Any) -> None:
    best = findings.advice.recommended_block
    if best is not None and axes.x_range[0] <= place(best) <= axes.x_range[1]:
        axes.mark(place(best), f"recommended: {best}")


def _block_ticks(low: float, high: float, turned: bool) -> Sequence[tuple[float, str]]:
    blocks = [2**i for i in range(0, 12)]
    places = [(math.log2(0.5 / block) if turned else math.log2(block), block) for block in blocks]
    return [(x, str(block)) for x, block in places if low - 1e-9 <= x <= high + 1e-9]


def readable(color: Color) -> Color:
    """Return the color, darkened until it stands out from white paper."""
    red, green, blue = (part / 255 for part in color)
    while 1.05 / (_luminance(red, green, blue) + 0.05) < _MIN_CONTRAST:
        red, green, blue = red * 0.92, green * 0.92, blue * 0.92
    return round(red * 255), round(green * 255), round(blue * 255)


def _luminance(*parts: float) -> float:
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
