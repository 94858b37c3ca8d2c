"""Tables and a picture from whatever cells exist; a missing cell is shown as missing."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from labels import OWNED
from paired import Interval, mean_interval
from picture import draw_outcomes
from plan import DATA, Cell, cells
from scipy import stats

MISSING = "missing"


@dataclass(frozen=True)
class Outcome:
    """One cell beside what the labels foretold; `ratio` is to dense labels on the full grid."""

    cell: Cell
    block: int
    miou: float
    resolvable: float
    boundary_f: float | None
    cross_entropy: float | None
    discrepancy: float | None
    discrepancy_of_mean: float | None
    energy: float
    ceiling: float
    ceiling_resolvable: float
    band_limited: float
    ratio: float | None


class Study:
    """All cells and label measurements of a results folder."""

    def __init__(self, results: Path) -> None:
        self.found = {
            cell: json.loads(path.read_text(encoding="utf-8"))
            for cell in cells()
            if (path := results / f"{cell.name}.json").exists()
        }
        self.labels = {
            name: json.loads(path.read_text(encoding="utf-8"))
            for name in DATA
            if (path := results / f"labels_{name}.json").exists()
        }

    def grid(self, cell: Cell) -> int:
        """Return the grid's cell in image pixels: the block, or the decoder's stride there."""
        return cell.size if cell.kind == "blocks" else round(cell.size / DATA[cell.data].scale)

    def resolvable(self, data: str, block: int) -> list[int]:
        """Return the classes that own enough training blocks of this size."""
        owned = self.labels[data]["train"]["blocks"][str(block)]["owned_blocks"]
        return [i for i, n in enumerate(owned) if n >= OWNED]

    def miou(self, cell: Cell, classes: list[int]) -> float:
        """Return the mean test IoU over some classes."""
        iou = self.found[cell]["test"]["iou"]
        return float(np.mean([iou[i] for i in classes if iou[i] is not None]))

    def reference(self, cell: Cell) -> Cell:
        """Return the cell it is paired with: dense labels, full grid, same seed."""
        return Cell(cell.data, "dense", 4, cell.seed)

    def outcome(self, cell: Cell) -> Outcome:
        """Return a cell beside what its labels foretold."""
        block = self.grid(cell)
        classes = self.resolvable(cell.data, block)
        row = self.labels[cell.data]["test"]["blocks"][str(block)]
        test = self.found[cell]["test"]
        reference = self.reference(cell)
        mine = self.miou(cell, classes)
        loss = self.found[cell].get("losses", {}).get("end")
        place = loss["blocks"].index(block) if loss else 0
        return Outcome(
            cell=cell,
            block=block,
            miou=test["miou"],
            resolvable=mine,
            boundary_f=test["boundary_f"],
            cross_entropy=loss["cross_entropy"] if loss else None,
            discrepancy=loss["discrepancy"][place] if loss else None,
            discrepancy_of_mean=loss["discrepancy_of_mean"][place] if loss else None,
            energy=row["energy"],
            ceiling=row["miou"],
            ceiling_resolvable=float(np.mean([row["iou"][i] for i in classes])),
            band_limited=row["band_limited_miou"],
            ratio=mine / self.miou(reference, classes) if reference in self.found else None,
        )


def summarize(results: Path) -> int:
    """Write ``summary.md``, ``summary.json`` and ``outcomes.png``."""
    study = Study(results)
    outcomes = [study.outcome(cell) for cell in study.found if cell.data in study.labels]
    lines = ["# Spectral study: what labels foretell and what networks learned", ""]
    for data in DATA:
        lines += [f"## {data}", "", *_table(study, data), ""]
    lines += ["## Paired differences to dense labels on the full grid", "", *_pairs(study), ""]
    lines += ["## Rank correlation with the ratio to dense labels (Spearman)", ""]
    lines += [*_correlations(outcomes), ""]
    (results / "summary.md").write_text("\n".join(lines), encoding="utf-8")
    (results / "summary.json").write_text(
        json.dumps([{**vars(o), "cell": o.cell.to_dict()} for o in outcomes], indent=1) + "\n",
        encoding="utf-8",
    )
    draw_outcomes(outcomes, results / "outcomes.png")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _table(study: Study, data: str) -> list[str]:
    lines = [
        "| cell | grid, px | energy in band | ceiling, blocks | ceiling, band-limited | test mIoU |"
        " over resolvable | ratio to dense | boundary F | CE | R | (L^-L)/L^(0) |",
        "|" + "---|" * 12,
    ]
    for cell in sorted(
        (c for c in cells() if c.data == data), key=lambda c: (c.kind, c.size, c.seed)
    ):
        name = f"{cell.kind} {cell.size}, seed {cell.seed}"
        if cell not in study.found or data not in study.labels:
            lines.append(f"| {name} | {study.grid(cell)} |" + f" {MISSING} |" * 10)
            continue
        o = study.outcome(cell)
        numbers = (
            *(o.energy, o.ceiling, o.band_limited, o.miou, o.resolvable, o.ratio),
            *(o.boundary_f, o.cross_entropy, o.discrepancy, o.discrepancy_of_mean),
        )
        cells_text = " | ".join(MISSING if x is None else f"{x:.3f}" for x in numbers)
        lines.append(f"| {name} | {o.block} | {cells_text} |")
    return lines


def _pairs(study: Study) -> list[str]:
    lines = [
        "| cells | pairs | mean difference of mIoU, resolvable | 90 % interval |",
        "|---|---|---|---|",
    ]
    kinds = sorted({(c.data, c.kind, c.size) for c in cells()})
    for data, kind, size in kinds:
        if (kind, size) == ("dense", 4):
            continue
        differences = [
            _difference(study, cell)
            for cell in study.found
            if (cell.data, cell.kind, cell.size) == (data, kind, size)
            and study.reference(cell) in study.found
        ]
        name = f"{data}, {kind} {size}"
        found = mean_interval(differences)
        if found is None:
            lines.append(f"| {name} | 0 | {MISSING} | |")
            continue
        lines.append(f"| {name} | {found.n} | {found.mean:+.3f} | {_ends(found)} |")
    return lines


def _difference(study: Study, cell: Cell) -> float:
    classes = study.resolvable(cell.data, study.grid(cell))
    return study.miou(cell, classes) - study.miou(study.reference(cell), classes)


def _ends(found: Interval) -> str:
    return "" if found.half is None else f"{found.low:+.3f} to {found.high:+.3f}"


def _correlations(outcomes: list[Outcome]) -> list[str]:
    predictors = (
        "energy",
        "ceiling_resolvable",
        "band_limited",
        "discrepancy",
        "discrepancy_of_mean",
    )
    lines = ["| data, kind | cells | " + " | ".join(predictors) + " |", "|---|---|" + "---|" * 5]
    for data in (*DATA, "all"):
        for kind in ("blocks", "dense"):
            seen = [
                o
                for o in outcomes
                if o.cell.kind == kind and data in (o.cell.data, "all") and o.ratio is not None
            ]
            row = [_rank(seen, name) for name in predictors]
            lines.append(f"| {data}, {kind} | {len(seen)} | " + " | ".join(row) + " |")
    return lines


def _rank(outcomes: list[Outcome], name: str) -> str:
    pairs: list[Any] = [(getattr(o, name), o.ratio) for o in outcomes]
    known = [pair for pair in pairs if None not in pair]
    if len({x for x, _ in known}) < 3:
        return MISSING
    return f"{stats.spearmanr(*zip(*known, strict=True)).statistic:+.2f}"
