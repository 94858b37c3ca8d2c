"""Features of images on disk, so that an encoder sees each image once: a cache with a limit."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.atomic import replacing

#: Disk that the features of one project may take, in bytes.
MAX_BYTES = 2 * 2**30

_SUFFIX = ".npz"
#: A temporary file that is older is nobody's any more: whoever wrote it was killed.
_ABANDONED_SECONDS = 300.0

Arrays = dict[str, NDArray[Any]]


class FeatureCache:
    """Named groups of arrays in a folder; the ones used longest ago go first.

    Everything in it can be computed again, so nothing here raises for a full or unwritable disk or
    a damaged file: what cannot be kept is not kept, what cannot be read is not there. Several
    processes may share the folder.

    Parameters
    ----------
    folder : Path
        Made when something is kept.
    max_bytes : int
        Limit for all files together.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes

    def get(self, key: str) -> Arrays | None:
        """Return the arrays kept under a key, None when there are none that can be read."""
        path = self._path(key)
        try:
            data = io.BytesIO(path.read_bytes())
            with np.load(data, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        except FileNotFoundError:
            return None
        except Exception:  # a damaged archive raises whatever its bytes happen to ask for
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)  # its age is how long ago it was used
        return found

    def put(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> bool:
        """Keep arrays under a key; return whether they are kept.

        A reader finds all of them or none: the file takes its name when it is whole.
        """
        size = sum(array.nbytes for array in arrays.values())
        if size > self._max_bytes:
            return False
        try:
            self._make_room(size)
            with replacing(self._path(key)) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError:
            return False
        return True

    def size(self) -> int:
        """Return the bytes that are kept."""
        return sum(size for _, size, _ in self._files())

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _make_room(self, size: int) -> None:
        """Remove what was used longest ago until `size` bytes fit, and what a kill left behind."""
        files = sorted(self._files())
        room = self._max_bytes - size - sum(taken for _, taken, _ in files)
        for _, taken, path in files:
            if room >= 0:
                break
            path.unlink(missing_ok=True)
            room += taken
        for path in self._folder.glob(f".*.tmp{_SUFFIX}"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink(missing_ok=True)

    def _files(self) -> list[tuple[float, int, Path]]:
        """Return (time of last use, bytes, path) of all that is kept."""
        found = []
        for path in self._folder.glob(f"[!.]*{_SUFFIX}"):
            with suppress(OSError):  # another process may have removed it
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        return found
