"""Pieces of HTML: every text that comes from outside is escaped here, and nothing is fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, TypeAlias

from napari_blockseg.cli.pictures.chart import INK
from napari_blockseg.cli.report.script import JS
from napari_blockseg.cli.report.style import CSS

if TYPE_CHECKING:
    from PIL import Image

#: Label of the curves in the charts, name, color.
Entry: TypeAlias = tuple[str, str, tuple[int, int, int]]

#: An icon of nothing, so that no browser asks for favicon.ico.
_NO_ICON = '<link rel="icon" href="data:,">'


def document(title: str, parts: Iterable[str]) -> str:
    """Return a whole page; plotly stands in it once."""
    from plotly.offline import get_plotlyjs

    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{_NO_ICON}\n<title>{escape(title)}</title>\n<style>{CSS}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n{body}\n"
        f"<script>{JS}</script>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """Return a section with its heading."""
    inner = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(heading)}</h2>\n{inner}\n</section>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; `kind` is a CSS class."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def items(texts: Iterable[str]) -> str:
    """Return a list; empty without items."""
    rows = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{rows}</ul>" if rows else ""


def named(texts: Iterable[tuple[str, str]]) -> str:
    """Return paragraphs that start with a bold name."""
    return "".join(f"<p><b>{escape(name)}.</b> {escape(text)}</p>" for name, text in texts)


def tiles(facts: Iterable[tuple[str, str, str]]) -> str:
    """Return facts as (what, number, explanation) in boxes."""
    boxes = "".join(
        f"<div><dt>{escape(what)}</dt><dd><b>{escape(value)}</b>{escape(more)}</dd></div>"
        for what, value, more in facts
    )
    return f'<dl class="tiles">{boxes}</dl>'


def pair(left: str, right: str) -> str:
    """Return two things side by side, or below one another where there is no room."""
    return f'<div class="pair"><div>{left}</div><div>{right}</div></div>'


def footer(command: str, numbers: str) -> str:
    """Return what stands at the end: which command wrote it, and the file with the numbers."""
    from napari_blockseg import __version__

    return (
        f"<footer><p>Written by napari-blockseg {escape(__version__)} (<code>blockseg "
        f"{escape(command)}</code>). All numbers are in <code>{escape(numbers)}</code> beside this "
        "page, the curves as PNG too.</p></footer>"
    )


def chips(entries: Sequence[Entry]) -> str:
    """Return the legend of the charts: a button an entry, which hides and shows it in all."""
    buttons = "".join(
        f'<button type="button" aria-pressed="true" data-label="{escape(label)}">'
        f"{swatch(color)}{escape(name)}</button>"
        for label, name, color in entries
    )
    about = "Press to hide or show a curve"
    return f'<div class="chips" role="group" aria-label="{about}">{buttons}</div>'


def legend(entries: Sequence[Entry]) -> str:
    """Return colors and names."""
    names = " ".join(f"<span>{swatch(color)}{escape(name)}</span>" for _, name, color in entries)
    return f'<p class="legend">{names}</p>'


def choice(label: str, charts: Sequence[str], options: Sequence[tuple[str, str, str]]) -> str:
    """Return buttons of which one is pressed, at first the last of its kind that says so.

    Parameters
    ----------
    label : str
        What is chosen.
    charts : sequence of str
        Ids of the charts that follow.
    options : sequence of (text, kind, value)
        `kind` is "layout" (JSON for the chart) or "moment"; the first option is pressed.
    """
    buttons = "".join(
        f'<button type="button" aria-pressed="{"false" if i else "true"}" '
        f'data-{kind}="{escape(value)}">{escape(text)}</button>'
        for i, (text, kind, value) in enumerate(options)
    )
    return (
        f'<div class="choice" role="group" aria-label="{escape(label)}" '
        f'data-charts="{escape(" ".join(charts))}"><span class="muted">{escape(label)}</span>'
        f"{buttons}</div>"
    )


def swatch(color: tuple[int, int, int]) -> str:
    """Return a small square of a color."""
    # Ink is light on a dark page.
    paint = "currentColor" if color == INK else "rgb({},{},{})".format(*color)
    return f'<span class="swatch" style="background:{paint}"></span>'


def image(picture: Image.Image, alt: str) -> str:
    """Return a picture that is part of the page; photographs as JPEG, labels as PNG."""
    buffer = io.BytesIO()
    kind = "png" if picture.mode == "P" else "jpeg"
    picture.save(buffer, kind.upper(), optimize=True, **({} if kind == "png" else {"quality": 85}))
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img src="data:image/{kind};base64,{data}" alt="{escape(alt)}" '
        f'width="{picture.width}" height="{picture.height}">'
    )
