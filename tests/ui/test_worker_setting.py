"""The worker's command as a setting: typed, kept, overruled by the environment."""

from __future__ import annotations

import sys

import pytest
from qtpy.QtWidgets import QFormLayout, QWidget

from napari_blockseg.core.errors import WorkerError
from napari_blockseg.ui import worker_setting
from napari_blockseg.ui.worker_messages import WorkerCommand
from napari_blockseg.ui.worker_setting import WorkerRows, parse_command, saved_command


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_setting, "settings_file", lambda: tmp_path / "worker.json")
    monkeypatch.delenv("BLOCKSEG_WORKER", raising=False)
    monkeypatch.delenv("BLOCKSEG_PATH_MAP", raising=False)


def test_empty_means_the_worker_of_this_interpreter():
    assert parse_command("", "") == WorkerCommand()
    assert saved_command().args == (sys.executable, "-m", "napari_blockseg", "worker")


def test_a_remote_command_with_its_folders():
    command = parse_command("ssh gpu 'my blockseg' worker", " /a = /b ;/c=/d")
    assert command.args == ("ssh", "gpu", "my blockseg", "worker")
    assert command.path_map == (("/a", "/b"), ("/c", "/d"))


@pytest.mark.parametrize("path_map", ["/a", "=/b", "/a=", "/a=/b; /c"])
def test_folders_without_a_pair_are_refused(path_map):
    with pytest.raises(WorkerError, match="expected pairs like"):
        parse_command("", path_map)


def test_quotes_that_do_not_match_are_refused():
    with pytest.raises(WorkerError, match="Check its quotes"):
        parse_command("ssh 'gpu", "")


def test_the_environment_overrules_the_settings(monkeypatch):
    monkeypatch.setenv("BLOCKSEG_WORKER", "other worker")
    assert saved_command().args == ("other", "worker")


def test_what_is_typed_is_kept_and_told(qtbot):
    page = QWidget()
    qtbot.addWidget(page)
    rows = WorkerRows(QFormLayout(page))
    told = []
    rows.changed.connect(told.append)
    rows.command.setText("ssh gpu blockseg worker")
    rows.command.editingFinished.emit()
    rows.command.editingFinished.emit()
    assert told == [WorkerCommand(("ssh", "gpu", "blockseg", "worker"))]
    assert saved_command() == told[0]


def test_a_damaged_settings_file_is_passed_over():
    worker_setting.settings_file().write_text("[1")
    assert saved_command() == WorkerCommand()
