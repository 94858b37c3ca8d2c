"""The spectrum plots: what a label map consists of, and what each block size can hold of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_blockseg.cli.pictures.chart import GREY, INK, Axes, Page, legend
from napari_blockseg.cli.pictures.colors import readable

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum import Findings

_WIDTH, _PANEL_HEIGHT, _MARGIN = 1120, 330, 64
_SINGLE_WIDTH, _SINGLE_HEIGHT = 900, 430
_SHARES = tuple((i / 5, f"{i * 20} %") for i in range(6))
_COARSEST = 128

Draw = Callable[[Page, "Findings", float, float, float, float], None]


def draw_spectrum(findings: Findings, path: Path) -> Path:
    """Write the label spectra and the ceilings per block size as one PNG.

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
    heading = "Which block size do these labels need?"
    page, top = _page(findings, heading, _summary(findings), _WIDTH)
    half = (_WIDTH - 3 * _MARGIN) / 2
    _spectra(page, findings, _MARGIN, top, half, _PANEL_HEIGHT)
    _ceilings(page, findings, 2 * _MARGIN + half, top, half, _PANEL_HEIGHT)
    return page.save(path, top + _PANEL_HEIGHT + 70)


def draw_curves(findings: Findings, path: Path) -> Path:
    """Write the label spectra alone as a PNG; arguments as for :func:`draw_spectrum`."""
    text = (
        "Fine details are high frequencies. The higher a curve stands at a block size, the more "
        "of the class's shape such blocks can hold."
    )
    return _single(findings, "What the labels consist of", text, _spectra, path)


def draw_ceilings(findings: Findings, path: Path) -> Path:
    """Write the ceilings alone as a PNG; arguments as for :func:`draw_spectrum`."""
    text = _summary(findings)
    return _single(findings, "How well blocks can describe the labels", text, _ceilings, path)


def _single(findings: Findings, heading: str, text: str, draw: Draw, path: Path) -> Path:
    page, top = _page(findings, heading, text, _SINGLE_WIDTH)
    draw(page, findings, _MARGIN, top, _SINGLE_WIDTH - 2 * _MARGIN, _SINGLE_HEIGHT)
    return page.save(path, top + _SINGLE_HEIGHT + 70)


def _page(findings: Findings, heading: str, text: str, width: float) -> tuple[Page, float]:
    """Return a page with heading, text and the legend, and where its axes may start."""
    lines = 8 + len(findings.classes)
    page = Page(round(width), _SINGLE_HEIGHT + 140 + 26 * lines, density=2)
    page.text(_MARGIN, 18, heading, 22)
    y = page.wrapped(_MARGIN, 54, text, width - 2 * _MARGIN, 14)
    items = [(info.name, readable(info.color)) for info in findings.classes]
    return page, legend(page, _MARGIN, y + 8, width - 2 * _MARGIN, items) + 56


def _summary(findings: Findings) -> str:
    source = (
        "measured on dense masks"
        if findings.block is None
        else f"estimated from painted blocks of {findings.block} pixels"
    )
    return f"{findings.advice.reason} ({findings.images} images, {source}.)"


def _spectra(
    page: Page, findings: Findings, left: float, top: float, width: float, height: float
) -> None:
    curve = findings.curve
    xs = [math.log2(value) for value in curve.cutoffs]
    # Below the first frequency of the image there is nothing to see.
    seen = [x for x, share in zip(xs, curve.energy.T, strict=True) if (share > 0).any()]
    coarsest = max(min([*seen, xs[-1] - 1]), min(math.log2(0.5 / _COARSEST), xs[-1] - 3))
    axes = Axes(page, left, top, left + width, top + height, (coarsest, xs[-1]))
    axes.frame(
        "Energy of each class's map below a cutoff",
        _block_ticks(coarsest, xs[-1]),
        _SHARES,
        "cutoff, as the block size that resolves it (pixels)",
    )
    _mark_best(axes, findings, lambda block: math.log2(0.5 / block))
    for i, (info, values) in enumerate(zip(findings.classes, curve.energy, strict=True)):
        # Of two classes that cover everything the curves coincide: both must be seen.
        thick = 6.0 if curve.is_covered(i) else 2.0
        points = [(x, float(y)) for x, y in zip(xs, values, strict=True) if x >= coarsest - 1e-9]
        axes.curve([x for x, _ in points], [y for _, y in points], readable(info.color), thick)


def _ceilings(
    page: Page, findings: Findings, left: float, top: float, width: float, height: float
) -> None:
    rows = findings.rows
    if not rows:
        page.text(left, top, "Not enough paint to estimate ceilings yet.", 14, GREY)
        return
    xs = [math.log2(row.block) for row in rows]
    ends = (min(xs) - 0.2, max(xs) + 0.2)
    axes = Axes(page, left, top, left + width, top + height, ends)
    axes.frame(
        "Best IoU that labels of a block size can reach",
        [(x, f"{row.block:g}") for x, row in zip(xs, rows, strict=True)],
        _SHARES,
        "block size (pixels)",
    )
    _mark_best(axes, findings, math.log2)
    for i, info in enumerate(findings.classes):
        axes.curve(xs, [float(row.iou[i]) for row in rows], readable(info.color), dots=True)
    means = [math.nan if row.miou is None else row.miou for row in rows]
    axes.curve(xs, means, INK, 3.5)
    x, y = axes.place(xs[-1], means[-1])
    if not math.isnan(y):
        page.text(x + 8, y, "mean", 12, INK, "lm")


def _mark_best(axes: Axes, findings: Findings, place: Any) -> None:
    best = findings.advice.recommended_block
    if best is not None and axes.x_range[0] <= place(best) <= axes.x_range[1]:
        axes.mark(place(best), f"recommended: {best}")


def _block_ticks(low: float, high: float) -> Sequence[tuple[float, str]]:
    places = [(math.log2(0.5 / block), block) for block in (2**i for i in range(12))]
    return [(x, str(block)) for x, block in places if low - 1e-9 <= x <= high + 1e-9]
