"""Tables of numbers, with or without a tint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: A blue that tells apart from both papers; its opacity is the value.
_TINT = "0,114,178"
_STRONGEST = 0.55


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes
    ----------
    text : str
        What stands there.
    tint : float or None
        0..1, how strong its background is; None for none.
    lost : bool
        Greyed and hatched.
    tip : str
        Said when the pointer rests on it.
    """

    text: str
    tint: float | None = None
    lost: bool = False
    tip: str = ""


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell]]],
    best: int | None = None,
) -> str:
    """Return a table.

    Parameters
    ----------
    caption : str
        Above it.
    header : sequence of str
        Of every column, that of the row names first.
    rows : sequence of (name as HTML, cells)
        The name may hold a swatch, and must be escaped already.
    best : int or None
        Column of numbers (0 is the first) with a frame.
    """
    heads = "".join(
        f'<th scope="col"{_best(i - 1 == best and i > 0)}>{escape(text)}</th>'
        for i, text in enumerate(header)
    )
    body = "".join(
        f'<tr><th scope="row">{name}</th>'
        + "".join(_cell(cell, i == best) for i, cell in enumerate(cells))
        + "</tr>"
        for name, cells in rows
    )
    return (
        f'<p class="caption">{escape(caption)}</p>'
        f'<div class="scroll"><table aria-label="{escape(caption)}">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _best(is_best: bool) -> str:
    return ' class="best"' if is_best else ""


def _cell(cell: Cell, is_best: bool) -> str:
    kinds = " ".join(["lost"] * cell.lost + ["best"] * is_best)
    attributes = f' class="{kinds}"' if kinds else ""
    if cell.tint is not None and not cell.lost and math.isfinite(cell.tint):
        strength = max(0.0, min(cell.tint, 1.0)) ** 2 * _STRONGEST
        attributes += f' style="background:rgba({_TINT},{strength:.2f})"'
    if cell.tip:
        attributes += f' title="{escape(cell.tip)}"'
    return f"<td{attributes}>{escape(cell.text)}</td>"
