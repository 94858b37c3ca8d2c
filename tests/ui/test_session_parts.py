"""History, disk thread, class edits: the parts of a session that need no viewer."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import diff
from napari_blockseg.ui.class_edits import with_added, with_changed, with_restored, without
from napari_blockseg.ui.disk import DiskThread
from napari_blockseg.ui.history import LIMIT, Edit, Histories, History
from napari_blockseg.ui.project_steps import regrid_step


def edit(value):
    return Edit(diff(np.array([[0]]), np.array([[value]])), "paint")


def test_undo_and_redo_give_steps_in_turn():
    history, steps = History(), [edit(i) for i in (1, 2, 3)]
    for step in steps:
        history.push(step)
    assert [history.undo() for _ in range(4)] == [*reversed(steps), None]
    assert [history.redo() for _ in range(2)] == steps[:2]
    history.push(edit(4))
    assert not history.can_redo
    assert history.redo() is None


def test_history_keeps_the_latest_steps():
    history = History()
    for value in range(LIMIT + 5):
        history.push(edit(value))
    count = 0
    while history.undo() is not None:
        count += 1
    assert count == LIMIT


def test_a_project_step_taken_back_elsewhere_is_forgotten():
    histories, step = Histories(), regrid_step(16, 8)
    histories.push(step, ["a", "b", "c"])
    histories.of("b").push(edit(1))
    histories.of("c").undo()
    histories.forget(step, ["a", "b", "c"])
    assert not histories.of("a").can_undo
    assert not histories.of("b").can_undo, "edits on the other grid cannot be replayed"


@pytest.fixture
def disk(qapp):
    errors = []
    disk = DiskThread(errors.append)
    disk.errors = errors
    yield disk
    disk.stop()


def test_work_runs_in_order_beside_the_gui_thread(disk):
    done, threads = [], set()

    def work(number):
        time.sleep(0.01 * (3 - number))
        threads.add(threading.get_ident())
        return number

    for number in range(3):
        disk.submit(lambda n=number: work(n), then=done.append)
    assert disk.drain(5)
    assert done == [0, 1, 2]
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


def test_results_are_delivered_on_the_gui_thread(disk, qtbot):
    where = []
    disk.submit(lambda: None, then=lambda _: where.append(threading.get_ident()))
    qtbot.waitUntil(lambda: bool(where), timeout=3000)
    assert where == [threading.get_ident()]


def test_errors_are_told_and_work_goes_on(disk):
    own, done = [], []
    disk.submit(lambda: 1 / 0)
    disk.submit(lambda: 1 / 0, failed=own.append)
    disk.submit(lambda: 7, then=done.append)
    assert disk.drain(5)
    assert [type(e) for e in disk.errors] == [ZeroDivisionError]
    assert [type(e) for e in own] == [ZeroDivisionError]
    assert done == [7]


def test_drain_waits_for_work_that_results_queue(disk):
    done = []
    disk.submit(lambda: 1, then=lambda _: disk.submit(lambda: 2, then=done.append))
    assert disk.drain(5)
    assert done == [2]


def test_drain_gives_up_in_time(disk):
    release = threading.Event()
    disk.submit(lambda: release.wait(5))
    start = time.monotonic()
    assert not disk.drain(0.1)
    assert time.monotonic() - start < 2
    release.set()


def test_class_edits():
    classes = with_added(make_classes(["x", "y"]), " z ")
    assert [(c.value, c.name) for c in classes] == [(1, "x"), (2, "y"), (3, "z")]
    assert len({c.color for c in classes}) == 3
    assert with_changed(classes, 2, name="w", color=(1, 2, 3))[1].name == "w"
    with pytest.raises(LabelError, match="already"):
        with_changed(classes, 2, name="x")
    assert with_changed(classes, 2, name="y") == classes


def test_a_restored_class_takes_no_name_and_color_of_another_one():
    classes = make_classes(["x", "y", "z"])
    less = without(classes, 2)
    assert [(c.value, c.name) for c in less] == [(1, "x"), (2, "z")]
    assert with_restored(less, classes[1]) == classes
    more = with_added(less, "y")
    assert more[2].color == classes[1].color
    again = with_restored(more, classes[1])
    assert [(c.value, c.name) for c in again] == [(1, "x"), (2, "y 2"), (3, "z"), (4, "y")]
    assert len({c.color for c in again}) == 4
    assert again[3].color == more[2].color


def test_an_added_class_takes_no_color_that_is_in_use():
    classes = make_classes(["x", "y"])
    swapped = with_changed(classes, 1, color=with_added(classes, "z")[2].color)
    colors = [c.color for c in with_added(swapped, "z")]
    assert len(set(colors)) == 3
