"""A worker process as its client sees it; for tests."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil


class Worker:
    """A real worker with a reading thread, so that a test can wait with a time limit."""

    def __init__(self, hello: bool = True, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_blockseg", "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.errors: list[bytes] = []
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self._read_output, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()
        self._next = 1
        if hello:
            self.write({"id": 0, "type": "hello", "protocol": 1})
            self.hello = self.wait_for("hello")

    def _read_output(self) -> None:
        try:
            for line in self.process.stdout:
                self.lines.put(line)
        except ValueError:
            pass  # closed by the test
        self.lines.put(None)

    def _read_errors(self) -> None:
        self.errors.extend(self.process.stderr)

    def write(self, message: dict[str, Any]) -> None:
        self.write_line(json.dumps(message).encode())

    def write_line(self, line: bytes) -> None:
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def ask(self, kind: str, **fields: Any) -> int:
        number = self._next
        self._next += 1
        self.write({"id": number, "type": kind, **fields})
        return number

    def read(self, timeout: float = 60) -> dict[str, Any] | None:
        """Return the next message; None when the output has ended."""
        line = self.lines.get(timeout=timeout)
        if line is None:
            return None
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        self.seen.append(message)
        return message

    def wait_for(self, kind: str, number: int | None = None, timeout: float = 60) -> dict[str, Any]:
        """Return the next message of a type (and of a request); others are kept in `seen`."""
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            message = self.read(left)
            assert message is not None, f"the worker ended: {b''.join(self.errors).decode()}"
            if message["type"] == kind and number in (None, message["id"]):
                return message
            wrong = message["type"] == "error" and kind != "error"
            assert not wrong or message["id"] != number, message
        raise AssertionError(f"no {kind} in {timeout} s; last was {self.seen[-1:]}")

    def no_more_than(self, seconds: float) -> list[dict[str, Any]]:
        """Return what comes within this time."""
        found = []
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                message = self.read(left)
            except queue.Empty:
                break
            if message is None:
                break
            found.append(message)
        return found

    def train(self, project: Path, run: str = "run", resume: bool = False, **train: Any) -> int:
        settings = {"batch_size": 2, "crop": 64, **train}
        return self.ask("train", project=str(project), run=run, train=settings, resume=resume)

    def predict(self, project: Path, image_id: str, model: str, **fields: Any) -> int:
        given = {"out": f"predictions/{model}/{image_id}.tif", **fields}
        return self.ask("predict", project=str(project), image_id=image_id, model=model, **given)

    def work_seconds(self) -> float:
        """Return the processor time that the process has taken: its wall time on an idle machine.

        What a test allows in it does not depend on what else the machine does.
        """
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def calm(self) -> None:
        """Stop what runs and forget what was said, for the next test."""
        self.wait_for("state", self.ask("stop"))
        self.seen.clear()

    def end(self) -> None:
        """Kill the process, if it is still there."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _refuse(name: str) -> None:
    raise AssertionError(f"a message holds {name}")
