"""``blockseg annotate``: napari with the plugin, in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_blockseg.core.errors import BlockSegError, ProjectError

PLUGIN, WIDGET = "napari-blockseg", "Block segmentation"
_BINDINGS = ("PyQt6", "PySide6", "PyQt5")


def annotate(
    project: Annotated[
        str | None, typer.Argument(metavar="[PROJECT]", help="A project to open.")
    ] = None,
) -> None:
    """Start napari with the plugin."""
    if project is not None and not (Path(project) / "project.json").exists():
        raise ProjectError(
            f"Got {project}; expected a project (a folder with project.json). Create one with "
            "blockseg new."
        )
    if not any(find_spec(binding) for binding in _BINDINGS):
        raise BlockSegError(
            'napari needs a Qt binding and there is none. Install one: pip install "napari[all]".'
        )
    raise typer.Exit(min(subprocess.call(command(project)), 1))


def command(project: str | None) -> list[str]:
    """Return the command that starts napari with the dock, and the project if there is one."""
    start = [sys.executable, "-m", "napari", "-w", PLUGIN, WIDGET]
    # napari takes everything after -w PLUGIN up to the next option for names of widgets.
    return start if project is None else [*start[:3], project, *start[3:]]
