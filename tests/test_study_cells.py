"""The loop that all studies share: cells without a result, as far as the time goes."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Cell:
    name: str
    kind: str = ""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make cells, the slow ones in 20 s and others in 1 s by a clock of our own; say which."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import cells

    now = [0.0]
    monkeypatch.setattr(cells.time, "monotonic", lambda: now[0])

    def making(names, seconds, slow=(), **more):
        made = []

        def run(cell):
            made.append(cell.name)
            now[0] += 20 if cell.name in slow else 1
            return {"test": {"miou": 0.5}, "seconds": 0.1}

        listed = [Cell(name, kind=name[0]) for name in names]
        cells.make_missing(listed, tmp_path, run, command="again", minutes=seconds / 60, **more)
        return made

    yield making
    monkeypatch.undo()
    sys.modules.pop("cells", None)


def test_only_what_is_missing_is_made_and_written_whole(make, tmp_path, capsys):
    assert make(["a1", "b1"], 60) == ["a1", "b1"]
    assert make(["a1", "b1", "c1"], 60) == ["c1"]
    found = json.loads((tmp_path / "c1.json").read_text())
    assert found["command"] == "again"
    assert {"test", "machine", "threads"} <= found.keys()
    assert not list(tmp_path.glob("*.tmp"))
    assert "missing" not in capsys.readouterr().out


def test_nothing_is_begun_that_would_not_end_in_time(make, capsys):
    assert make(["a1", "a2", "b1"], 30, slow=["a1"]) == ["a1"]
    assert "2 cells are missing" in capsys.readouterr().out


def test_a_cell_that_is_too_long_makes_room_for_a_shorter_one(make):
    names = ["b1", "a1", "a2", "b2"]
    made = make(names, 35, slow=["a1", "a2"], alike=lambda cell: cell.kind)
    assert made == ["b1", "a1", "b2"]
