"""Whole-file writes that are either the old file or the new one, never half of one.

Lives in ``core`` because both ``files`` and ``learn`` write; standard library only.
"""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_RENAME_TRIES = 20


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it over `path` on success.

    Parameters
    ----------
    path : path
        The file to create or replace. Its folder is created.

    Yields
    ------
    Path
        A path that does not exist yet, with the same suffix as `path`. When the block raises, it
        is removed and `path` stays as it was.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        _rename(temporary, path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 with newlines as given."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` to `path` atomically as JSON; NaN and infinities become null."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """Return strict JSON for `value`: NaN and infinities become null.

    Parameters
    ----------
    value : dict, list, str, number, bool or None
        May hold numpy scalars.
    indent : int, optional
        As in :func:`json.dumps`.

    Examples
    --------
    >>> json_text({"miou": float("nan"), "steps": 3})
    '{"miou": null, "steps": 3}'
    """
    return json.dumps(_without_nan(value), indent=indent, allow_nan=False, ensure_ascii=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_without_nan(item) for item in value]
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return _without_nan(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    # Without this the rename itself may be lost with the power; Windows cannot open folders.
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Path, target: Path) -> None:
    # On Windows a rename fails while a reader has the target open; readers close at once.
    for attempt in range(_RENAME_TRIES):
        try:
            source.replace(target)
        except PermissionError:
            if attempt == _RENAME_TRIES - 1:
                raise
            time.sleep(0.05)
        else:
            return
