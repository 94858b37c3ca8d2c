"""What the command line says: results on stdout, warnings and errors on stderr.

On a terminal long work draws a bar; elsewhere it writes plain lines, a bounded number of them, so
that a log file stays readable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

_SECONDS_BETWEEN_LINES = 5.0

#: ``advance(share, text)``: how far long work is (0 to 1, None when unknown), and what it does.
Advance = Callable[[float | None, str], None]


def say(text: str = "") -> None:
    """Write a line of the result."""
    typer.echo(text)


def warn(text: str) -> None:
    """Write a warning in one line."""
    typer.secho(f"warning: {one_line(text)}", fg="yellow", err=True)


def fail(text: str) -> None:
    """Write an error in one line; the caller chooses the exit code."""
    typer.secho(f"error: {one_line(text)}", fg="red", err=True)


def one_line(text: object) -> str:
    """Return the text without its line breaks."""
    return " ".join(str(text).split())


def save_json(path: Path | None, value: Any) -> None:
    """Write a command's results where ``--json`` says, if it was given; NaN becomes null."""
    if path is None:
        return
    from napari_blockseg.core.atomic import write_json

    write_json(path, value)


@contextmanager
def progress(title: str) -> Iterator[Advance]:
    """Show how far long work is, as a bar on a terminal and as plain lines elsewhere.

    Parameters
    ----------
    title : str
        What is being done.

    Yields
    ------
    Advance
        Call it as often as is convenient.
    """
    with _bar(title) if sys.stdout.isatty() else _lines(title) as advance:
        yield advance


@contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[name]}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, TimeElapsedColumn()) as bar:
        task = bar.add_task("", total=None, name=title, text="")

        def advance(share: float | None, text: str) -> None:
            total = None if share is None else 1.0
            bar.update(task, completed=share or 0.0, total=total, text=text)

        yield advance


@contextmanager
def _lines(title: str) -> Iterator[Advance]:
    start = time.monotonic()
    due = start

    def advance(share: float | None, text: str) -> None:
        nonlocal due
        now = time.monotonic()
        if now < due and share != 1.0:
            return
        due = now + _SECONDS_BETWEEN_LINES
        part = "" if share is None else f"{share:4.0%}  "
        say(f"{title}: {part}{text}  [{now - start:.0f} s]")

    yield advance


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text as aligned columns; the first is flush left, the others flush right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), *map(line, rows)])


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with this many decimals, or a dash where there is none."""
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def sparkline(values: Sequence[float]) -> str:
    """Return a curve as a row of block characters, its largest value as the highest one."""
    bars = "▁▂▃▄▅▆▇█"
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(bars[round((value - low) / span * (len(bars) - 1))] for value in values)
