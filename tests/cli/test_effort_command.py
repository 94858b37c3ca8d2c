"""``blockseg effort`` on a project that was painted with a watch at hand."""

from __future__ import annotations

import csv
import json

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


@pytest.fixture
def roads(tmp_path, data, run):
    """Return a project with 9 blocks of sky, 17 of road, 5 of car, on two images."""
    root = tmp_path / "r.blockseg"
    run("new", root, "--images", data.images, "--classes", "sky,road,car", "--block", 16)
    with Project.open(root, write=True) as project:
        paint(project, "scene_0", {1: 4, 2: 17})
        paint(project, "scene_1", {1: 5, 3: 5})
    return root


def paint(project, image_id, blocks, op="paint"):
    for value, count in blocks.items():
        free = np.argwhere(project.load_labels(image_id).values == 0)[:count]
        new = np.full(count, value)
        project.record(image_id, Changes(free, 0 * new, new), op)


def test_work_belongs_to_its_class_when_another_one_is_deleted(roads, run, load_json, tmp_path):
    def counted():
        files = tmp_path / "e.csv", tmp_path / "e.json"
        out = run("effort", roads, "--csv", files[0], "--json", files[1]).out
        lines = [line.split() for line in out.split("\n\n")[0].splitlines()[1:]]
        table = {name: int(blocks) for name, _, blocks, _ in lines}
        with files[0].open(newline="") as file:
            rows = list(csv.DictReader(file))
        found = {}
        for row, one in zip(rows, load_json(files[1])["rows"], strict=True):
            assert (row["class"], int(row["blocks"])) == (one["class"], one["blocks"])
            found[row["class"]] = found.get(row["class"], 0) + one["blocks"]
        assert found.items() <= table.items()
        return found

    assert counted() == {"sky": 9, "road": 17, "car": 5}
    with Project.open(roads, write=True) as project:
        project.set_classes(["road", "car"], {1: 0, 2: 1, 3: 2})
        paint(project, "scene_2", {1: 2})
    assert counted() == {"(deleted)": 9, "road": 19, "car": 5}
    with Project.open(roads, write=True) as project:
        project.set_classes(["sky", "road", "car"], {1: 2, 2: 3}, restored=1)
    assert counted() == {"sky": 9, "road": 19, "car": 5}
    for journal in (roads / "journal").glob("*.jsonl"):  # as earlier versions wrote them
        lines = [json.loads(line) for line in journal.read_text().splitlines()]
        assert any("moves" in line for line in lines)
        for line in lines:
            line.pop("moves", None)
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert counted() == {"sky": 9, "road": 19, "car": 5}


def test_a_class_without_a_painted_block_leaves_its_trace_too(roads, run, load_json, tmp_path):
    with Project.open(roads, write=True) as project:
        for image_id in ("scene_0", "scene_1"):
            labels = project.load_labels(image_id)
            project.save_labels(image_id, labels.with_values(0 * labels.values), "clear")
        project.set_classes(["sky", "car"], {2: 0, 3: 2})
    run("effort", roads, "--json", tmp_path / "e.json")
    found = [(one["class"], one["blocks"]) for one in load_json(tmp_path / "e.json")["rows"]]
    assert found == [("(deleted)", 17), ("sky", 4), ("sky", 5), ("car", 5)]


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
