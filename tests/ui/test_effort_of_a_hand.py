"""Effort, end to end: a mouse on the canvas, the journal on disk, the command's CSV."""

from __future__ import annotations

import csv
from datetime import UTC, datetime

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_blockseg.cli.effort import effort

BLOCK = 16


class Watch:
    """The clock of the journal; it stands still until it is set."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return datetime.fromtimestamp(1e9 + self.seconds, UTC).isoformat(timespec="milliseconds")


def center(row, col):
    return row * BLOCK + (BLOCK - 1) / 2, col * BLOCK + (BLOCK - 1) / 2


def test_strokes_blocks_and_seconds_of_a_hand(make_bench, monkeypatch, tmp_path, capsys, qtbot):
    watch = Watch()
    monkeypatch.setattr("napari_blockseg.files.journal.now", watch)
    bench = make_bench()
    session, mouse = bench.session, bench.mouse

    def at(seconds):
        assert session.flush()
        watch.seconds = seconds

    mouse.click(*center(1, 1))
    at(5)
    mouse.press(*center(3, 1))
    for seconds, col in ((6, 2), (7.5, 3)):  # a slow drag: the journal is written meanwhile
        qtbot.waitUntil(lambda: session._easel.sheet._in_stroke)
        QTest.qWait(300)
        at(seconds)
        mouse.move(*center(3, col))
    mouse.release(*center(3, 3))
    at(10)
    session.labels_layer().selected_label = 2
    mouse.click(*center(5, 1))
    at(10.2)
    mouse.click(*center(5, 4))  # two quick clicks are two strokes
    at(1000)
    session.labels_layer().mode = "erase"
    mouse.click(*center(1, 1))  # after a break: 20 s
    at(1003)
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    at(1004)
    assert bench.painted() == {1: {(1, 1), (3, 1), (3, 2), (3, 3)}, 2: {(5, 1), (5, 4)}}

    effort(str(bench.root), str(tmp_path / "e.csv"), None)
    with (tmp_path / "e.csv").open(newline="") as file:
        rows = [tuple(row.values())[2:] for row in csv.DictReader(file)]
    assert rows == [  # class value, strokes, blocks, seconds
        ("-1", "0", "0", "3.000"),
        ("0", "1", "1", "20.000"),
        ("1", "2", "4", "7.500"),
        ("2", "2", "2", "2.700"),
    ]
    said = {
        line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line
    }
    assert said["(erased)"] == ["1", "1", "20"]
    assert said["all"] == ["5", "7", "33"]
    qtbot.waitUntil(lambda: bench.dock.effort.text() == "5 strokes, 33 s")
