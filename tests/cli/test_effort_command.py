"""``blockseg effort`` on a project that was painted with a watch at hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_blockseg.core.labels import Changes
from napari_blockseg.files.project import Project


@pytest.fixture
def painted(tmp_path, data, run, monkeypatch):
    """Return a project: simulated labels, then a hand that paints at known times."""
    root = tmp_path / "p.blockseg"
    run("new", root, "--images", data.images, "--classes", "field,wood", "--block", 16)
    times = iter(["start", *(f"2026-01-01T10:00:{s:06.3f}+00:00" for s in (0, 0.2, 7.2, 9.2))])

    def clock():
        said = next(times)
        return "2026-01-01T09:00:00.000+00:00" if said == "start" else said

    monkeypatch.setattr("napari_blockseg.files.journal.now", clock)
    with Project.open(root, write=True) as project:
        for cells, value, op in (
            ([(0, 0), (0, 1)], 1, "paint"),
            ([(0, 2)], 1, "paint"),
            ([(1, 0)], 2, "simulate"),
            ([(0, 0)], 2, "paint"),
        ):
            index = np.array(cells)
            new = np.full(len(cells), value)
            project.record("scene_0", Changes(index, 0 * new, new), op)
    return root


def test_a_table_a_csv_and_a_json(painted, run, load_json, tmp_path):
    files = tmp_path / "e.csv", tmp_path / "e.json"
    out = run("effort", painted, "--csv", files[0], "--json", files[1]).out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["field"] == ["1", "3", "0"], "one drag in two pieces, 0.2 s"
    assert rows["wood"] == ["1", "1", "9"], "what a program did is no pause: 9.2 - 0.2 s"
    assert rows["scene_0"] == rows["all"] == ["2", "4", "9"]
    with files[0].open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(x["image"], x["class"], x["blocks"]) for x in lines] == [
        ("scene_0", "field", "3"),
        ("scene_0", "wood", "1"),
    ]
    found = load_json(files[1])
    assert (found["strokes"], found["blocks"]) == (2, 4)
    assert found["seconds"] == pytest.approx(9.2)
    assert [one["seconds"] for one in found["rows"]] == pytest.approx([0.2, 9.0])


def test_nothing_painted_is_said_and_what_simulate_did_does_not_count(project, run, load_json):
    out = project.parent / "e.json"
    assert "Nothing was painted by hand" in run("effort", project, "--json", out).out
    assert load_json(out)["rows"] == []


def test_a_damaged_journal_counts_as_far_as_it_can_be_read(painted, run, load_json, tmp_path):
    journal = painted / "journal" / "scene_0.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = b"".join([*lines[:3], b"{torn}\n", *lines[3:]])
    journal.with_name("scene_0.damaged-1.jsonl").write_bytes(kept)
    journal.write_bytes(lines[0])
    run("effort", painted, "--json", tmp_path / "e.json")
    assert load_json(tmp_path / "e.json")["blocks"] == 3
