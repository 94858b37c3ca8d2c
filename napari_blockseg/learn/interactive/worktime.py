"""How long something worked, whatever was done between its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Clock = Callable[[], float]


class WorkTime:
    """A clock that runs while a generator works, and stands while nobody asks it to go on.

    Parameters
    ----------
    clock : callable
        Gives seconds.

    Examples
    --------
    >>> seconds = iter([10.0, 12.0, 50.0, 51.0])
    >>> work = WorkTime(lambda: next(seconds))
    >>> for _ in range(2):
    ...     with work.running():
    ...         pass
    >>> work()
    3.0
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done = 0.0
        self._since: float | None = None

    def __call__(self) -> float:
        """Return the seconds of work so far."""
        return self._done + (0.0 if self._since is None else self._clock() - self._since)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is done meanwhile."""
        self._since = self._clock()
        try:
            yield
        finally:
            self._done, self._since = self(), None
