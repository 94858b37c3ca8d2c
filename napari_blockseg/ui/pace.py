"""How long something will still take, from how far it got."""

from __future__ import annotations

import time
from collections import deque


class Pace:
    """Estimate the time that is left from the last steps; a pause starts it anew."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=50)

    def restart(self) -> None:
        """Forget what was seen."""
        self._seen.clear()

    def time_left(self, progress: float) -> str:
        """Take the share that is done now, return the time that is left in words."""
        self._seen.append((time.monotonic(), progress))
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        if after <= before or now - then < 1:
            return ""
        seconds = (now - then) * (1 - after) / (after - before)
        return f", {seconds:.0f} s left" if seconds < 90 else f", {seconds / 60:.0f} min left"
