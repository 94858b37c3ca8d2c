"""`annotate` starts napari in a process of its own."""

from __future__ import annotations

import subprocess
import sys

from napari_blockseg.cli import napari_start


def test_napari_is_started_with_the_project(monkeypatch, project, run):
    started = []
    monkeypatch.setattr(subprocess, "call", lambda words: started.append(words) or 0)
    run("annotate", project)
    run("annotate")
    assert started == [
        [sys.executable, "-m", "napari_blockseg.ui", str(project)],
        [sys.executable, "-m", "napari_blockseg.ui"],
    ]


def test_a_napari_that_fails_is_a_failure(monkeypatch, run):
    monkeypatch.setattr(subprocess, "call", lambda words: 3)
    assert "exit code 3" in run("annotate", expect=1).err


def test_without_a_qt_binding_it_says_what_to_install(monkeypatch, run):
    monkeypatch.setattr(napari_start, "find_spec", lambda name: None)
    assert "Qt binding" in run("annotate", expect=1).err
