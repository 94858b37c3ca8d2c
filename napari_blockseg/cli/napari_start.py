"""``blockseg annotate``: napari with the plugin, in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_blockseg.core.errors import BlockSegError, ProjectError

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
    code = subprocess.call(command(project))
    if code:
        raise BlockSegError(f"napari ended with exit code {code}; what it said stands above.")


def command(project: str | None) -> list[str]:
    """Return the command that starts napari with the dock, and the project if there is one."""
    # By module name: this layer knows nothing of the GUI, and the process is a fresh one.
    words = [sys.executable, "-m", "napari_blockseg.ui"]
    return words if project is None else [*words, project]
