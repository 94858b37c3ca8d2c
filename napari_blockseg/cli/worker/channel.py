"""The worker's two descriptors: requests in, answers out, and nothing else on either."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from typing import Any

from napari_blockseg.core.atomic import json_text

#: After the end of its input a worker has this long to save and leave by itself.
GRACE_SECONDS = 1.5
#: The same when it was told to shut down: to end a step and to save may take a while, most of all
#: where other processes want the cores.
SHUTDOWN_SECONDS = 45.0

_CHUNK = 65536
#: A longer line is no request; it is dropped so that a runaway client cannot fill the memory.
_MAX_LINE = 8 * 2**20


class EndOfInput(Exception):  # noqa: N818 - it is an event, not an error
    """The client closed the worker's standard input, or no longer reads its output."""


class Channel:
    """Read requests in a thread, write answers from anywhere.

    When the input ends the process ends: the main thread has `GRACE_SECONDS` to leave
    (`SHUTDOWN_SECONDS` after a request to shut down), then the reading thread ends the process,
    whatever is being computed.

    Parameters
    ----------
    source, target : int
        Descriptors to read from and to write to; the channel owns them.
    """

    def __init__(self, source: int, target: int) -> None:
        self._source = source
        self._target = target
        self._lock = threading.Lock()
        self._requests: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ended = self._told_to_leave = False
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def receive(self, wait: bool) -> str | None:
        """Return the next line of input; None when there is none yet and `wait` is false.

        Raises
        ------
        EndOfInput
            When there will be no more.
        """
        if self._ended:
            raise EndOfInput
        try:
            line = self._requests.get(block=wait)
        except queue.Empty:
            return None
        if line is None:
            self._ended = True
            raise EndOfInput
        return line

    def send(self, message: dict[str, Any]) -> None:
        """Write one message as one line of strict JSON.

        Raises
        ------
        EndOfInput
            If nobody reads any more.
        """
        data = json_text(message).encode("utf-8", "replace") + b"\n"
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._target, data) :]
        except OSError as error:
            self._ended = True
            raise EndOfInput from error

    def _read(self) -> None:
        rest = bytearray()
        # os.read, not sys.stdin: a lock held by a blocked reader would hang the interpreter's exit.
        while chunk := _read_some(self._source):
            *lines, tail = chunk.split(b"\n")
            for line in lines:
                self._take(bytes(rest + line))
                rest.clear()
            rest += tail
            if len(rest) > _MAX_LINE:
                rest.clear()
        self._requests.put(None)
        time.sleep(SHUTDOWN_SECONDS if self._told_to_leave else GRACE_SECONDS)
        os._exit(0)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self._told_to_leave = (parse_object(text) or {}).get("type") == "shutdown"
            self._requests.put(text)


def take_over_standard_streams() -> Channel:
    """Keep stdin and stdout for the protocol; point stdout at stderr and stdin at nothing.

    To be called before anything heavy is imported: a library that prints, or that reads stdin, can
    then neither break a message nor eat one.
    """
    source, target = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        # Not every replacement of a standard stream (a test's capture) can be reconfigured.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    return Channel(source, target)


def parse_object(line: str) -> dict[str, Any] | None:
    """Return the JSON object on a line, None when it is something else."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _read_some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""
