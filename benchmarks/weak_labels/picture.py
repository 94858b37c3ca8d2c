"""Test mIoU against seconds of simulated annotation, one panel a data set."""

from __future__ import annotations

import math
from pathlib import Path

from outcomes import BLOCK_SECONDS, STROKE_SECONDS, Study
from plan import BASELINE, CARRIED, CLAIM, CONVPAINT, DATA, DEFAULT, Cell

from napari_blockseg.cli.pictures.chart import GREY, Axes, Color, Page, legend

#: Of Okabe and Ito's colors, safe for color-blind eyes.
_COLORS: list[Color] = [
    *((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0)),
    *((86, 180, 233), (0, 0, 0), (120, 120, 120)),
]
_RECIPES = (DEFAULT, *CARRIED, BASELINE, "linear_deep", "forest_deep", "forest_filters", CONVPAINT)
COLORS: dict[str, Color] = dict(zip(_RECIPES, _COLORS, strict=True))
_WIDTH, _GAP = 300, 370


def draw_annotation(study: Study, path: Path) -> None:
    """Draw what is known; dense masks are a line across, their annotation time is not simulated."""
    page = Page(1140, 560)
    for i, data in enumerate(DATA):
        points = {recipe: _points(study, data, recipe) for recipe in COLORS}
        known = [point for curve in points.values() for point in curve]
        dense = study.score(Cell(data, 1, "all", DEFAULT, 0), CLAIM[data])
        if not known:
            continue
        heights = [y for _, y, _ in known] + ([dense.mean] if dense else [])
        low, high = min(heights) - 0.03, max(heights) + 0.03
        first = math.floor(min(x for x, _, _ in known))
        last = math.ceil(max(x for x, _, _ in known))
        left = 60 + i * _GAP
        axes = Axes(page, left, 60, left + _WIDTH, 400, (first, max(last, first + 1)), (low, high))
        x_ticks = [(float(x), f"{10**x:g}") for x in range(first, max(last, first + 1) + 1)]
        y_ticks = [(y / 20, f"{y / 20:.2f}") for y in range(20) if low <= y / 20 <= high]
        axes.frame(data, x_ticks, y_ticks, "seconds of annotation (simulated)")
        if dense:
            ends = [axes.place(x, dense.mean) for x in (first, max(last, first + 1))]
            page.line(ends, GREY, 1.5, dash=6)
        dots = [axes.place(x, y) for x, y, _ in known]
        for recipe, color in COLORS.items():
            for x, y, _ in points[recipe]:
                page.dot(*axes.place(x, y), 4.5, color)
        named = [(axes.place(x, y), text) for x, y, text in points[_RECIPES[0]]]
        for (x, y, anchor), (_, text) in zip(_beside(named, dots), named, strict=True):
            page.text(x, y, text, 10, GREY, anchor)
    y = legend(page, 60, 470, 1000, list(COLORS.items()))
    note = (
        "Test mIoU over classes that blocks of 16, 8 and 4 pixels resolve, mean over the seeds "
        "there are; dashed: dense masks, the same network as the first. "
        f"Assumed: {STROKE_SECONDS:g} s to start a stroke and {BLOCK_SECONDS:g} s a block, one "
        "stroke for each connected region of one class; an isolated block is a stroke of its own."
    )
    page.save(path, page.wrapped(60, y + 4, note, 1020, 12) + 10)


def _beside(
    named: list[tuple[tuple[float, float], str]], dots: list[tuple[float, float]]
) -> list[tuple[float, float, str]]:
    """Return place and anchor of the names of dots: beside them, where least is hidden."""
    taken: list[tuple[float, float, float, float]] = [(x - 4, y - 4, x + 4, y + 4) for x, y in dots]
    found = []
    for (x, y), text in named:
        width = 5.6 * len(text)
        choices = []
        for down in (0, -9, 9, -18, 18, -27, 27):
            for anchor, left in (("lm", x + 8), ("rm", x - 8 - width)):
                box = (left, y + down - 5, left + width, y + down + 5)
                choices.append((sum(_overlap(box, one) for one in taken), anchor, down, box))
        _, anchor, down, box = min(choices, key=lambda choice: choice[0])
        taken.append(box)
        found.append((x + 8 if anchor == "lm" else x - 8, y + down, anchor))
    return found


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _points(study: Study, data: str, recipe: str) -> list[tuple[float, float, str]]:
    """Return log10 of seconds, mIoU and what is painted, of every kind of labels."""
    kinds = dict.fromkeys(
        (c.block, c.choice) for c in study.found if c.data == data and c.block > 1
    )
    points = []
    for block, choice in kinds:
        cell = Cell(data, block, choice, recipe, 0)
        seconds, score = study.seconds(cell), study.score(cell, CLAIM[data])
        if seconds and score is not None:
            points.append((math.log10(seconds), score.mean, f"{block} {choice}"))
    return points
