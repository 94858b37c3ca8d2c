"""mIoU against the share of labelled blocks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from plan import DATA, SHARES, Learner

from napari_blockseg.cli.pictures.chart import Axes, Color, Page, legend

if TYPE_CHECKING:
    from summary import Study

WORDS: dict[Learner, str] = {
    "head": "The head of interactive mode on frozen features",
    "network": "The whole network",
}
#: Between dots of two choices, in pixels of the picture.
_APART = 7.0
COLORS: dict[str, Color] = {
    "diverse": (0, 114, 178),
    "uncertainty": (213, 94, 0),
    "random": (110, 116, 124),
}


def draw_curves(study: Study, path: Path) -> None:
    """Draw one curve a choice through the means, and a dot a seed; one panel a data set."""
    page = Page(1040, 560)
    found = {
        data: [v for c in COLORS for share in SHARES for v in study.mious(data, c, share)] or [0.5]
        for data in DATA
    }
    # One scale: what looks larger is larger.
    span = max(max(values) - min(values) for values in found.values()) + 0.02
    for i, data in enumerate(DATA):
        middle = (max(found[data]) + min(found[data])) / 2
        low, high = middle - span / 2, middle + span / 2
        left = 70 + i * 510
        ends = math.log(SHARES[0] * 0.9), math.log(SHARES[-1] * 1.1)
        axes = Axes(page, left, 60, left + 420, 420, ends, (low, high))
        x_ticks = [(math.log(share), f"{share} %") for share in SHARES]
        steps = range(math.ceil(low * 50), math.floor(high * 50) + 1)
        y_ticks = [(y / 50, f"{y / 50:.2f}") for y in steps]
        axes.frame(f"{data}: test mIoU", x_ticks, y_ticks, "labelled blocks")
        for place, (choice, color) in enumerate(COLORS.items()):
            _draw_choice(study, data, choice, axes, page, color, _APART * (place - 1))
    y = legend(page, 70, 480, 900, list(COLORS.items()))
    note = (
        f"{WORDS[study.learner]}. Lines through the means of the seeds; a dot a seed, dots of the "
        "choices side by side. The first 1 % is drawn at random. Both scales span the same."
    )
    page.save(path, page.wrapped(70, y + 4, note, 900, 12) + 10)


def _draw_choice(
    study: Study, data: str, choice: str, axes: Axes, page: Page, color: Color, aside: float
) -> None:
    means = []
    for share in SHARES:
        values = study.mious(data, choice, share)
        for value in values if share != SHARES[0] or choice == "random" else ():
            x, y = axes.place(math.log(share), value)
            page.dot(x + aside, y, 3, color)
        if values:
            means.append(axes.place(math.log(share), sum(values) / len(values)))
    if len(means) > 1:
        page.line(means, color, 2)
