"""The worker's language, without Qt: how it is started, its lines, its paths.

A worker is a process that reads requests and writes answers, one JSON object a line. It may run on
another machine (``ssh host blockseg worker``) on a shared folder that is mounted elsewhere there:
the path map of `WorkerCommand` translates.

What can be asked and what is answered is listed in `napari_blockseg.cli.worker`: ``train``,
``features``, ``interactive``, ``view``, ``pause``, ``resume``, ``stop``, ``predict``, ``analyse``,
``suggest``, ``cancel``, ``shutdown``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

PROTOCOL = 1

#: A line above this is no message; it is dropped so that a runaway writer cannot fill the memory.
MAX_LINE = 8 * 2**20


@dataclass(frozen=True)
class WorkerCommand:
    """How the worker is started: a command, and where this machine's folders lie on its machine.

    Parameters
    ----------
    args
        Program and arguments; the default starts this interpreter's own worker.
    path_map
        Pairs (folder here, folder there); the first one that holds a path translates it.
    """

    args: tuple[str, ...] = (sys.executable, "-m", "napari_blockseg", "worker")
    path_map: tuple[tuple[str, str], ...] = ()

    def to_worker(self, path: Path | str) -> str:
        """Return the path as the worker's machine knows it (unchanged when no pair holds it)."""
        here = PurePath(path)
        for local, remote in self.path_map:
            if here.is_relative_to(local):
                rest = here.relative_to(local).as_posix()
                return remote.rstrip("/") if rest == "." else f"{remote.rstrip('/')}/{rest}"
        return str(path)

    def to_here(self, path: str) -> Path:
        """Return a path of the worker's machine as this machine knows it."""
        for local, remote in self.path_map:
            stem = remote.rstrip("/")
            if path == stem or path.startswith(stem + "/"):
                return Path(local) / path[len(stem) :].lstrip("/")
        return Path(path)


class LineSplitter:
    """Cut a byte stream into lines; a line, and a UTF-8 letter, may arrive in several pieces."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._rest = bytearray()
        self._max_line = max_line
        self._dropping = False

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes, return the lines that they complete, without empty ones."""
        *whole, rest = data.split(b"\n")
        lines = []
        for piece in whole:
            self._rest += piece
            if not self._dropping and len(self._rest) <= self._max_line:
                lines.append(self._rest.decode("utf-8", "replace").strip())
            self._rest.clear()
            self._dropping = False
        self._rest += rest
        if len(self._rest) > self._max_line:
            self._rest.clear()
            self._dropping = True
        return [line for line in lines if line]


def parse_line(line: str) -> dict[str, Any] | None:
    """Return the message of a line, or None when it is not a message (a banner, a stray print)."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return None
    number = message.get("id")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        return None
    return message


def encode_request(request: dict[str, Any]) -> bytes:
    """Return the request as one UTF-8 line. NaN is refused (ValueError): the protocol has none."""
    return json.dumps(request, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def protocol_problem(hello: dict[str, Any]) -> str | None:
    """Return what is wrong with the worker's greeting in words, or None when it fits."""
    theirs = hello.get("protocol")
    if theirs == PROTOCOL:
        return None
    return (
        f"The worker speaks protocol {theirs}, this plugin speaks {PROTOCOL} "
        f"(worker version {hello.get('version', 'unknown')}). Install the same version of "
        "napari-blockseg for both, or change the worker's command."
    )


def describe_exit(code: int, crashed: bool, last_lines: list[str]) -> str:
    """Return what a user is told when the worker ended by itself.

    Parameters
    ----------
    code
        Exit code, or the signal's number when `crashed`.
    crashed
        Whether the process was ended by a signal.
    last_lines
        The last lines that it wrote to its standard error.
    """
    how = f"was killed (signal {code})" if crashed else f"ended (exit code {code})"
    hint = " The machine may have run out of memory." if crashed and code == 9 else ""
    tail = "\nIts last lines:\n" + "\n".join(last_lines) if last_lines else ""
    return f"The worker {how}.{hint} Labels and finished models are safe.{tail}"
