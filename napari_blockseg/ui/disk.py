"""One background thread for all disk work of a session, in the order in which it was asked for."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.errors import BlockSegError, ProjectError

_LOG = logging.getLogger(__name__)
Work = Callable[[], Any]
Then = Callable[[Any], None]


def not_on_disk(what: str, error: BaseException) -> ProjectError:
    """Return an error that says what the disk did not take, and what becomes of it."""
    return ProjectError(
        f"{what} is not on disk: {error}. It is kept, and written as soon as that works. Make room "
        "on the disk, or bring the folder back, before you close the project."
    )


class DiskThread(QObject):
    """Run work on one thread, hand results and errors back on the GUI thread.

    Parameters
    ----------
    on_error : callable
        Called on the GUI thread with the exception of work that failed and was given no handler
        of its own.
    parent : QObject, optional
        Owner.
    """

    _finished = Signal()

    def __init__(
        self, on_error: Callable[[BaseException], None], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._on_error = on_error
        self._jobs: queue.Queue[tuple[Work, Then | None, Any] | None] = queue.Queue()
        self._results: deque[Callable[[], None]] = deque()
        self._open = 0
        self._lock = threading.Lock()
        self._finished.connect(self._deliver)
        self._thread = threading.Thread(target=self._run, name="blockseg-disk", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether all work is done and all results are delivered."""
        with self._lock:
            return self._open == 0 and not self._results

    def submit(
        self,
        work: Work,
        then: Then | None = None,
        failed: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Queue work.

        Parameters
        ----------
        work : callable
            Runs on the background thread.
        then : callable, optional
            Called on the GUI thread with what `work` returned.
        failed : callable, optional
            Called on the GUI thread with the exception, instead of the thread's `on_error`.
        """
        with self._lock:
            self._open += 1
        self._jobs.put((work, then, failed))

    def drain(self, timeout: float) -> bool:
        """Wait until everything queued is done and delivered; False on timeout.

        Work that results queue in their turn is waited for too. Call it on the GUI thread.
        """
        end = time.monotonic() + timeout
        while not self.idle:
            self._deliver()
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    def stop(self, timeout: float = 10.0) -> None:
        """Finish what is queued, then end the thread."""
        self.drain(timeout)
        self._jobs.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, then, failed = job
            try:
                result = work()
            except Exception as error:
                self._post(failed or self._on_error, error)
            else:
                self._post(then, result)

    def _post(self, call: Callable[[Any], None] | None, argument: Any) -> None:
        with self._lock:
            self._open -= 1
            if call is not None:
                self._results.append(lambda: call(argument))
        try:
            self._finished.emit()
        except RuntimeError:  # the application took the QObject down before the thread ended
            _LOG.debug("a disk result came after the session was gone")

    def _deliver(self) -> None:
        while True:
            with self._lock:
                if not self._results:
                    return
                call = self._results.popleft()
            try:
                call()
            except BlockSegError as error:
                self._on_error(error)
