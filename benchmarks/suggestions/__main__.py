"""Does it pay to label the suggested blocks? A simulated annotator; one JSON a cell, resumable.

    BLOCKSEG_DATA=... OMP_NUM_THREADS=1 python benchmarks/suggestions train --minutes 75
    python benchmarks/suggestions summary

Everyone begins with the same 1 % of the blocks, drawn at random. Then the annotator labels blocks,
up to 2, 5, 10 and 20 %: at random, where what was learned before is most unsure ("uncertainty"),
or as it suggests ("diverse"). What learns is a linear head on a frozen encoder's features, as in
interactive mode: seconds a cell. ``--learner network`` trains the whole network anew from the
encoder's weights instead: minutes a cell. Both are scored on the test images.

`train` makes the cells that have no result yet, in the order of ``plan.py``, and starts none that
would not end in time; run it again to go on. Labels, models and features are kept under ``--work``;
lost ones are made again. `summary` writes tables and a picture from whatever cells exist.
``--data NAME`` and ``--seeds N`` do a part; ``--steps N`` tries networks out and belongs with
another ``--results`` and ``--work``.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from cells import make_missing
from data_sets import VARIABLE
from plan import DATA, SEEDS, Cell, cells

RESULTS = Path(__file__).parent.parent / "results" / "suggestions"


def main() -> int:
    """Run one part of the study; return the exit code."""
    options = parse()
    options.results.mkdir(parents=True, exist_ok=True)
    if options.part == "summary":
        from summary import summarize

        return summarize(options.results)
    if VARIABLE not in os.environ:
        sys.stderr.write(f"{VARIABLE} is not set: give the folder of the data sets.\n")
        return 1
    return train(options)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("train", "summary"))
    parser.add_argument("--minutes", type=float, default=75.0, help="of `train`")
    parser.add_argument("--learner", choices=("head", "network"), default="head")
    parser.add_argument("--data", choices=tuple(DATA), help="only this data set")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="only the first N seeds")
    parser.add_argument("--steps", type=int, help="instead of the plan's")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=Path("suggestions_models"))
    return parser.parse_args()


def train(options: argparse.Namespace) -> int:
    """Train missing cells until the time is up."""
    from training import run_cell

    return make_missing(
        wanted(options),
        options.results,
        lambda cell: run_cell(cell, options.work, options.steps),
        command=f"python benchmarks/suggestions train --learner {options.learner}",
        minutes=options.minutes,
    )


def wanted(options: argparse.Namespace) -> list[Cell]:
    """Return the cells that the options name."""
    return [
        cell
        for cell in cells(options.learner)
        if options.data in (None, cell.data) and cell.seed in SEEDS[: options.seeds]
    ]


if __name__ == "__main__":
    sys.exit(main())
