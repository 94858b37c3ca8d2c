"""Where commands write to: looked at before the work starts, as callbacks of their options."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from napari_blockseg.core.errors import BlockSegError


def file_to_write(param: typer.CallbackParam, value: str | None) -> str | None:
    """Return the path that an option gives for a file.

    Raises
    ------
    BlockSegError
        If no file can be written there.
    """
    if value is None:
        return None
    given = f"{param.opts[0]} {value}"
    path = Path(value).absolute()
    _check_folder(given, path.parent, itself=False)
    if path.is_dir():
        raise BlockSegError(
            f"Got {given}, which is a folder; expected a file to write. Give another path."
        )
    return value


def folder_to_write(param: typer.CallbackParam, value: str | None) -> str | None:
    """Return the path that an option gives for a folder, which need not exist.

    Raises
    ------
    BlockSegError
        If no file can be written into it.
    """
    if value is not None:
        _check_folder(f"{param.opts[0]} {value}", Path(value).absolute(), itself=True)
    return value


def _check_folder(given: str, folder: Path, itself: bool) -> None:
    """Make sure that a folder can be written; `itself`: it is what was given."""
    # Unlike Path.exists this never raises: what cannot be looked at counts as not there.
    there = next(one for one in (folder, *folder.parents) if os.access(one, os.F_OK))
    if not there.is_dir():
        what = "is a file" if itself and there == folder else f"lies in the file {there}"
        raise BlockSegError(f"Got {given}, which {what}; expected a folder. Give another path.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BlockSegError(
            f"Got {given}, but nothing can be written into {there}; expected a folder of yours. "
            "Give another path, or change the rights of that folder."
        )
