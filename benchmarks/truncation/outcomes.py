"""What cells and timings say about a network: means, paired differences, ratios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from paired import Interval, mean_interval
from plan import SEEDS, VARIANTS, Cell, cells


class Study:
    """All cells of a results folder.

    Attributes
    ----------
    found : dict of Cell to dict
        What is in their files.
    planned : int
        How many cells there are to be.
    """

    def __init__(self, results: Path) -> None:
        self.planned = len(cells())
        self.found: dict[Cell, dict[str, Any]] = {
            cell: json.loads(path.read_text(encoding="utf-8"))
            for cell in cells()
            if (path := results / f"{cell.name}.json").exists()
        }

    def seeds(self, data: str, name: str) -> list[Cell]:
        """Return the cells of a variant that exist."""
        every = (Cell(data, name, seed) for seed in range(SEEDS))
        return [cell for cell in every if cell in self.found]

    def mean(self, data: str, name: str, key: str) -> Interval | None:
        """Return the mean test score `key` ("miou", "boundary_f") over seeds."""
        return mean_interval([self.found[cell]["test"][key] for cell in self.seeds(data, name)])

    def difference(
        self, data: str, name: str, key: str = "miou", against: str | None = None
    ) -> Interval | None:
        """Return the paired difference to its full grid, or to another variant; None for itself."""
        pairs = [
            (cell, cell.reference if against is None else Cell(data, against, cell.seed))
            for cell in self.seeds(data, name)
        ]
        return mean_interval(
            [
                self.found[cell]["test"][key] - self.found[other]["test"][key]
                for cell, other in pairs
                if other in self.found and other != cell
            ]
        )


class Times:
    """What ``timing.json`` says; nothing is known where it is missing."""

    def __init__(self, results: Path) -> None:
        path = results / "timing.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        self.found: dict[str, dict[str, Any]] = known.get("variants", {})

    def seconds(self, name: str, engine: str = "torch") -> float | None:
        """Return the seconds of an image of 512 x 512 pixels, to logits of every pixel."""
        found = self.found.get(name, {}).get("inference", {}).get(engine)
        return None if found is None else float(found["full"]["seconds"])

    def ratio(self, name: str, other: str, engine: str = "torch") -> float | None:
        """Return how many times the other's time a variant takes."""
        mine, theirs = self.seconds(name, engine), self.seconds(other, engine)
        return None if mine is None or theirs is None else mine / theirs

    def row(self, name: str) -> dict[str, float | None]:
        """Return the columns of the table."""
        full = Cell("", name, 0).reference.variant if name in VARIANTS else name
        found = self.found.get(name, {})
        torch, onnx = self.seconds(name), self.seconds(name, "onnx")
        step = found.get("step", {}).get("seconds")
        full_step = self.found.get(full, {}).get("step", {}).get("seconds")
        memory = found.get("memory", {})
        return {
            "gmacs": found["macs"] / 1e9 if "macs" in found else None,
            "ms": None if torch is None else torch * 1000,
            "ratio": self.ratio(name, full),
            "onnx_ms": None if onnx is None else onnx * 1000,
            "onnx_ratio": self.ratio(name, full, "onnx"),
            "step_ratio": step / full_step if step and full_step else None,
            "inference_mb": memory.get("inference_mb"),
            "step_mb": memory.get("step_mb"),
        }
