"""Do label spectra and ceilings foretell what networks learn? One JSON a cell, resumable.

    BLOCKSEG_DATA=... OMP_NUM_THREADS=2 python benchmarks/spectral_study train --minutes 75
    BLOCKSEG_DATA=... python benchmarks/spectral_study labels
    BLOCKSEG_DATA=... python benchmarks/spectral_study losses
    BLOCKSEG_DATA=... python benchmarks/spectral_study summary

`train` trains the cells that have no result yet, in the order of ``plan.py``, and starts none that
would not end in time; run it again to go on. `labels` measures spectra and ceilings of the masks,
`losses` the cross-entropy by frequency of the kept models, `summary` writes tables and pictures
from whatever cells exist; missing ones are shown as missing. Nothing else should run beside
`train`.
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
from plan import cells

RESULTS = Path(__file__).parent.parent / "results" / "spectral_study"


def main() -> int:
    """Run one part of the study; return the exit code."""
    options = parse()
    if options.part != "summary" and VARIABLE not in os.environ:
        sys.stderr.write(f"{VARIABLE} is not set: give the folder of the data sets.\n")
        return 1
    options.results.mkdir(parents=True, exist_ok=True)
    if options.part == "train":
        return train(options)
    if options.part == "labels":
        from labels import measure_labels

        return measure_labels(options.results)
    if options.part == "losses":
        from losses import measure_losses

        return measure_losses(options.results, options.work)
    from summary import summarize

    return summarize(options.results)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", choices=("train", "labels", "losses", "summary"))
    parser.add_argument("--minutes", type=float, default=75.0, help="of `train`")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=Path("spectral_study_models"))
    return parser.parse_args()


def train(options: argparse.Namespace) -> int:
    """Train missing cells until the time is up."""
    from training import run_cell

    return make_missing(
        cells(),
        options.results,
        lambda cell: run_cell(cell, options.work),
        command=f"python benchmarks/spectral_study train --minutes {options.minutes:g}",
        minutes=options.minutes,
    )


if __name__ == "__main__":
    sys.exit(main())
