"""``metrics.jsonl``: every report of a run, one a line."""

from __future__ import annotations

import json
from pathlib import Path

from napari_blockseg.core.atomic import write_text
from napari_blockseg.core.reports import Report, to_json

METRICS_FILE = "metrics.jsonl"


class MetricsLog:
    """Appends reports to a run's log.

    Parameters
    ----------
    folder : Path
        The run's folder.
    step : int
        Where the run goes on: what an interrupted run wrote after it is dropped. 0 starts anew.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / METRICS_FILE
        self._waiting: list[str] = []
        kept = _lines_up_to(self._path, step) if step else []
        write_text(self._path, "".join(line + "\n" for line in kept))

    def add(self, report: Report) -> None:
        """Keep a report for the next :meth:`flush`."""
        self._waiting.append(to_json(report))

    def flush(self) -> None:
        """Append what waits."""
        if self._waiting:
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write("\n".join(self._waiting) + "\n")
            self._waiting = []


def _lines_up_to(path: Path, step: int) -> list[str]:
    kept = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            break  # a line torn by a kill is the last one
        if values.get("step", 0) > step or values.get("type") == "train_done":
            continue
        kept.append(line)
    return kept
