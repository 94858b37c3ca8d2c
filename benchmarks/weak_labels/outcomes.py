"""What the study has found so far: scores of cells, pairs of them, and their intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from plan import (
    Cell,
    equal_cells,
    interactive_cells,
    peer_cells,
    row_cells,
    screen_cells,
    shortcut_cells,
    train_cells,
)
from scipy import stats

#: Blocks that a class must own among all training blocks to count as resolvable.
OWNED = 50
SPECTRAL = Path(__file__).parent.parent / "results" / "spectral_study"

#: The assumption behind annotation time, in seconds: to find a region and start a stroke in it, and
#: to pass over a block.
STROKE_SECONDS = 1.5
BLOCK_SECONDS = 0.1


@dataclass(frozen=True)
class Mean:
    """A mean over seeds, half of its 90 % interval (None for one seed), and how many they are."""

    mean: float
    half: float | None
    n: int

    def text(self, sign: bool = False) -> str:
        """Return the mean and, where there is one, the interval."""
        shown = f"{self.mean:+.3f}" if sign else f"{self.mean:.3f}"
        if self.half is None:
            return shown
        low, high = self.mean - self.half, self.mean + self.half
        return f"{shown} ({low:+.3f} to {high:+.3f})" if sign else f"{shown} ± {self.half:.3f}"


def mean_of(values: Sequence[float]) -> Mean | None:
    """Return the mean with Student's interval; None of nothing."""
    if not values:
        return None
    half = None
    if len(values) > 1:
        spread = float(np.std(values, ddof=1)) / math.sqrt(len(values))
        half = float(stats.t.ppf(0.95, len(values) - 1)) * spread
    return Mean(float(np.mean(values)), half, len(values))


class Study:
    """All cells of a results folder.

    Parameters
    ----------
    results : Path
        Where they are.
    """

    def __init__(self, results: Path) -> None:
        planned = [*screen_cells(), *train_cells(), *equal_cells(), *shortcut_cells()]
        planned += [*row_cells(), *peer_cells(), *interactive_cells()]
        self.cells = list(dict.fromkeys(planned))
        self.found: dict[Cell, dict[str, Any]] = {
            cell: json.loads(path.read_text(encoding="utf-8"))
            for cell in self.cells
            if (path := results / f"{cell.name}.json").exists()
        }

    def resolvable(self, data: str, block: int) -> list[int]:
        """Return the classes that own enough of all training blocks of this size."""
        path = SPECTRAL / f"labels_{data}.json"
        train = json.loads(path.read_text(encoding="utf-8"))["train"]
        return [i for i, n in enumerate(train["blocks"][str(block)]["owned_blocks"]) if n >= OWNED]

    def names(self, data: str) -> list[str]:
        """Return the names of a data set's classes."""
        path = SPECTRAL / f"labels_{data}.json"
        train = json.loads(path.read_text(encoding="utf-8"))["train"]
        return [str(name) for name in train["classes"]]

    def miou(self, cell: Cell, block: int | None = None, scores: str = "test") -> float:
        """Return the mean test IoU over the classes that blocks of this size resolve."""
        iou = self.found[cell][scores]["iou"]
        classes = self.resolvable(cell.data, block or cell.block)
        return float(np.mean([iou[i] for i in classes if iou[i] is not None]))

    def seeds(self, cell: Cell) -> list[Cell]:
        """Return the cells that differ from this one in the seed only, and were made."""
        return [
            one
            for one in self.found
            if (one.data, one.block, one.choice, one.recipe)
            == (cell.data, cell.block, cell.choice, cell.recipe)
        ]

    def score(self, cell: Cell, block: int | None = None) -> Mean | None:
        """Return the mean over seeds of :meth:`miou`."""
        return mean_of([self.miou(one, block) for one in self.seeds(cell)])

    def contestant(self, cell: Cell, source: str) -> Mean | None:
        """Return the mean over seeds of head ("interactive") or network, whichever previews."""
        other = {"interactive": "test_head", "network": "test_network"}[source]
        scores = []
        for one in self.seeds(cell):
            key = "test" if self.found[one]["source"] == source else other
            if key in self.found[one]:
                scores.append(self.miou(one, scores=key))
        return mean_of(scores)

    def test(self, cell: Cell, name: str) -> Mean | None:
        """Return the mean over seeds of another score of the test images."""
        return mean_of([self.found[one]["test"][name] for one in self.seeds(cell)])

    def difference(self, cell: Cell, recipe: str) -> Mean | None:
        """Return the mean over paired seeds of cell minus the same labels with another recipe."""
        pairs = [(one, one.other(recipe)) for one in self.seeds(cell)]
        return mean_of([self.miou(a) - self.miou(b) for a, b in pairs if b in self.found])

    def to_dense(self, cell: Cell, ratio: bool = False) -> Mean | None:
        """Return the mean over paired seeds of cell minus (or divided by) dense masks."""
        pairs = [(one, one.dense) for one in self.seeds(cell) if one.dense in self.found]
        scores = [(self.miou(one), self.miou(dense, one.block)) for one, dense in pairs]
        return mean_of([a / b if ratio else a - b for a, b in scores])

    def to_dense_of_labelled(self, cell: Cell) -> Mean | None:
        """Return the ratio to dense masks over the classes that own enough LABELLED blocks.

        Of a part of the blocks, a class may own too few to be learned that owns enough of all.
        """
        ratios = []
        for one in self.seeds(cell):
            counts = self.found[one].get("blocks_of_class")
            if counts is None or one.dense not in self.found:
                continue
            kept = [i for i in self.resolvable(one.data, one.block) if counts[i] >= OWNED]
            mine, dense = (self.found[c]["test"]["iou"] for c in (one, one.dense))
            ratios.append(
                float(np.mean([mine[i] for i in kept]) / np.mean([dense[i] for i in kept]))
            )
        return mean_of(ratios)

    def seconds(self, cell: Cell) -> float | None:
        """Return the seconds of simulated annotation that the labels of a cell take."""
        found = self.found.get(cell, {})
        if "strokes" not in found or cell.block == 1:
            return None
        return STROKE_SECONDS * found["strokes"] + BLOCK_SECONDS * found["labelled_blocks"]
