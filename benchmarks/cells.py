"""Cells of a study: one JSON a cell, made where there is none yet, as far as the time goes."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from camvid_blocks import machine

# A cell is begun only where so many times what the like of it took is left.
_MARGIN = 1.2


class Named(Protocol):
    """What a cell has to have."""

    @property
    def name(self) -> str:
        """Name of its file, without the suffix."""


C = TypeVar("C", bound=Named)


def make_missing(
    cells: Sequence[C],
    results: Path,
    run: Callable[[C], dict[str, Any]],
    *,
    command: str,
    minutes: float,
    alike: Callable[[C], Hashable] | None = None,
) -> int:
    """Make the cells that have no result yet, and start none that would not end in time.

    Parameters
    ----------
    cells : sequence of cells
        In the order in which they matter.
    results : Path
        Folder of their files.
    run : callable
        Makes the result of a cell, with ``test`` and ``seconds`` in it.
    command : str
        What repeats this; stored with every result.
    minutes : float
        Time for all of them.
    alike : callable, optional
        What cells of equal length have in common. One of a kind that was not seen yet, or any where
        this is not given, is taken to need as long as the longest so far.

    Returns
    -------
    int
        The exit code.
    """
    start, seen = time.monotonic(), {}
    for cell in cells:
        path = results / f"{cell.name}.json"
        if path.exists():
            continue
        kind = alike(cell) if alike is not None else cell.name
        left = minutes * 60 - (time.monotonic() - start)
        if left < _MARGIN * seen.get(kind, max(seen.values(), default=0.0)):
            continue
        begun = time.monotonic()
        result = run(cell)
        seen[kind] = time.monotonic() - begun
        about = {"threads": os.environ.get("OMP_NUM_THREADS"), "machine": machine()}
        write_cell(path, result | {"command": command} | about)
        miou, seconds = result["test"]["miou"], result["seconds"]
        sys.stdout.write(f"{cell.name}: mIoU {miou:.3f} in {seconds:.0f} s\n")
        sys.stdout.flush()
    missing = sum(not (results / f"{cell.name}.json").exists() for cell in cells)
    if missing:
        sys.stdout.write(f"{missing} cells are missing: the next run makes them.\n")
    return 0


def write_cell(path: Path, result: dict[str, Any]) -> None:
    """Write a cell's file as a whole."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
