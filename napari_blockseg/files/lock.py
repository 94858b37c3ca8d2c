"""The lock of a project: who writes to it, on which host, since when."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from napari_blockseg.core.errors import ProjectError, ProjectLockedError

if sys.platform != "win32":
    import fcntl

# Start times come from clock ticks and a boot time that is itself adjusted now and then.
_SAME_START_SECONDS = 2.0
_TRIES = 20
_WAIT_SECONDS = 0.1


class LockHolder(BaseModel):
    """What ``lock.json`` says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    host: str
    pid: int
    started: float
    time: str
    token: str = ""

    @classmethod
    def this_process(cls) -> LockHolder:
        """Return what this process writes into a lock."""
        return cls(
            host=socket.gethostname(),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            token=uuid.uuid4().hex,
        )

    def is_dead(self) -> bool:
        """Whether the holder surely no longer runs: on this host, its process gone or reused."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return bool(abs(process.create_time() - self.started) > _SAME_START_SECONDS)
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


class ProjectLock:
    """Exclusive right to write a project's ``project.json``, labels and journals.

    Parameters
    ----------
    root : path
        The project folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.path = Path(root) / "lock.json"
        self._mine: LockHolder | None = None

    @property
    def held(self) -> bool:
        """Whether this object acquired the lock (and has not released it)."""
        return self._mine is not None

    def acquire(self, take_over: bool = False) -> None:
        """Take the lock.

        Parameters
        ----------
        take_over : bool
            Take it from a live process or another host too. A dead process of this host is
            replaced without asking.

        Raises
        ------
        ProjectLockedError
            If another process holds it; ``host``, ``pid`` and ``since`` say which.
        ProjectError
            If the folder cannot be written.
        """
        mine = LockHolder.this_process()
        for attempt in range(_TRIES):
            try:
                self._create(mine)
            except FileExistsError:
                holder = self._read()
                if holder is not None and not take_over and not holder.is_dead():
                    raise _locked(self.path, holder) from None
                if holder is None and attempt < _TRIES // 2:
                    time.sleep(_WAIT_SECONDS)  # it may be just being written
                    continue
                self._remove_stale(holder)
            except OSError as error:
                raise ProjectError(
                    f"{self.path.parent} cannot be written: {error}. Open the project read-only, "
                    "or copy it to a folder that you may write."
                ) from error
            else:
                self._mine = mine
                return
        raise ProjectLockedError(
            f"{self.path} is taken and dropped again and again by another process. Try again."
        )

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not (or no longer) ours."""
        mine, self._mine = self._mine, None
        if mine is not None and self._read() == mine:
            self.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Make sure that the lock is still ours, before something is written.

        Raises
        ------
        ProjectLockedError
            If another process took it over.
        ProjectError
            If it was never acquired: the project is open for reading only.
        """
        if self._mine is None:
            raise ProjectError(
                f"The project {self.path.parent} is open for reading only; open it with "
                "write=True to change it."
            )
        holder = self._read()
        if holder is None:
            # Deleted by hand: nobody else holds it, so it is ours again.
            try:
                self._create(self._mine)
            except FileExistsError:
                holder = self._read()
        if holder is not None and holder != self._mine:
            raise _locked(self.path, holder)

    def _create(self, holder: LockHolder) -> None:
        # Written aside and linked into place: nobody ever sees half a lock.
        aside = self.path.with_name(f".lock.{uuid.uuid4().hex}.tmp")
        aside.write_text(holder.model_dump_json(indent=2) + "\n", encoding="utf-8")
        try:
            os.link(aside, self.path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(aside.read_bytes())
        finally:
            aside.unlink(missing_ok=True)

    def _read(self) -> LockHolder | None:
        try:
            return LockHolder.model_validate(json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError):
            return None

    def _remove_stale(self, stale: LockHolder | None) -> None:
        with _one_at_a_time(self.path.parent):
            if self._read() != stale:
                return  # someone was faster, and what is there now is theirs
            # Renamed first: without the guard, whoever caught another one's new lock sees it.
            aside = self.path.with_name(f".lock.{uuid.uuid4().hex}.stale")
            try:
                self.path.replace(aside)
            except FileNotFoundError:
                return
            caught = ProjectLock.__new__(ProjectLock)
            caught.path = aside
            if caught._read() != stale and not self.path.exists():
                aside.replace(self.path)
            aside.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    # Between finding a stale lock and removing it, another process of this host may have done both
    # and taken the project. Where a folder cannot be locked (Windows, some network disks) the
    # check before every write remains: only one of them holds lock.json.
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _locked(path: Path, holder: LockHolder) -> ProjectLockedError:
    return ProjectLockedError(
        f"The project {path.parent} is in use by process {holder.pid} on {holder.host} since "
        f"{holder.time}. Close it there, open it read-only, or take it over if that process is "
        "gone (it cannot be seen from here, or it still runs).",
        host=holder.host,
        pid=holder.pid,
        since=holder.time,
    )
