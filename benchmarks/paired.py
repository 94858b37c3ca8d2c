"""Differences of paired runs: the mean, and how well a few seeds know it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Of the interval that is given with a mean.
COVERAGE = 0.90


@dataclass(frozen=True)
class Interval:
    """The mean of some values and its interval (Student's t); no interval for one value."""

    mean: float
    half: float | None
    n: int

    @property
    def low(self) -> float | None:
        """Lower end."""
        return None if self.half is None else self.mean - self.half

    @property
    def high(self) -> float | None:
        """Upper end."""
        return None if self.half is None else self.mean + self.half

    def text(self, digits: int = 3) -> str:
        """Return "mean (low to high)", signed."""
        if self.half is None:
            return f"{self.mean:+.{digits}f}"
        return f"{self.mean:+.{digits}f} ({self.low:+.{digits}f} to {self.high:+.{digits}f})"


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the mean of values and half its 90 % interval; None without values."""
    if not values:
        return None
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Interval(mean, None, n)
    error = float(np.std(values, ddof=1)) / math.sqrt(n)
    return Interval(mean, float(stats.t.ppf((1 + COVERAGE) / 2, n - 1)) * error, n)
