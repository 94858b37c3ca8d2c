"""The lock: one writer, named; the dead are replaced without asking."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from napari_blockseg.core.errors import ProjectError, ProjectLockedError
from napari_blockseg.files.lock import LockHolder, ProjectLock


def write_holder(root, **changes):
    holder = LockHolder.this_process().model_dump() | changes
    (root / "lock.json").write_text(json.dumps(holder))
    return holder


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_it_says_who_holds_it(tmp_path):
    lock = ProjectLock(tmp_path)
    lock.acquire()
    said = json.loads((tmp_path / "lock.json").read_text())
    assert said["pid"] == os.getpid()
    with pytest.raises(ProjectLockedError, match=str(os.getpid())) as caught:
        ProjectLock(tmp_path).acquire()
    assert (caught.value.pid, caught.value.host) == (os.getpid(), said["host"])
    assert caught.value.since == said["time"]
    lock.release()
    assert list(tmp_path.iterdir()) == []
    ProjectLock(tmp_path).acquire()


def test_a_dead_process_is_replaced(tmp_path):
    write_holder(tmp_path, pid=dead_pid())
    lock = ProjectLock(tmp_path)
    lock.acquire()
    lock.check()
    assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


def test_a_reused_pid_is_not_taken_for_the_holder(tmp_path):
    write_holder(tmp_path, started=1.0)
    lock = ProjectLock(tmp_path)
    lock.acquire()
    lock.check()
    assert json.loads((tmp_path / "lock.json").read_text())["started"] > 1.0


def test_another_host_is_asked_about(tmp_path):
    write_holder(tmp_path, host="elsewhere", pid=dead_pid())
    lock = ProjectLock(tmp_path)
    with pytest.raises(ProjectLockedError, match="elsewhere"):
        lock.acquire()
    assert not lock.held
    lock.acquire(take_over=True)


def test_who_lost_it_may_not_write(tmp_path):
    first, second = ProjectLock(tmp_path), ProjectLock(tmp_path)
    first.acquire()
    second.acquire(take_over=True)
    with pytest.raises(ProjectLockedError):
        first.check()
    second.check()
    first.release()
    second.check()
    assert (tmp_path / "lock.json").exists()


def test_a_deleted_lock_is_written_again(tmp_path):
    lock = ProjectLock(tmp_path)
    lock.acquire()
    (tmp_path / "lock.json").unlink()
    lock.check()
    assert (tmp_path / "lock.json").exists()


def test_a_damaged_lock_does_not_close_a_project_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_blockseg.files.lock._WAIT_SECONDS", 0.001)
    (tmp_path / "lock.json").write_text("{")
    ProjectLock(tmp_path).acquire()
    assert json.loads((tmp_path / "lock.json").read_text())["pid"] == os.getpid()


def test_reading_only_may_not_write(tmp_path):
    with pytest.raises(ProjectError, match="reading only"):
        ProjectLock(tmp_path).check()


@pytest.fixture
def eager_threads():
    """Let threads take turns so often that a race is met, not once in a blue moon."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
@pytest.mark.parametrize("_again", range(10))
def test_one_of_many_wins(tmp_path, eager_threads, _again):
    write_holder(tmp_path, pid=dead_pid())
    won, start = [], threading.Barrier(8)

    def try_it():
        lock = ProjectLock(tmp_path)
        start.wait()
        try:
            lock.acquire()
        except ProjectLockedError:
            return
        won.append(lock)

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].check()
    assert [path.name for path in tmp_path.iterdir()] == ["lock.json"]
