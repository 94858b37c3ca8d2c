"""Tables and a picture from whatever cells exist; a missing cell is shown as missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from paired import mean_interval
from picture import draw_curves
from plan import CHOICES, DATA, SEEDS, SHARES, Cell, cells

MISSING = "missing"


class Study:
    """All cells of a results folder."""

    def __init__(self, results: Path) -> None:
        self._found: dict[Cell, Any] = {
            cell: json.loads(path.read_text(encoding="utf-8"))
            for cell in cells()
            if (path := results / f"{cell.name}.json").exists()
        }

    def miou(self, data: str, choice: Any, share: int, seed: int) -> float | None:
        """Return the test mIoU; at the first share all choices are one cell."""
        cell = Cell(data, "random" if share == SHARES[0] else choice, share, seed)
        found = self._found.get(cell)
        return None if found is None else float(found["test"]["miou"])

    def mious(self, data: str, choice: Any, share: int) -> list[float]:
        """Return the test mIoU of the seeds that there are."""
        found = (self.miou(data, choice, share, seed) for seed in SEEDS)
        return [one for one in found if one is not None]

    def differences(self, data: str, choice: Any, other: Any, share: int) -> list[float]:
        """Return mIoU minus that of another choice, seed by seed, where both are there."""
        pairs = [
            (self.miou(data, choice, share, s), self.miou(data, other, share, s)) for s in SEEDS
        ]
        return [a - b for a, b in pairs if a is not None and b is not None]


def summarize(results: Path) -> int:
    """Write ``summary.md`` and ``curves.png``."""
    study = Study(results)
    lines = [
        "# Where to label next",
        "",
        "Test mIoU by share of labelled blocks, mean of seeds.",
        "",
    ]
    for data in DATA:
        lines += [f"## {data}", "", *_table(study, data), "", *_pairs(study, data), ""]
    text = "\n".join(lines)
    (results / "summary.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text + "\n")
    draw_curves(study, results / "curves.png")
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
    lines = ["Paired differences, mean and 90 % interval:", ""]
    lines += ["| | " + " | ".join(f"{share} %" for share in SHARES[1:]) + " |"]
    lines += ["|" + "---|" * len(SHARES)]
    for other in CHOICES[1:]:
        row = []
        for share in SHARES[1:]:
            found = mean_interval(study.differences(data, CHOICES[0], other, share))
            row.append(MISSING if found is None else found.text())
        lines.append(f"| {CHOICES[0]} - {other} | " + " | ".join(row) + " |")
    return lines
