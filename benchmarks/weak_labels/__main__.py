"""How well do block labels teach, with which loss, and against what others do? One JSON a cell.

    BLOCKSEG_DATA=... python benchmarks/weak_labels adopt
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels screen --minutes 75
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels train --minutes 75
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels equal --minutes 75
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels shortcut --minutes 75
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels rows --minutes 75
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels peers --minutes 75
    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/weak_labels interactive --minutes 75
    OMP_NUM_THREADS=1 python benchmarks/weak_labels cost
    python benchmarks/weak_labels summary

`adopt` takes cells over that the spectral study has trained with the same settings. `screen` tries
every loss on one data set, `train` compares the chosen ones with dense masks on all, `equal` asks
what pseudo-labels are worth where the plain loss gets their time in steps, `shortcut` trains the
network that begins as a linear head, `rows` puts it beside the baseline on every other kind of
blocks, `peers` fits forests and linear heads to the same labels, `interactive` has an interactive
session work on them for 3, 30 and 300 seconds of processor time. Each makes the cells that have no
result yet, in the order of ``plan.py``, and starts none that would not end in time; run it again to
go on. `cost` measures what losses cost beside the network. `summary` writes tables and a picture
from whatever exists; missing cells are shown as missing. ``--cell NAME`` makes one cell;
``--steps N`` tries the machinery out and belongs with another ``--results``.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from cells import make_missing, write_cell
from data_sets import VARIABLE
from plan import (
    CONVPAINT,
    Cell,
    equal_cells,
    interactive_cells,
    peer_cells,
    row_cells,
    screen_cells,
    shortcut_cells,
    train_cells,
)

RESULTS = Path(__file__).parent.parent / "results" / "weak_labels"
CELLS = {
    "screen": screen_cells,
    "train": train_cells,
    "equal": equal_cells,
    "shortcut": shortcut_cells,
    "rows": row_cells,
    "peers": peer_cells,
    "interactive": interactive_cells,
}


def main() -> int:
    """Run one part of the study; return the exit code."""
    options = parse()
    if options.part == "summary":
        from summary import summarize

        return summarize(options.results)
    if options.part == "cost":
        from cost import measure_cost

        options.results.mkdir(parents=True, exist_ok=True)
        return measure_cost(options.results)
    if VARIABLE not in os.environ:
        sys.stderr.write(f"{VARIABLE} is not set: give the folder of the data sets.\n")
        return 1
    options.results.mkdir(parents=True, exist_ok=True)
    if options.part == "adopt":
        return adopt(options.results)
    made_by = {"peers": peer, "interactive": interactive}.get(options.part)
    return make(options, made_by() if made_by else network(options))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("adopt", *CELLS, "cost", "summary"))
    parser.add_argument("--minutes", type=float, default=75.0)
    parser.add_argument("--cell", help="only this one")
    parser.add_argument("--steps", type=int, help="instead of the plan's")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=Path("weak_labels_models"))
    return parser.parse_args()


def adopt(results: Path) -> int:
    """Take over what the spectral study has made."""
    from training import adopted

    for cell in dict.fromkeys([*screen_cells(), *train_cells()]):
        path = results / f"{cell.name}.json"
        found = None if path.exists() else adopted(cell)
        if found is not None:
            write_cell(path, found)
            sys.stdout.write(f"{cell.name}: from {found['adopted_from']}\n")
    return 0


def network(options: argparse.Namespace) -> Callable[[Cell], dict[str, Any]]:
    """Return what makes a cell of `screen` and `train`."""
    from training import run_cell

    return lambda cell: run_cell(cell, options.work, options.steps)


def peer() -> Callable[[Cell], dict[str, Any]]:
    """Return what makes a cell of `peers`."""
    from peers import run_peer

    return run_peer


def interactive() -> Callable[[Cell], dict[str, Any]]:
    """Return what makes a cell of `interactive`."""
    from interactive import run_interactive

    return run_interactive


def make(options: argparse.Namespace, run: Callable[[Cell], dict[str, Any]]) -> int:
    """Make missing cells until the time is up."""
    known = importlib.util.find_spec("napari_convpaint") is not None
    return make_missing(
        [
            cell
            for cell in CELLS[options.part]()
            if options.cell in (None, cell.name) and (known or cell.recipe != CONVPAINT)
        ],
        options.results,
        run,
        command=f"python benchmarks/weak_labels {options.part}",
        minutes=options.minutes,
    )


if __name__ == "__main__":
    sys.exit(main())
