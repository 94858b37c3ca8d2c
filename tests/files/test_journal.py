"""Journals replay to the same grid, and survive what a kill leaves behind."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, Changes, diff
from napari_blockseg.files.journal import (
    JournalDamagedError,
    JournalRecord,
    JournalWriter,
    read_journal,
    replay,
)

GRID = BlockGrid((40, 30), 10)


def labels_of(values) -> BlockLabels:
    return BlockLabels(GRID, np.array(values, np.uint8).reshape(GRID.shape))


def write(path, *records):
    writer = JournalWriter(path)
    for record in records:
        writer.append(record)
    writer.close()


def record_of(seq, cell, old, new, op="paint"):
    changes = Changes(np.array([cell]), np.array([old]), np.array([new]))
    return JournalRecord.of_changes(seq, changes, op)


@settings(max_examples=40, deadline=None)
@given(
    grids=st.lists(st.lists(st.integers(0, 300), min_size=12, max_size=12), min_size=1, max_size=5),
    pack=st.booleans(),
)
def test_diffs_replay_to_the_last_grid(tmp_path_factory, grids, pack):
    path = tmp_path_factory.mktemp("journal") / "a.jsonl"
    states = [np.zeros(GRID.shape, np.uint16)]
    states += [np.array(g, np.uint16).reshape(GRID.shape) for g in grids]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_blockseg.files.journal._PACK_ABOVE", -1 if pack else 2000)
        pairs = itertools.pairwise(states)
        records = [
            JournalRecord.of_changes(seq, diff(old, new), "paint")
            for seq, (old, new) in enumerate(pairs, start=1)
        ]
    write(path, *records)
    read = read_journal(path)
    assert read == records
    final = replay(BlockLabels(GRID, states[0]), read)
    np.testing.assert_array_equal(final.values, states[-1])


def test_whole_grid_records_carry_before_and_after(tmp_path):
    before = labels_of(range(12))
    after = BlockLabels(GRID.with_block(5), np.arange(48).reshape(8, 6))
    write(tmp_path / "a.jsonl", JournalRecord.of_grids(1, before, after, "regrid"))
    (record,) = read_journal(tmp_path / "a.jsonl")
    assert record.before.labels() == before
    assert replay(before, [record]) == after
    assert replay(None, [record]) == after


def test_a_stack_record_changes_its_plane_only(tmp_path):
    grid = BlockGrid((3, 40, 30), 10)
    record = JournalRecord.of_changes(
        1, Changes(np.array([[1, 2]]), np.array([0]), np.array([4])), "paint", (2,)
    )
    write(tmp_path / "a.jsonl", record)
    final = replay(BlockLabels.empty(grid), read_journal(tmp_path / "a.jsonl"))
    assert final.values[2, 1, 2] == 4
    assert np.count_nonzero(final.values) == 1


def test_lines_are_plain_json(tmp_path):
    write(tmp_path / "a.jsonl", record_of(1, (1, 2), 0, 3))
    row = json.loads((tmp_path / "a.jsonl").read_text())
    assert (row["seq"], row["op"], row["slice"]) == (1, "paint", [])
    assert (row["cells"], row["old"], row["new"]) == ([[1, 2]], [0], [3])


def test_only_later_records_are_read(tmp_path):
    write(tmp_path / "a.jsonl", *(record_of(i, (0, 0), 0, i) for i in range(1, 6)))
    assert [r.seq for r in read_journal(tmp_path / "a.jsonl", after_seq=3)] == [4, 5]
    assert read_journal(tmp_path / "none.jsonl") == []


def test_a_torn_last_line_is_dropped_at_every_length(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, record_of(1, (0, 0), 0, 1), record_of(2, (1, 1), 0, 2))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        assert [r.seq for r in read_journal(path)] == [1]


def test_a_record_after_a_torn_line_is_not_glued_to_it(tmp_path):
    path = tmp_path / "a.jsonl"
    for torn in (b'{"seq":2,"time":"x","op":"pai', b"\0\0\0\0\n", b'{"seq":2'):
        path.unlink(missing_ok=True)
        write(path, record_of(1, (0, 0), 0, 1))
        with path.open("ab") as handle:
            handle.write(torn)
        write(path, record_of(2, (1, 1), 0, 2))
        assert [r.seq for r in read_journal(path)] == [1, 2]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, *(record_of(i, (0, 0), 0, i) for i in range(1, 5)))
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:-5]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(JournalDamagedError, match=r"a\.jsonl.*line 3") as caught:
        read_journal(path)
    assert [r.seq for r in caught.value.records] == [1, 2]
    # What the labels file holds already need not be read any more.
    assert [r.seq for r in read_journal(path, after_seq=3)] == [4]


@pytest.mark.parametrize(
    ("cell", "new"), [((4, 0), 1), ((0, 3), 1), ((-1, 0), 1), ((0, 0), -1), ((0, 0, 0), 1)]
)
def test_records_that_do_not_fit_are_refused(cell, new):
    with pytest.raises(JournalDamagedError, match="does not fit"):
        replay(labels_of([0] * 12), [record_of(1, cell, 0, new)])


@pytest.mark.parametrize(
    "dtype", ["|_1", "<i04,", "01", "<f4", "O", "<i4,<i4", "V2", "<M8[s]"], ids=repr
)
def test_packed_numbers_of_no_known_kind_are_refused(dtype):
    changes = Changes(np.array([[0, 0]]), np.array([0]), np.array([1]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_blockseg.files.journal._PACK_ABOVE", 0)
        record = JournalRecord.of_changes(1, changes, "paint")
    damaged = {
        name: part.model_copy(update={"dtype": dtype}) for name, part in record.packed.items()
    }
    with pytest.raises(JournalDamagedError, match="does not fit"):
        replay(labels_of([0] * 12), [record.model_copy(update={"packed": damaged})])


@pytest.mark.parametrize("part", ["cells", "new"])
def test_numbers_beyond_all_bounds_are_refused(part):
    huge = {"cells": ((2**70, 0),), "new": (2**70,)}
    record = record_of(1, (0, 0), 0, 1).model_copy(update={part: huge[part]})
    with pytest.raises(JournalDamagedError, match="does not fit"):
        replay(labels_of([0] * 12), [record])


def test_a_full_disk_leaves_no_half_record(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    write(path, record_of(1, (0, 0), 0, 1))
    whole = path.read_bytes()
    writer = JournalWriter(path)

    def fail(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="space"):
        writer.append(record_of(2, (0, 0), 1, 2))
    writer.close()
    assert path.read_bytes() == whole
