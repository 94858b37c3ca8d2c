"""Prediction against outcome, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_blockseg.cli.pictures.chart import GREY, Axes, Color, Page, legend

if TYPE_CHECKING:
    from summary import Outcome

COLORS: dict[str, Color] = {
    "camvid": (0, 114, 178),
    "nuclei_dsb2018": (213, 94, 0),
    "em_isbi2012": (0, 158, 115),
}


def draw_outcomes(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw trained ratio against ceiling (blocks) and against energy in the band (strides)."""
    page = Page(1040, 560)
    known = [o for o in outcomes if o.ratio is not None]
    low = min([0.8, *(o.ratio for o in known if o.ratio is not None)]) - 0.05
    high = max([1.05, *(o.ratio for o in known if o.ratio is not None)]) + 0.03
    panels = (
        (
            "blocks",
            "Trained on blocks",
            "mIoU of the block labels themselves",
            "ceiling_resolvable",
        ),
        ("dense", "Decoder cut to a stride", "label energy below the stride's Nyquist", "energy"),
    )
    for i, (kind, title, label, name) in enumerate(panels):
        left = 70 + i * 510
        axes = Axes(page, left, 60, left + 420, 420, (0.3, 1.0), (low, high))
        x_ticks = [(x / 10, f"{x / 10:g}") for x in range(3, 11)]
        y_ticks = [(y / 20, f"{y / 20:.2f}") for y in range(int(low * 20) + 1, int(high * 20) + 1)]
        axes.frame(title, x_ticks, y_ticks if i == 0 else [(y, "") for y, _ in y_ticks], label)
        for data, color in COLORS.items():
            for o in known:
                if o.cell.kind == kind and o.cell.data == data and o.ratio is not None:
                    x, y = axes.place(getattr(o, name), o.ratio)
                    page.dot(x, y, 4.5, color)
            # One number for all seeds of a size, at their mean; references are 1 by definition.
            sizes = {o.cell.size for o in known if (o.cell.kind, o.cell.data) == (kind, data)}
            for size in sorted(sizes - ({4} if kind == "dense" else set())):
                same = [
                    o
                    for o in known
                    if (o.cell.kind, o.cell.data, o.cell.size) == (kind, data, size)
                ]
                mean = sum(o.ratio or 0.0 for o in same) / len(same)
                x, y = axes.place(getattr(same[0], name), mean)
                page.text(x + 9, y, str(same[0].block), 11, GREY, "lm")
    y = legend(page, 70, 480, 900, list(COLORS.items()))
    note = (
        "Test mIoU over resolvable classes, divided by that of dense labels on the full grid with "
        "the same seed; numbers at the dots: the grid in image pixels."
    )
    page.save(path, page.wrapped(70, y + 4, note, 900, 12) + 10)
