"""A project that is killed at any moment opens again, with every record that was on disk."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_blockseg.core import atomic
from napari_blockseg.core.labels import diff
from napari_blockseg.files import labelstore
from napari_blockseg.files.blocklabels import read_block_labels, write_block_labels
from napari_blockseg.files.journal import JournalWriter, read_journal
from napari_blockseg.files.project import Project

PAINTER = """
import sys
import numpy as np
from napari_blockseg.core.labels import Changes
from napari_blockseg.files.project import Project

project = Project.open(sys.argv[1], write=True)
rng = np.random.default_rng(0)
for stroke in range(100000):
    cells = np.unique(rng.integers(0, 8, (6, 2)), axis=0)
    new = rng.integers(0, 4, len(cells))
    seq = project.record("a", Changes(cells, np.zeros_like(new), new), "paint")
    grid = project.load_labels("a").values.tobytes().hex()
    print(seq, grid, flush=True)
    if stroke % 3 == 0:
        project.save_labels("a")
"""


class KilledError(Exception):
    """Stands for the death of the process."""


@pytest.fixture
def root(tmp_path):
    with Project.create(tmp_path / "p", [], ["u", "v", "w"], block=8) as project:
        for name in ("a", "b", "c"):
            project.add_array(name, np.zeros((64, 64), np.uint8), "YX")
    return tmp_path / "p"


def paint_randomly(root: Path) -> dict[str, np.ndarray]:
    painted = {}
    with Project.open(root, write=True) as project:
        for seed, image_id in enumerate(project.image_ids):
            labels = project.load_labels(image_id)
            values = np.random.default_rng(seed).integers(0, 4, labels.values.shape)
            project.record(image_id, diff(labels.values, values.astype(np.uint8)), "paint")
            painted[image_id] = project.load_labels(image_id)
    return painted


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("after", [0.05, 0.2, 0.33])
def test_kill_9_loses_nothing_that_was_reported(root, after):
    process = subprocess.Popen(
        [sys.executable, "-c", PAINTER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(after)
    process.kill()
    lines += process.stdout.read().splitlines()
    process.wait()
    whole = [line.split() for line in lines if len(line.split()) == 2]
    last_seq, grid = int(whole[-1][0]), whole[-1][1]
    with Project.open(root, write=True) as project:  # the dead holder of the lock is replaced
        assert project.problems == {}
        records = read_journal(root / "journal" / "a.jsonl")
        assert records[-1].seq - last_seq in (0, 1)  # killed between the record and its report
        if records[-1].seq == last_seq:
            assert project.load_labels("a").values.tobytes().hex() == grid
        recovered = project.load_labels("a")
        file_labels, seq = read_block_labels(root / "labels" / "a.blocks.tif")
        assert (file_labels, seq) == (recovered, records[-1].seq)


def test_the_labels_file_recovers_byte_for_byte(root):
    paint_randomly(root)
    path = root / "labels" / "a.blocks.tif"
    clean = path.read_bytes()
    records = read_journal(root / "journal" / "a.jsonl")
    empty = records[0].after.labels()
    write_block_labels(path, empty, records[0].seq)  # as it was before the stroke
    with Project.open(root, write=True):
        pass
    assert path.read_bytes() == clean
    path.unlink()
    with Project.open(root, write=True):
        pass
    assert path.read_bytes() == clean


def test_a_kill_while_a_file_is_replaced_leaves_the_old_one(root, monkeypatch):
    painted = paint_randomly(root)

    def dies(source, target):
        raise KilledError

    project = Project.open(root, write=True)
    monkeypatch.setattr(atomic, "_rename", dies)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
    with pytest.raises(KilledError):
        project.save_labels("a")
    monkeypatch.undo()
    project._abandon()
    assert list((root / "labels").glob(".*.tmp*"))
    with Project.open(root, write=True) as again:
        assert again.problems == {}
        assert again.load_labels("a") == painted["a"]
    assert not list((root / "labels").glob(".*.tmp*"))


def _die_at(monkeypatch, count: int) -> None:
    """Die at the `count`-th thing that is put on disk (counted over journal and files)."""
    left = [count]

    def counted(real):
        def wrapper(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return real(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(JournalWriter, "append", counted(JournalWriter.append))
    monkeypatch.setattr(atomic, "_rename", counted(atomic._rename))


CHANGES = {
    "finer": lambda project: project.set_block(4),
    "coarser": lambda project: project.set_block(24),
    "undo": lambda project: project.undo_regrid(),
    "classes": lambda project: project.set_classes(["x", "y"], {1: 2, 2: 0, 3: 1}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_everything_is_finished_after_a_kill_at_any_point(
    tmp_path, monkeypatch, change, root
):
    paint_randomly(root)
    if change == "undo":
        with Project.open(root, write=True) as project:
            project.set_block(20)
    undisturbed = tmp_path / "undisturbed"
    _copy(root, undisturbed)
    with Project.open(undisturbed, write=True) as project:
        before = {one: project.load_labels(one) for one in project.image_ids}
        CHANGES[change](project)
        after = {one: project.load_labels(one) for one in project.image_ids}
        spec = project.spec
    died = 0
    for count in range(40):
        broken = tmp_path / f"broken_{count}"
        _copy(root, broken)
        project = Project.open(broken, write=True)
        with monkeypatch.context() as patch:
            _die_at(patch, count)
            try:
                CHANGES[change](project)
            except KilledError:
                died += 1
        project._abandon()
        if died <= count:
            break
        with Project.open(broken, write=True) as again:
            assert again.problems == {}
            found = {one: again.load_labels(one) for one in again.image_ids}
            if again.spec.classes == spec.classes and again.block == spec.block:
                assert found == after
                assert again.spec == spec
            else:
                assert (count, found) == (0, before)
    assert died >= 8  # intent, then journal and labels file of each image, then the end


def test_a_change_of_everything_can_be_undone_after_a_kill(root, monkeypatch):
    painted = paint_randomly(root)
    project = Project.open(root, write=True)
    with monkeypatch.context() as patch:
        _die_at(patch, 4)
        with pytest.raises(KilledError):
            project.set_block(20)
    project._abandon()
    with Project.open(root, write=True) as again:
        assert again.block == 20
        again.undo_regrid()
        assert {one: again.load_labels(one) for one in again.image_ids} == painted


def test_readers_manage_while_a_change_of_everything_is_half_done(root, monkeypatch):
    paint_randomly(root)
    project = Project.open(root, write=True)
    with monkeypatch.context() as patch:
        _die_at(patch, 3)
        with pytest.raises(KilledError):
            project.set_block(4)
    reader = Project.open(root)
    assert reader.problems == {}
    blocks = [reader.load_labels(one).grid.block for one in reader.image_ids]
    assert blocks == [4, 8, 8]
    project._abandon()


def test_a_kill_while_a_damaged_journal_is_put_aside(root, monkeypatch):
    painted = paint_randomly(root)
    with (root / "journal" / "a.jsonl").open("ab") as handle:
        handle.write(b"garbage\ngarbage\n")
    renames = Path.rename
    for step in ("labels", "rename", "start"):
        project = Project.open(root, write=True)
        with monkeypatch.context() as patch:
            if step == "labels":
                patch.setattr(labelstore, "write_block_labels", _dies)
            elif step == "rename":
                patch.setattr(Path, "rename", _dies)
            else:
                patch.setattr(atomic, "write_bytes", _only_labels(atomic.write_bytes))
            values = project.load_labels("a").values
            with pytest.raises(KilledError):
                project.record("a", diff(values, values * 0), "clear")
        project._abandon()
        assert Path.rename is renames
        assert Project.open(root).load_labels("a") == painted["a"]
    with Project.open(root, write=True) as project:
        assert project.problems == {}
        values = project.load_labels("a").values
        project.record("a", diff(values, values * 0), "clear")
    assert Project.open(root).load_labels("a").n_labelled == 0


def _dies(*args, **kwargs):
    raise KilledError


def _only_labels(real):
    def write_bytes(path, data):
        if str(path).endswith(".jsonl"):
            raise KilledError
        return real(path, data)

    return write_bytes


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    assert not (target / "lock.json").exists()
