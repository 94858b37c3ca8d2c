"""Interactive curves: what they show is given in words, their colors for both themes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from napari_blockseg.cli.pictures.chart import INK, Color
from napari_blockseg.cli.pictures.colors import DARK, readable

_MARGIN = {"l": 58, "r": 18, "t": 34, "b": 58}
_HEIGHT, _LEGEND = 420, 50
_LIGHT_INK: Color = (230, 233, 237)
_CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "modeBarButtons": [["toImage", "zoom2d", "resetScale2d"]],
}


@dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes
    ----------
    xs, ys : sequence of float
        Data; the curve breaks where a value is NaN.
    words : sequence of str
        What is said at each point.
    color : (red, green, blue)
        Made readable in both themes.
    name : str
        Written at its end when `at_end`, and in the legend when the chart has one.
    label : str
        Of the button that hides it.
    moment : str
        Of training, when the chart shows one at a time.
    band : (lows, highs), optional
        A band around it.
    width, dash, dots
        How it is drawn; `dash` as plotly calls it.
    """

    xs: Sequence[float]
    ys: Sequence[float]
    words: Sequence[str]
    color: Color = INK
    name: str = ""
    label: str = ""
    moment: str = ""
    band: tuple[Sequence[float], Sequence[float]] | None = None
    width: float = 2.0
    dash: str = "solid"
    dots: bool = True


@dataclass(frozen=True)
class Axis:
    """One axis: its title, its ticks as (place, text), its range."""

    title: str
    ticks: Sequence[tuple[float, str]]
    range: tuple[float, float]


@dataclass(frozen=True)
class Chart:
    """A chart with an id, curves, axes and upright marks as (place, text)."""

    id: str
    lines: Sequence[Line]
    x: Axis
    y: Axis
    marks: Sequence[tuple[float, str]] = ()
    legend: bool = False
    about: str = field(default="", kw_only=True)

    def html(self) -> str:
        """Return the chart as a piece of a page that holds plotly already."""
        from plotly.io import to_html

        inner = to_html(
            {"data": self._traces(), "layout": self._layout()},
            config=_CONFIG,
            include_plotlyjs=False,
            full_html=False,
            div_id=self.id,
            default_height=f"{self._height}px",
        )
        return f'<div class="chart" role="img" aria-label="{escape(self.about)}">{inner}</div>'

    @property
    def _height(self) -> int:
        return _HEIGHT + (_LEGEND if self.legend else 0)

    def _traces(self) -> list[dict[str, Any]]:
        bands = [_band(line) for line in self.lines if line.band is not None]
        return bands + [_trace(line, self.legend) for line in self.lines]

    def _layout(self) -> dict[str, Any]:
        return {
            "margin": {**_MARGIN, "t": 78} if self.legend and self.marks else _MARGIN,
            "height": self._height,
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13},
            "hovermode": "closest",
            "hoverlabel": {"align": "left"},
            # Dragging over a chart on a phone must scroll the page; the toolbar can zoom.
            "dragmode": False,
            "showlegend": self.legend,
            "legend": {
                "orientation": "h",
                "y": 1.1 if self.marks else 1.02,
                "yanchor": "bottom",
                "x": 0,
            },
            "xaxis": _axis(self.x),
            "yaxis": _axis(self.y),
            "shapes": [_upright(place) for place, _ in self.marks],
            "annotations": [_note(place, text) for place, text in self.marks],
        }


def log2_axis(title: str, blocks: Sequence[float], rising: bool = True) -> Axis:
    """Return an axis of block sizes; `rising` from fine to coarse, else from coarse to fine."""
    low, high = math.log2(min(blocks)), math.log2(max(blocks))
    pad = 0.15
    ticks = [(float(i), f"{2**i}") for i in range(math.floor(low), math.ceil(high) + 1)]
    ends = (low - pad, high + pad)
    return Axis(title, ticks, ends if rising else ends[::-1])


def share_axis(title: str) -> Axis:
    """Return an axis of shares, 0 to 100 %."""
    return Axis(title, [(i / 5, f"{20 * i} %") for i in range(6)], (0.0, 1.02))


def _trace(line: Line, legend: bool) -> dict[str, Any]:
    light = _css(readable(line.color))
    return {
        "type": "scatter",
        "mode": "lines+markers" if line.dots else "lines",
        "x": [float(x) for x in line.xs],
        "y": [_finite(y) for y in line.ys],
        "name": escape(line.name),
        "showlegend": legend and bool(line.name),
        "hoverinfo": "text",
        "hovertext": [escape(text, quote=False) for text in line.words],
        "line": {"color": light, "width": line.width, "dash": line.dash},
        "marker": {"color": light, "size": 6},
        "meta": {
            "light": light,
            "dark": _css(_on_dark(line.color)),
            "label": line.label,
            "moment": line.moment,
        },
    }


def _band(line: Line) -> dict[str, Any]:
    lows, highs = line.band or ((), ())
    known = [
        (float(x), float(low), float(high))
        for x, low, high in zip(line.xs, lows, highs, strict=True)
        if math.isfinite(low) and math.isfinite(high)
    ]
    there, back = known, known[::-1]
    light, dark = readable(line.color), _on_dark(line.color)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _, _ in there + back],
        "y": [high for _, _, high in there] + [low for _, low, _ in back],
        "fill": "toself",
        "fillcolor": _css(light, 0.18),
        "line": {"width": 0, "color": _css(light)},
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {
            "light": _css(light),
            "dark": _css(dark),
            "light_fill": _css(light, 0.18),
            "dark_fill": _css(dark, 0.22),
            "label": line.label,
            "moment": line.moment,
        },
    }


def _on_dark(color: Color) -> Color:
    return _LIGHT_INK if color == INK else readable(color, DARK)


def _axis(axis: Axis) -> dict[str, Any]:
    return {
        "title": {"text": axis.title},
        "tickvals": [place for place, _ in axis.ticks],
        "ticktext": [text for _, text in axis.ticks],
        "range": list(axis.range),
        "zeroline": False,
        "showline": True,
        "gridcolor": "#d9dde3",
        "automargin": True,
    }


def _upright(place: float) -> dict[str, Any]:
    line = {"color": "#7a828d", "width": 1.5, "dash": "dash"}
    ends = {"x0": place, "x1": place, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": line}


def _note(place: float, text: str) -> dict[str, Any]:
    where = {"x": place, "y": 1, "yref": "paper", "yanchor": "bottom"}
    return {**where, "text": escape(text), "showarrow": False}


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _css(color: Color, opacity: float = 1.0) -> str:
    red, green, blue = color
    return f"rgba({red},{green},{blue},{opacity:g})"
