"""Accuracy against time: one curve a network, one panel a data set."""

from __future__ import annotations

import math
from pathlib import Path

from outcomes import Study, Times
from plan import DATA, VARIANTS

from napari_blockseg.cli.pictures.chart import GREY, Axes, Color, Page, legend

#: Of Okabe and Ito's colors, safe for color-blind eyes; truncations by means are paler.
CURVES: dict[str, Color] = {
    "light, shortcut": (230, 159, 0),
    "light": (140, 190, 220),
    "light, polyphase": (0, 114, 178),
    "light, output stride 32": (86, 60, 150),
    "paper": (240, 180, 140),
    "paper, polyphase": (213, 94, 0),
    "paper, output stride 32": (150, 60, 0),
    "dan": (150, 215, 195),
    "dan, polyphase": (0, 158, 115),
    "smp": (0, 0, 0),
    "input halved": (204, 121, 167),
    "no decoder": (120, 120, 120),
}
#: The point that a polyphase curve shares with the other: its full grid.
_SHARED = {"light, polyphase": "light_4", "paper, polyphase": "paper_4", "dan, polyphase": "dan_4"}


def draw_curves(study: Study, timing: Times, path: Path) -> None:
    """Draw mean test mIoU against inference time; points without either are left out."""
    page = Page(1120, 640)
    for i, data in enumerate(DATA):
        points = {curve: _points(study, timing, data, curve) for curve in CURVES}
        known = [point for curve in points.values() for point in curve]
        if not known:
            continue
        low, high = min(y for _, y, _ in known) - 0.02, max(y for _, y, _ in known) + 0.02
        times = [math.log10(x) for x, _, _ in known]
        ends = min(times) - 0.06, max(times) + 0.08
        left = 70 + i * 540
        axes = Axes(page, left, 60, left + 450, 440, ends, (low, high))
        x_ticks = [
            (math.log10(x), str(x))
            for x in (20, 50, 100, 200, 500, 1000, 2000)
            if ends[0] <= math.log10(x) <= ends[1]
        ]
        y_ticks = [(y / 20, f"{y / 20:.2f}") for y in range(0, 20) if low <= y / 20 <= high]
        axes.frame(
            f"{data}: test mIoU", x_ticks, y_ticks, "milliseconds for 512 x 512 pixels, one thread"
        )
        for curve, color in CURVES.items():
            line = sorted(points[curve])
            axes.curve([math.log10(x) for x, _, _ in line], [y for _, y, _ in line], color, 2.0)
            for x, y, stride in line:
                place = axes.place(math.log10(x), y)
                page.dot(*place, 4.5, color)
                if stride:
                    page.text(place[0] + 8, place[1] + 9, stride, 11, GREY, "lm")
    y = legend(page, 70, 510, 1000, list(CURVES.items()))
    note = (
        "Test mIoU, mean over the seeds there are; numbers at the dots: decoder stride in pixels "
        "of the network's input, which is the image at half size. Further up and left is better."
    )
    page.save(path, page.wrapped(70, y + 4, note, 1000, 12) + 10)


def _points(study: Study, times: Times, data: str, curve: str) -> list[tuple[float, float, str]]:
    names = [name for name, variant in VARIANTS.items() if variant.curve == curve]
    names += [_SHARED[curve]] if curve in _SHARED else []
    points = []
    for name in names:
        miou, seconds = study.mean(data, name, "miou"), times.seconds(name)
        if miou is not None and seconds is not None:
            stride = str(VARIANTS[name].network.get("decoder_stride", 4))
            single = curve in ("smp", "input halved", "no decoder")
            points.append((seconds * 1000, miou.mean, "" if single else stride))
    return points
