"""Who computes when: one thread takes turns between requests, predictions, training, analyses."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from napari_blockseg.cli.worker.channel import Channel, EndOfInput
from napari_blockseg.cli.worker.messages import (
    Analyse,
    BadRequestError,
    Cancel,
    Control,
    Features,
    Interactive,
    Look,
    Predict,
    Shutdown,
    Suggest,
    Train,
    parse_request,
)
from napari_blockseg.core.errors import BlockSegError, WorkerError

#: A generator of messages; None is a turn without one. Closing it saves what there is to save.
Steps = Generator[dict[str, Any] | None, None, None]

#: Predictions go first, but after this long a training step comes between.
_PREDICT_SECONDS = 1.0

_LAST = ("train_done", "predict_done", "analysis_done", "suggest_done", "features_done")


@dataclass
class Job:
    """A request that is being worked on."""

    id: int
    steps: Steps


class Scheduler:
    """Run jobs step by step; requests act between two steps.

    Parameters
    ----------
    channel : Channel
        Where requests come from and answers go.
    start_train, start_interactive, start_predict, start_features, start_analyse, \
start_suggest : callable
        Turn a request into its generator of messages. They must not compute anything themselves.
    look : callable
        Tells the interactive session what is in view.
    stopped_report : callable
        Gives the message that ends a training that was stopped.
    """

    def __init__(
        self,
        channel: Channel,
        start_train: Callable[[Train], Steps],
        start_interactive: Callable[[Interactive], Steps],
        start_predict: Callable[[Predict], Steps],
        start_features: Callable[[Features], Steps],
        start_analyse: Callable[[Analyse], Steps],
        start_suggest: Callable[[Suggest], Steps],
        look: Callable[[Look], None],
        stopped_report: Callable[[], dict[str, Any]],
    ) -> None:
        self._channel = channel
        self._start_train = start_train
        self._start_interactive = start_interactive
        self._start_predict = start_predict
        self._start_features = start_features
        self._start_analyse = start_analyse
        self._start_suggest = start_suggest
        self._look = look
        self._stopped_report = stopped_report
        self._training: Job | None = None
        self._paused = False
        self._predictions: deque[Job] = deque()
        self._analyses: deque[Job] = deque()
        self._leaving = False

    def run(self) -> None:
        """Work until the client says `shutdown` or goes away."""
        try:
            while not self._leaving:
                self._take_requests()
                self._take_turn()
        except EndOfInput:
            pass
        finally:
            self._close_all()

    # -- requests --------------------------------------------------------------------------------

    def _take_requests(self) -> None:
        """Handle every request that waits; wait for one when there is nothing else to do."""
        while not self._leaving:
            idle = not self._predictions and not self._analyses and not self._trains()
            line = self._channel.receive(wait=idle)
            if line is None:
                return
            try:
                self._handle(parse_request(line))
            except BlockSegError as error:
                self._send_error(getattr(error, "id", None), error)

    def _handle(self, request: Any) -> None:
        try:
            if isinstance(request, Train):
                self._begin_training(request.id, self._start_train(request))
            elif isinstance(request, Interactive):
                self._begin_training(request.id, self._start_interactive(request))
            elif isinstance(request, Look):
                self._look(request)
                self._send_state(request.id)
            elif isinstance(request, Features):
                self._predictions.append(Job(request.id, self._start_features(request)))
            elif isinstance(request, Predict):
                self._predictions.append(Job(request.id, self._start_predict(request)))
            elif isinstance(request, Analyse):
                self._analyses.append(Job(request.id, self._start_analyse(request)))
            elif isinstance(request, Suggest):
                self._analyses.append(Job(request.id, self._start_suggest(request)))
            elif isinstance(request, Control):
                self._control(request)
            elif isinstance(request, Cancel):
                self._cancel(request)
            elif isinstance(request, Shutdown):
                self._close_all()
                self._leaving = True
                self._channel.send({"id": request.id, "type": "bye"})
            else:
                raise WorkerError("Got a second hello; the first request is the only one.")
        except BlockSegError as error:
            raise BadRequestError(str(error), request.id) from error

    def _begin_training(self, number: int, steps: Steps) -> None:
        if self._training is not None:
            raise WorkerError(
                f"Training {self._training.id} still runs; a worker trains one network at a time. "
                "Stop it first."
            )
        self._training, self._paused = Job(number, steps), False

    def _control(self, request: Control) -> None:
        if request.type == "stop":
            self._stop_training()
        else:
            self._paused = request.type == "pause" and self._training is not None
        self._send_state(request.id)

    def _cancel(self, request: Cancel) -> None:
        for jobs in (self._predictions, self._analyses):
            for job in [one for one in jobs if one.id == request.of]:
                jobs.remove(job)
                job.steps.close()
                message = "The request was cancelled."
                self._channel.send(
                    {"id": job.id, "type": "error", "kind": "Cancelled", "message": message}
                )
        if self._training is not None and self._training.id == request.of:
            self._stop_training()
        self._send_state(request.id)

    def _stop_training(self) -> None:
        job, self._training, self._paused = self._training, None, False
        if job is None:
            return
        try:
            job.steps.close()
            self._channel.send({"id": job.id, **self._stopped_report()})
        except EndOfInput:
            raise
        except Exception as error:
            self._send_error(job.id, error)

    # -- work ------------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        """Predict for a while, then train one step, then look at one image of an analysis."""
        until = time.monotonic() + _PREDICT_SECONDS
        while self._predictions and not self._leaving:
            job = self._predictions[0]
            if not self._advance(job):
                self._predictions.popleft()
            if time.monotonic() >= until and (self._trains() or self._analyses):
                break
            self._take_requests()
        if self._training is not None and self._trains() and not self._leaving:
            job = self._training
            if not self._advance(job):
                self._training = None
        # Last, and one piece at a time: an analysis takes minutes, and nobody waits for it.
        if self._analyses and not self._leaving and not self._advance(self._analyses[0]):
            self._analyses.popleft()

    def _trains(self) -> bool:
        return self._training is not None and not self._paused

    def _advance(self, job: Job) -> bool:
        """Take one step of a job; return whether it goes on."""
        try:
            message = next(job.steps)
            if message is not None and message["type"] in _LAST:
                job.steps.close()
        except StopIteration:
            return False
        except EndOfInput:
            raise
        except Exception as error:
            self._send_error(job.id, error)
            return False
        if message is None:
            return True
        self._channel.send({"id": job.id, **message})
        # Over with its last message, not a turn later: the client may answer with the next one.
        return message["type"] not in _LAST

    def _close_all(self) -> None:
        """Close every job; a training saves itself."""
        jobs = [*self._predictions, *self._analyses]
        jobs += [self._training] if self._training is not None else []
        self._predictions.clear()
        self._analyses.clear()
        self._training = None
        for job in jobs:
            try:
                job.steps.close()
            except Exception:
                # Nobody is left to be told; the log may be.
                traceback.print_exc()

    # -- answers ---------------------------------------------------------------------------------

    def _send_state(self, number: int) -> None:
        state = "idle" if self._training is None else "paused" if self._paused else "training"
        self._channel.send({"id": number, "type": "state", "state": state})

    def _send_error(self, number: int | None, error: Exception) -> None:
        if not isinstance(error, BlockSegError):
            traceback.print_exception(error)
        kind = "WorkerError" if isinstance(error, BadRequestError) else type(error).__name__
        cause = error.__cause__ if isinstance(error, BadRequestError) else None
        if isinstance(cause, BlockSegError):
            kind = type(cause).__name__
        text = str(error) if isinstance(error, BlockSegError) else f"{kind}: {error}"
        self._channel.send({"id": number, "type": "error", "message": text, "kind": kind})
