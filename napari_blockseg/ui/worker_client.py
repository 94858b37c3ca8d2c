"""The GUI's end of the worker: a QProcess that speaks JSON lines. Nothing here waits."""

from __future__ import annotations

import json
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QCoreApplication, QObject, QProcess, QProcessEnvironment, QTimer, Signal

from napari_blockseg.core.reports import report_from_json
from napari_blockseg.ui.worker_messages import (
    PROTOCOL,
    LineSplitter,
    WorkerCommand,
    describe_exit,
    encode_request,
    parse_line,
    protocol_problem,
)

if TYPE_CHECKING:
    from pathlib import Path

    from napari_blockseg.core.config import NetworkConfig, TrainConfig

_STDERR_LINES = 20
_SLOW_START_MS = 20_000
#: A worker ends the step it has begun and saves: at once, but not where others want the cores too.
_GRACE_MS = 60_000
#: Workers that were told to end and are still saving.
_ending: list[QProcess] = []


class WorkerClient(QObject):
    """Start a worker, send it requests, hand on its messages.

    The worker starts with the first request (or `start`), so a session that never trains costs
    nothing. Requests that come before its greeting wait for it. When the process ends, every open
    request fails, `died` says why, and `restart` (or the next request) starts another one.

    Parameters
    ----------
    command
        How the worker is started; see `WorkerCommand`.
    parent
        Qt parent. The worker ends with it, and with this process: its standard input closes.
    """

    #: "off", "starting", "ready" or "dead".
    status_changed = Signal(str)
    #: (request id, a `core.reports` report)
    report_received = Signal(int, object)
    #: (request id, message for the user); the request is over.
    request_failed = Signal(int, str)
    #: (request id, "training" | "paused" | "idle")
    training_state = Signal(int, str)
    #: ("info" | "warning", message) that belongs to no request.
    noticed = Signal(str, str)
    #: What happened, with the last lines of the worker.
    died = Signal(str)

    def __init__(self, command: WorkerCommand | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.command = command or WorkerCommand()
        self.hello: dict[str, Any] = {}
        self._status = "off"
        self._process: QProcess | None = None
        self._lines = LineSplitter()
        self._errors = LineSplitter()
        self._last_errors: deque[str] = deque(maxlen=_STDERR_LINES)
        self._waiting: list[dict[str, Any]] = []
        self._open: dict[int, str] = {}
        self._next_id = 1
        self._closed = False
        self._slow_start = QTimer(self, interval=_SLOW_START_MS)
        self._slow_start.timeout.connect(self._on_slow_start)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.close)
            app.aboutToQuit.connect(_await_last_words)

    # -- what a caller does --------------------------------------------------------------------

    @property
    def status(self) -> str:
        """Where the worker stands: "off", "starting", "ready" or "dead"."""
        return self._status

    @property
    def pid(self) -> int | None:
        """Process id of the worker's command on this machine, None while there is none."""
        return int(self._process.processId()) or None if self._process is not None else None

    @property
    def last_lines(self) -> list[str]:
        """The last lines that the worker wrote to its standard error."""
        return list(self._last_errors)

    def start(self) -> None:
        """Start the worker if none runs; returns at once."""
        if self._process is not None or self._closed:
            return
        self._lines, self._errors = LineSplitter(), LineSplitter()
        self._last_errors.clear()
        self.hello = {}
        process = QProcess(self)
        environment = QProcessEnvironment.systemEnvironment()
        environment.insert("PYTHONIOENCODING", "utf-8")
        process.setProcessEnvironment(environment)
        process.readyReadStandardOutput.connect(self._on_output)
        process.readyReadStandardError.connect(self._on_error_output)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_process_error)
        self._process = process
        self._set_status("starting")
        self._slow_start.start()
        program, *args = self.command.args
        process.start(program, args)
        self._write({"id": 0, "type": "hello", "protocol": PROTOCOL})

    def restart(self) -> None:
        """End the running worker, if any, and start a new one. Open requests fail."""
        self._drop_process("The worker was restarted.")
        self.start()

    def close(self) -> None:
        """End the worker for good: its input closes, and after a grace it is killed.

        Later requests start no other one.
        """
        self._closed = True
        process = self._process
        if process is None:
            return
        self._write({"id": self._take_id(), "type": "shutdown"})
        self._drop_process("The worker was shut down.", at_once=False)

    def train(
        self,
        project: Path,
        run: str,
        network: NetworkConfig,
        train: TrainConfig,
        resume: bool = False,
    ) -> int:
        """Ask for a training run of the project's labels, return the request's id."""
        return self.request(
            "train",
            project=self.command.to_worker(project),
            run=run,
            network=network.model_dump(mode="json"),
            train=train.model_dump(mode="json"),
            resume=resume,
        )

    def predict(
        self,
        project: Path,
        image_id: str,
        model: str,
        out: str,
        region: tuple[int, int, int, int] | None = None,
        index: tuple[int, ...] = (),
        uncertainty: bool = False,
    ) -> int:
        """Ask for a prediction, return the request's id.

        Parameters
        ----------
        project
            The project's folder.
        image_id
            Which of its images.
        model
            Name of a run, or "live" for the network that is being trained.
        out
            Where the mask goes, relative to the project's folder.
        region
            (row start, row stop, column start, column stop) in pixels; None: the whole image.
        index
            Position on the leading axes of a stack.
        uncertainty
            Whether an uncertainty map is written as well.
        """
        return self.request(
            "predict",
            project=self.command.to_worker(project),
            image_id=image_id,
            model=model,
            slice=list(index),
            region=None if region is None else list(region),
            out=out,
            uncertainty=uncertainty,
        )

    def analyse(
        self, project: Path, run: str, max_images: int | None = None, layers: bool = False
    ) -> int:
        """Ask for a run's loss by frequency (and, slower, its layers'), return the request's id.

        At most `max_images` are looked at, all if None; the result goes into the run's folder.
        """
        there = self.command.to_worker(project)
        return self.request(
            "analyse", project=there, model=run, max_images=max_images, layers=layers
        )

    def request(self, kind: str, **fields: Any) -> int:
        """Send a request of this type (or keep it until the worker is ready), return its id."""
        number = self._take_id()
        message = {"id": number, "type": kind, **fields}
        self._open[number] = kind
        self.start()
        if self._status == "ready":
            self._write(message)
        else:
            self._waiting.append(message)
        return number

    def cancel(self, number: int) -> None:
        """Give up a request: nothing more is heard of it."""
        if self._open.pop(number, None) is None:
            return
        waiting = len(self._waiting)
        self._waiting = [m for m in self._waiting if m["id"] != number]
        if self._status == "ready" and len(self._waiting) == waiting:
            self._write({"id": self._take_id(), "type": "cancel", "of": number})

    # -- what the worker says ------------------------------------------------------------------

    def _on_output(self) -> None:
        if self._process is None:
            return
        for line in self._lines.feed(bytes(self._process.readAllStandardOutput().data())):
            message = parse_line(line)
            if message is not None:
                self._take(message)
            elif self._status == "ready":
                self.noticed.emit(
                    "warning", f"The worker wrote a line that is no message: {line[:200]}"
                )
            if self._process is None:  # a message has ended it
                return

    def _take(self, message: dict[str, Any]) -> None:
        kind, number = message["type"], message.get("id")
        if kind == "hello":
            self._greet(message)
        elif kind == "error":
            self._fail(number, str(message.get("message", "The worker gave no reason.")))
        elif kind == "bye" or (number is not None and number not in self._open):
            return  # the end, or news of something that was cancelled
        elif kind == "state":
            self._open.pop(number, None)
            self.training_state.emit(
                -1 if number is None else number, str(message.get("state", "idle"))
            )
        else:
            self._hand_on_report(message)

    def _greet(self, hello: dict[str, Any]) -> None:
        problem = protocol_problem(hello)
        if problem is not None:
            self._die(problem)
            return
        self._slow_start.stop()
        self.hello = hello
        self._set_status("ready")
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._write(message)

    def _fail(self, number: int | None, text: str) -> None:
        if number == 0:
            self._die(text)
        elif number is None:
            self.noticed.emit("warning", text)
        elif self._open.pop(number, None) is not None:
            self.request_failed.emit(number, text)

    def _hand_on_report(self, message: dict[str, Any]) -> None:
        number = message.pop("id", None)
        try:
            report = report_from_json(json.dumps(message))
        except ValueError as error:
            self.noticed.emit("warning", f"The worker sent an unknown message: {error}")
            return
        if number is None:
            self.noticed.emit(
                getattr(report, "level", "info"), getattr(report, "message", str(report))
            )
            return
        if message["type"].endswith("_done"):
            self._open.pop(number, None)
        self.report_received.emit(number, report)

    def _on_error_output(self) -> None:
        if self._process is not None:
            data = bytes(self._process.readAllStandardError().data())
            self._last_errors.extend(self._errors.feed(data))

    # -- how it ends ---------------------------------------------------------------------------

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._on_output()
        self._on_error_output()
        if self._process is not None:
            crashed = status == QProcess.ExitStatus.CrashExit
            self._die(describe_exit(code, crashed, self.last_lines))

    def _on_process_error(self, error: QProcess.ProcessError) -> None:
        if error == QProcess.ProcessError.FailedToStart and self._process is not None:
            command = " ".join(self.command.args)
            self._die(
                f"The worker could not be started: {self._process.errorString()}. "
                f"Its command is: {command}. Check that it runs in a terminal."
            )

    def _on_slow_start(self) -> None:
        self.noticed.emit(
            "info", "The worker is still starting; on a network drive this takes a while."
        )

    def _die(self, text: str) -> None:
        self._drop_process(text, "dead")
        self.died.emit(text)

    def _drop_process(self, reason: str, status: str = "off", at_once: bool = True) -> None:
        """Let go of the process; it is killed now, or a little after its input has closed.

        The status comes before the failures: who hears of one must see that the worker is dead.
        """
        self._slow_start.stop()
        process, self._process = self._process, None
        self._waiting.clear()
        if process is not None:
            process.closeWriteChannel()
            _bury(process, 0 if at_once else _GRACE_MS)
            self._set_status(status)
        failed, self._open = self._open, {}
        for number in failed:
            self.request_failed.emit(number, reason)

    def _set_status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self.status_changed.emit(status)

    def _take_id(self) -> int:
        number = self._next_id
        self._next_id += 1
        return number

    def _write(self, message: dict[str, Any]) -> None:
        if self._process is not None:
            self._process.write(encode_request(message))


def _bury(process: QProcess, grace_ms: int) -> None:
    """Kill a process that is no longer listened to, after a grace, and free it when it is gone."""
    for signal in (
        process.readyReadStandardOutput,
        process.readyReadStandardError,
        process.finished,
        process.errorOccurred,
    ):
        signal.disconnect()
    process.setParent(QCoreApplication.instance())
    if process.state() == QProcess.ProcessState.NotRunning:
        process.deleteLater()
        return
    _ending.append(process)
    process.finished.connect(lambda: _forget(process))
    if grace_ms:
        grace = QTimer(process, interval=grace_ms, singleShot=True)
        grace.timeout.connect(process.kill)
        grace.start()
    else:
        process.kill()


def _forget(process: QProcess) -> None:
    if process in _ending:
        _ending.remove(process)
        with suppress(RuntimeError):  # an interpreter that ends has deleted it already
            process.deleteLater()


def _await_last_words() -> None:
    """Leave a training worker the time to save: once the application ends, no timer runs."""
    end = time.monotonic() + _GRACE_MS / 1000
    for process in list(_ending):
        if not process.waitForFinished(max(round(1000 * (end - time.monotonic())), 0)):
            process.kill()
            process.waitForFinished(500)
