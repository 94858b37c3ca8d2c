"""mIoU against the share of labelled blocks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from plan import DATA, SHARES

from napari_blockseg.cli.pictures.chart import Axes, Color, Page, legend

if TYPE_CHECKING:
    from summary import Study

COLORS: dict[str, Color] = {
    "diverse": (0, 114, 178),
    "uncertainty": (213, 94, 0),
    "random": (110, 116, 124),
}


def draw_curves(study: Study, path: Path) -> None:
    """Draw one curve a choice through the means, and a dot a seed; one panel a data set."""
    page = Page(1040, 560)
    for i, data in enumerate(DATA):
        found = [v for c in COLORS for share in SHARES for v in study.mious(data, c, share)]
        low, high = (min(found) - 0.02, max(found) + 0.02) if found else (0.0, 1.0)
        left = 70 + i * 510
        ends = math.log(SHARES[0] * 0.9), math.log(SHARES[-1] * 1.1)
        axes = Axes(page, left, 60, left + 420, 420, ends, (low, high))
        x_ticks = [(math.log(share), f"{share} %") for share in SHARES]
        steps = range(math.ceil(low * 20), math.floor(high * 20) + 1)
        axes.frame(data, x_ticks, [(y / 20, f"{y / 20:.2f}") for y in steps], "labelled blocks")
        for choice, color in COLORS.items():
            _draw_choice(study, data, choice, axes, page, color)
    y = legend(page, 70, 480, 900, list(COLORS.items()))
    note = "Test mIoU; lines through the means of the seeds, a dot a seed. 1 % is drawn at random."
    page.save(path, page.wrapped(70, y + 4, note, 900, 12) + 10)


def _draw_choice(
    study: Study, data: str, choice: str, axes: Axes, page: Page, color: Color
) -> None:
    means = []
    for share in SHARES:
        values = study.mious(data, choice, share)
        for value in values:
            page.dot(*axes.place(math.log(share), value), 3, color)
        if values:
            means.append(axes.place(math.log(share), sum(values) / len(values)))
    if len(means) > 1:
        page.line(means, color, 2)
