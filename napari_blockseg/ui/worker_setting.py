"""Which worker to start: kept in the user's settings, edited under More in the Train panel.

The environment overrules it: ``BLOCKSEG_WORKER`` is the command, ``BLOCKSEG_PATH_MAP`` the folders.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import platformdirs
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit

from napari_blockseg.core.atomic import write_json
from napari_blockseg.core.errors import WorkerError
from napari_blockseg.ui.worker_messages import WorkerCommand

_COMMAND_TIP = (
    "How the worker is started. Empty: on this computer. For another one that shares the project's "
    "folder: ssh gpu-host blockseg worker"
)
_MAP_TIP = (
    "Where this computer's folders lie on the worker's computer, for instance "
    "/home/me/data = /mnt/data; more than one are divided by semicolons."
)


def settings_file() -> Path:
    """Return where the setting is kept."""
    return Path(platformdirs.user_config_dir("napari-blockseg", appauthor=False)) / "worker.json"


def parse_command(command: str, path_map: str) -> WorkerCommand:
    """Return the worker's command from what a user typed.

    Parameters
    ----------
    command
        A command line; empty for the worker of this interpreter.
    path_map
        ``here = there`` pairs with semicolons between them.

    Raises
    ------
    WorkerError
        If quotes do not match, or a pair has no ``=``.
    """
    try:
        args = tuple(shlex.split(command, posix=os.name != "nt"))
    except ValueError as error:
        raise WorkerError(f"Got the command {command!r}: {error}. Check its quotes.") from error
    pairs = [pair.partition("=") for pair in path_map.split(";") if pair.strip()]
    for here, _, there in pairs:
        if not here.strip() or not there.strip():
            raise WorkerError(
                f"Got the folders {path_map!r}; expected pairs like /home/me/data = /mnt/data."
            )
    folders = tuple((here.strip(), there.strip()) for here, _, there in pairs)
    return WorkerCommand(args, folders) if args else WorkerCommand(path_map=folders)


def load_texts() -> tuple[str, str]:
    """Return the command line and the path map as the user typed them."""
    try:
        kept = json.loads(settings_file().read_text(encoding="utf-8"))
        command, path_map = str(kept["command"]), str(kept["path_map"])
    except (OSError, ValueError, KeyError, TypeError):
        command = path_map = ""
    return (
        os.environ.get("BLOCKSEG_WORKER", command),
        os.environ.get("BLOCKSEG_PATH_MAP", path_map),
    )


def saved_command() -> WorkerCommand:
    """Return the command from environment and settings, the default where it makes no sense."""
    try:
        return parse_command(*load_texts())
    except WorkerError:
        return WorkerCommand()


class WorkerRows(QObject):
    """Two form rows that edit the setting.

    Parameters
    ----------
    form
        The form that gets the rows.
    """

    #: (`WorkerCommand`) The user changed it; it is saved.
    changed = Signal(object)
    #: (message) What was typed cannot be used.
    problem = Signal(str)

    def __init__(self, form: QFormLayout, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.command, self.path_map = QLineEdit(), QLineEdit()
        self._kept = load_texts()
        rows = (
            ("Worker", self.command, "this computer", _COMMAND_TIP, self._kept[0]),
            ("Worker folders", self.path_map, "the same as here", _MAP_TIP, self._kept[1]),
        )
        for title, line, empty, tip, text in rows:
            label = QLabel(title)
            for widget in (label, line):
                widget.setToolTip(tip)
            line.setPlaceholderText(empty)
            line.setText(text)
            line.editingFinished.connect(self._on_edited)
            form.addRow(label, line)

    def _on_edited(self) -> None:
        texts = self.command.text().strip(), self.path_map.text().strip()
        if texts == self._kept:
            return
        self._kept = texts
        try:
            command = parse_command(*texts)
        except WorkerError as error:
            self.problem.emit(str(error))
            return
        write_json(settings_file(), {"command": texts[0], "path_map": texts[1]})
        self.changed.emit(command)
