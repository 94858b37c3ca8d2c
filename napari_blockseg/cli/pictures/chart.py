"""A small line chart: frame, ticks, curves, labels. Coordinates are data coordinates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from napari_blockseg.core.atomic import replacing

Color = tuple[int, int, int]

INK: Color = (38, 42, 48)
FAINT: Color = (222, 225, 229)
GREY: Color = (110, 116, 124)
PAPER: Color = (255, 255, 255)

#: Drawn this much larger and scaled down, which smooths lines and letters.
_OVERSAMPLING = 2


class Page:
    """A white page to draw on, in pixels of the finished picture.

    Parameters
    ----------
    width, height : int
        In pixels.
    density : int
        Pixels of the file to a pixel of the page, each way: 2 stays sharp in print.
    """

    def __init__(self, width: int, height: int, density: int = 1) -> None:
        self.width, self.height, self.density = width, height, density
        self._scale = density * _OVERSAMPLING
        self._image = Image.new("RGB", (width * self._scale, height * self._scale), PAPER)
        self._draw = ImageDraw.Draw(self._image)

    def text(
        self, x: float, y: float, text: str, size: int = 13, color: Color = INK, anchor: str = "la"
    ) -> None:
        """Write text; `anchor` as in Pillow ("la": its upper left corner is at x, y)."""
        font = ImageFont.load_default(size * self._scale)
        self._draw.text(self._up(x, y), text, fill=color, font=font, anchor=anchor)

    def text_width(self, text: str, size: int = 13) -> float:
        """Return how wide a text will be."""
        font = ImageFont.load_default(size * self._scale)
        return self._draw.textlength(text, font=font) / self._scale

    def wrapped(self, x: float, y: float, text: str, width: float, size: int = 13) -> float:
        """Write text in lines of at most this width; return where the next line would start."""
        line = ""
        for word in [*text.split(), ""]:
            longer = f"{line} {word}".strip()
            if line and (not word or self.text_width(longer, size) > width):
                self.text(x, y, line, size, GREY)
                y += size * 1.45
                longer = word
            line = longer
        return y

    def line(
        self,
        points: Iterable[tuple[float, float]],
        color: Color,
        width: float = 1.0,
        dash: float | None = None,
    ) -> None:
        """Draw a line through the points; with `dash`, strokes and gaps of this length."""
        ends = list(points)
        if dash is not None and len(ends) == 2:
            for piece in _dashes(ends[0], ends[1], dash):
                self.line(piece, color, width)
            return
        scaled = [self._up(*point) for point in ends]
        self._draw.line(scaled, fill=color, width=round(width * self._scale), joint="curve")

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        """Draw a filled circle with a white rim."""
        for grow, fill in ((1.2, PAPER), (0.0, color)):
            r = (radius + grow) * self._scale
            cx, cy = self._up(x, y)
            self._draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color) -> None:
        """Draw a filled rectangle."""
        self._draw.rectangle((*self._up(left, top), *self._up(right, bottom)), fill=color)

    def paste(self, picture: Image.Image, left: float, top: float) -> None:
        """Put a picture on the page, at its own size."""
        size = (picture.width * self._scale, picture.height * self._scale)
        big = picture.resize(size, Image.Resampling.NEAREST)
        self._image.paste(big, (round(left * self._scale), round(top * self._scale)))

    def save(self, path: Path, bottom: float) -> Path:
        """Write the page down to `bottom` as PNG, and return its path."""
        height = min(self.height, round(bottom))
        used = self._image.crop((0, 0, self._image.width, height * self._scale))
        size = (self.width * self.density, height * self.density)
        with replacing(path) as temporary:
            used.resize(size, Image.Resampling.LANCZOS).save(temporary)
        return path

    def _up(self, x: float, y: float) -> tuple[float, float]:
        return x * self._scale, y * self._scale


def _dashes(
    start: tuple[float, float], end: tuple[float, float], length: float
) -> list[list[tuple[float, float]]]:
    total = math.dist(start, end)
    pieces = []
    for i in range(0, math.ceil(total / length), 2):
        ends = (i * length / total, min((i + 1) * length / total, 1.0))
        pieces.append(
            [tuple(a + t * (b - a) for a, b in zip(start, end, strict=True)) for t in ends]
        )
    return pieces  # type: ignore[return-value]


@dataclass(frozen=True)
class Axes:
    """A frame on a page that turns data coordinates into places.

    Parameters
    ----------
    page : Page
        Where to draw.
    left, top, right, bottom : float
        The frame, in pixels of the page.
    x_range, y_range : (low, high)
        The data that it shows.
    """

    page: Page
    left: float
    top: float
    right: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 1.0)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where a point of the data lies on the page."""
        (x0, x1), (y0, y1) = self.x_range, self.y_range
        return (
            self.left + (x - x0) / (x1 - x0) * (self.right - self.left),
            self.bottom - (y - y0) / (y1 - y0) * (self.bottom - self.top),
        )

    def frame(
        self,
        title: str,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        x_label: str,
    ) -> None:
        """Draw title, grid, ticks and the label of the x axis."""
        self.page.text(self.left, self.top - 44, title, 16)
        for value, text in y_ticks:
            _, y = self.place(self.x_range[0], value)
            self.page.line([(self.left, y), (self.right, y)], FAINT)
            self.page.text(self.left - 8, y, text, 12, GREY, "rm")
        for value, text in x_ticks:
            x, _ = self.place(value, self.y_range[0])
            self.page.line([(x, self.top), (x, self.bottom)], FAINT)
            self.page.text(x, self.bottom + 8, text, 12, GREY, "ma")
        middle = (self.left + self.right) / 2
        self.page.text(middle, self.bottom + 30, x_label, 13, INK, "ma")

    def curve(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        color: Color,
        width: float = 2.0,
        dots: bool = False,
    ) -> None:
        """Draw a curve; it breaks where a value is NaN."""
        run: list[tuple[float, float]] = []
        for x, y in [*zip(xs, ys, strict=True), (0.0, math.nan)]:
            if not math.isnan(y):
                run.append(self.place(x, y))
                continue
            if len(run) > 1:
                self.page.line(run, color, width)
            for point in run if dots else ():
                self.page.dot(*point, width * 1.6, color)
            run = []

    def dashed(self, xs: Sequence[float], ys: Sequence[float], color: Color) -> None:
        """Draw a dashed curve between the points that are known."""
        known = [self.place(x, y) for x, y in zip(xs, ys, strict=True) if not math.isnan(y)]
        for start, end in pairwise(known):
            self.page.line([start, end], color, 1.6, dash=5)

    def mark(self, x: float, text: str, color: Color = INK) -> None:
        """Draw a dashed upright line with a label at its top."""
        place, _ = self.place(x, 0)
        self.page.line([(place, self.top), (place, self.bottom)], color, 1.5, dash=5)
        self.page.text(place, self.top - 5, text, 12, color, "ms")


def legend(
    page: Page, x: float, y: float, width: float, items: Sequence[tuple[str, Color]]
) -> float:
    """Draw color and name of each class in rows; return where the next row would start."""
    left = x
    for name, color in items:
        needed = 22 + page.text_width(name, 13) + 22
        if left > x and left + needed > x + width:
            left, y = x, y + 22
        page.box(left, y, left + 14, y + 14, color)
        page.text(left + 22, y + 7, name, 13, INK, "lm")
        left += needed
    return y + 22
