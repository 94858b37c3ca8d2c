"""Tables and a picture from whatever cells exist; a missing cell is shown as missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

from paired import mean_interval
from picture import WORDS, draw_curves
from plan import CHOICES, DATA, SEEDS, SHARES, Cell, Learner, cells

MISSING = "missing"


class Study:
    """All cells of a results folder with one learner."""

    def __init__(self, results: Path, learner: Learner) -> None:
        self.learner: Learner = learner
        self._found: dict[Cell, Any] = {
            cell: json.loads(path.read_text(encoding="utf-8"))
            for cell in cells(learner)
            if (path := results / f"{cell.name}.json").exists()
        }

    @property
    def size(self) -> tuple[int, int]:
        """How many cells there are, and how many there should be."""
        return len(self._found), len(cells(self.learner))

    def miou(self, data: str, choice: Any, share: int, seed: int) -> float | None:
        """Return the test mIoU; at the first share all choices are one cell."""
        first = share == SHARES[0]
        cell = Cell(self.learner, data, "random" if first else choice, share, seed)
        found = self._found.get(cell)
        return None if found is None else float(found["test"]["miou"])

    def mious(self, data: str, choice: Any, share: int) -> list[float]:
        """Return the test mIoU of the seeds that there are."""
        found = (self.miou(data, choice, share, seed) for seed in SEEDS)
        return [one for one in found if one is not None]

    def differences(self, data: str, choice: Any, other: Any, share: int | None) -> list[float]:
        """Return mIoU minus that of another choice, seed by seed, where both are there.

        Without a share: of the mean over all shares after the first.
        """
        found = []
        for seed in SEEDS:
            pairs = [
                (self.miou(data, choice, one, seed), self.miou(data, other, one, seed))
                for one in (SHARES[1:] if share is None else (share,))
            ]
            each = [a - b for a, b in pairs if a is not None and b is not None]
            found += [sum(each) / len(each)] if len(each) == len(pairs) else []
        return found


def summarize(results: Path) -> int:
    """Write ``summary.md``, ``summary.json`` and a picture of the curves of each learner."""
    lines = ["# Where to label next", ""]
    numbers = {}
    for learner in get_args(Learner):
        study = Study(results, learner)
        if not study.size[0]:
            continue
        lines += [f"## {WORDS[learner]}: {study.size[0]} of {study.size[1]} cells", ""]
        lines += ["Test mIoU by share of labelled blocks: mean of the seeds, and how many.", ""]
        for data in DATA:
            lines += [f"### {data}", "", *_table(study, data), "", *_pairs(study, data), ""]
        numbers[learner] = {data: _numbers(study, data) for data in DATA}
        name = "curves.png" if learner == "head" else f"curves_{learner}.png"
        draw_curves(study, results / name)
    text = "\n".join(lines)
    (results / "summary.md").write_text(text, encoding="utf-8")
    (results / "summary.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0


def _table(study: Study, data: str) -> list[str]:
    lines = [
        "| choice | " + " | ".join(f"{share} %" for share in SHARES) + " |",
        "|" + "---|" * (1 + len(SHARES)),
    ]
    for choice in CHOICES:
        row = [study.mious(data, choice, share) for share in SHARES]
        texts = [f"{sum(v) / len(v):.3f} ({len(v)})" if v else MISSING for v in row]
        lines.append(f"| {choice} | " + " | ".join(texts) + " |")
    return lines


def _pairs(study: Study, data: str) -> list[str]:
    lines = ["Paired differences, mean and 90 % interval; last, of the mean over 2 to 20 %:", ""]
    lines += ["| | " + " | ".join(f"{share} %" for share in SHARES[1:]) + " | all |"]
    lines += ["|" + "---|" * (1 + len(SHARES))]
    for other in CHOICES[1:]:
        row = []
        for share in (*SHARES[1:], None):
            found = mean_interval(study.differences(data, CHOICES[0], other, share))
            row.append(MISSING if found is None else found.text())
        lines.append(f"| {CHOICES[0]} - {other} | " + " | ".join(row) + " |")
    return lines


def _numbers(study: Study, data: str) -> dict[str, Any]:
    """Return mIoU by choice and share, seed by seed, and the paired differences."""
    differences: dict[str, Any] = {}
    for other in CHOICES[1:]:
        for share in (*SHARES[1:], None):
            found = mean_interval(study.differences(data, CHOICES[0], other, share))
            if found is not None:
                key = f"{CHOICES[0]} - {other}"
                ends = {"mean": found.mean, "low": found.low, "high": found.high}
                differences.setdefault(key, {})[str(share or "all")] = ends
    return {
        "miou": {c: {str(s): study.mious(data, c, s) for s in SHARES} for c in CHOICES},
        "differences": differences,
    }
