"""The errors a user can cause. Each message says what was got, what is expected, what to do."""

from __future__ import annotations


class BlockSegError(ValueError):
    """Base of every error that a user can act on.

    The command line turns it into exit code 1, the dock into a notification, the worker
    into an ``error`` message; anything else is a bug and keeps its traceback.
    """


class ImageError(BlockSegError):
    """An image cannot be read, or its axes, channels or values do not fit."""


class LabelError(BlockSegError):
    """Block labels or dense masks do not fit the image, the grid or the classes."""


class ProjectError(BlockSegError):
    """A project folder, or a file in it, cannot be used as it is."""


class ProjectLockedError(ProjectError):
    """Another process holds the project's lock.

    Parameters
    ----------
    message : str
        What to tell the user.
    host, since : str
        Who holds the lock, and since when (ISO 8601).
    pid : int
        Process number on that host.
    """

    def __init__(self, message: str, host: str = "", pid: int = 0, since: str = "") -> None:
        super().__init__(message)
        self.host = host
        self.pid = pid
        self.since = since


class ModelError(BlockSegError):
    """A saved model cannot be read, or does not fit the data it is used on."""


class NetworkError(BlockSegError):
    """A network cannot be built from its config."""


class WorkerError(BlockSegError):
    """The worker process died or broke its protocol."""
