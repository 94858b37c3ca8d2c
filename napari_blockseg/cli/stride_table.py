"""The choice of a decoder stride as text: a short table and its reason."""

from __future__ import annotations

import textwrap

from napari_blockseg.cli.console import number, table
from napari_blockseg.core.stride_choice import StrideCandidate, StrideChoice

_WIDTH = 88


def describe_choice(choice: StrideChoice) -> str:
    """Return the choice as text for a terminal."""
    parts = []
    if any(one.verdict for one in choice.candidates):
        header = ["", "cell, pixels", "label energy kept", "mIoU kept", "likely", "time", ""]
        parts = [table(header, [_grids(one, choice) for one in choice.candidates])]
    elif choice.candidates:
        header = ["decoder stride", "cell, pixels", "label energy kept", "mIoU kept", "likely"]
        header += ["computing", ""]
        rows = [_row(one, choice) for one in choice.candidates]
        parts = [table(header, rows)]
    return "\n".join([*parts, *textwrap.wrap(choice.reason, _WIDTH, break_on_hyphens=False)])


def _row(one: StrideCandidate, choice: StrideChoice) -> list[str]:
    scale = choice.scale or 1.0
    full = one is choice.candidates[0]
    several = len({each.way for each in choice.candidates}) > 1
    return [
        f"{one.stride}{' (full grid)' if full else f' ({one.way})' * several}",
        f"{one.stride / scale:g}",
        number(one.energy),
        number(one.ratio),
        "" if full else f"{one.low:.3f} to {one.high:.3f}",
        "-" if one.cost is None else f"{one.cost:.0%}",
        "chosen" if (one.stride, one.way) == (choice.stride, choice.way) else "",
    ]


def _grids(one: StrideCandidate, choice: StrideChoice) -> list[str]:
    full = one is choice.candidates[0]
    return [
        one.name,
        f"{one.stride / one.input_scale / (choice.scale or 1.0):g}",
        number(one.energy),
        number(one.ratio),
        "" if full else f"{one.low:.3f} to {one.high:.3f}",
        "-" if one.cost is None else f"{one.cost:.0%}",
        one.verdict,
    ]
