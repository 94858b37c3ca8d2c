"""Work off the GUI thread where only the newest question matters."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal


class Latest(QObject):
    """Run a function on one background thread; of the questions that wait, only the newest is kept.

    Answers arrive in order on the GUI thread, also while new questions come in, so that a readout
    moves during a long stroke. `forget` makes the running question stale: its answer is dropped.

    Parameters
    ----------
    work
        The function. It must not touch Qt or napari objects.
    interval_ms
        Least time between an answer and the next start.
    parent
        Qt parent.
    rests
        Whether it rests at least as long as the last answer took: work that is not urgent leaves
        the processor to others then.
    """

    #: What `work` returned.
    done = Signal(object)
    #: The exception that `work` raised.
    failed = Signal(object)
    _arrived = Signal(object)

    def __init__(
        self,
        work: Callable[..., Any],
        interval_ms: int = 0,
        parent: QObject | None = None,
        rests: bool = False,
    ) -> None:
        super().__init__(parent)
        self._work = work
        self._pool: ThreadPoolExecutor | None = None
        self._pending: tuple[Any, ...] | None = None
        self._running = False
        self._closed = False
        self._generation = 0
        self._interval, self._rests = interval_ms, rests
        self._rest = QTimer(self, interval=interval_ms, singleShot=True)
        self._rest.timeout.connect(self._go_on)
        self._arrived.connect(self._on_arrived)

    @property
    def busy(self) -> bool:
        """Whether a question runs or waits."""
        return self._running or self._pending is not None

    def ask(self, *args: Any) -> None:
        """Run ``work(*args)`` soon; replaces a question that still waits."""
        if not self._closed:
            self._pending = args
            self._go_on()

    def forget(self) -> None:
        """Drop what waits, and the answer of what runs."""
        self._generation += 1
        self._pending = None

    def close(self) -> None:
        """Take no more questions; the thread ends after the one that runs."""
        self.forget()
        self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _go_on(self) -> None:
        if self._running or self._pending is None or self._rest.isActive():
            return
        args, self._pending = self._pending, None
        self._running = True
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="blockseg")
        self._pool.submit(self._run, self._generation, args)

    def _run(self, generation: int, args: tuple[Any, ...]) -> None:
        start = time.monotonic()
        try:
            result, error = self._work(*args), None
        except Exception as raised:  # handed to `failed`: a thread must not lose an error
            result, error = None, raised
        try:
            # One tuple: PySide 6.12 miscounts references to a None that crosses threads.
            self._arrived.emit((generation, result, error, time.monotonic() - start))
        except RuntimeError:
            return  # Qt has deleted this object: nobody is left to tell

    def _on_arrived(self, answer: tuple[int, Any, Exception | None, float]) -> None:
        generation, result, error, seconds = answer
        self._running = False
        rest = max(self._interval, round(1000 * seconds) if self._rests else 0)
        if rest:
            self._rest.start(rest)
        if generation == self._generation:
            if error is None:
                self.done.emit(result)
            else:
                self.failed.emit(error)
        self._go_on()
