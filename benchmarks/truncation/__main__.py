"""What truncating a decoder costs in accuracy and what it saves. One JSON a cell, resumable.

    BLOCKSEG_DATA=... OMP_NUM_THREADS=2 python benchmarks/truncation train --minutes 75
    OMP_NUM_THREADS=1 python benchmarks/truncation timing
    BLOCKSEG_DATA=... python benchmarks/truncation spectra
    python benchmarks/truncation summary

`train` trains the cells that have no result yet, in the order of ``plan.py``, and starts none that
would not end in time; run it again to go on. `timing` measures inference, training steps and memory
of every network, interleaved; nothing else should run beside either. `spectra` adds spectra of the
loss and of the features of the kept models to their cells. `summary` writes tables and pictures
from whatever exists; missing cells are shown as missing. ``--cell NAME`` trains one cell.
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
from plan import VARIANTS, cells

RESULTS = Path(__file__).parent.parent / "results" / "truncation"


def main() -> int:
    """Run one part of the study; return the exit code."""
    options = parse()
    if options.part in ("train", "spectra") and VARIABLE not in os.environ:
        sys.stderr.write(f"{VARIABLE} is not set: give the folder of the data sets.\n")
        return 1
    options.results.mkdir(parents=True, exist_ok=True)
    if options.part == "train":
        return train(options)
    if options.part == "timing":
        from timing import measure_timing

        return measure_timing(VARIANTS, options.results)
    if options.part == "spectra":
        from spectra import measure_spectra

        return measure_spectra(options.results, options.work)
    from summary import summarize

    return summarize(options.results)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("train", "timing", "spectra", "summary"))
    parser.add_argument("--minutes", type=float, default=75.0, help="of `train`")
    parser.add_argument("--cell", help="of `train`: only this one")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=Path("truncation_models"))
    return parser.parse_args()


def train(options: argparse.Namespace) -> int:
    """Train missing cells until the time is up."""
    from training import run_cell

    return make_missing(
        [cell for cell in cells() if options.cell in (None, cell.name)],
        options.results,
        lambda cell: run_cell(cell, options.work),
        command=f"python benchmarks/truncation train --minutes {options.minutes:g}",
        minutes=options.minutes,
        alike=lambda cell: (cell.data, cell.variant),
    )


if __name__ == "__main__":
    sys.exit(main())
