"""Arrays that are read window by window."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Window = tuple[slice, ...]
Read = Callable[[Window], NDArray[Any]]


class LazyArray:
    """An array whose values are read when ``numpy.asarray`` asks for them.

    Indexing by whole numbers and slices, reshaping and transposing read nothing and give another
    one.

    Parameters
    ----------
    shape : sequence of int
        Its sizes.
    dtype : dtype
        Of the values that are read.
    read : callable
        From one slice an axis (start and stop inside the array, step 1) to the values there.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, read: Read) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        values = np.asarray(self._read(tuple(slice(0, n) for n in self.shape)))
        return values if dtype is None else values.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> LazyArray:
        given = index if isinstance(index, tuple) else (index,)
        if Ellipsis in given:
            at = given.index(Ellipsis)
            gap = (slice(None),) * (self.ndim - len(given) + 1)
            given = (*given[:at], *gap, *given[at + 1 :])
        given = (*given, *(slice(None),) * (self.ndim - len(given)))
        if len(given) != self.ndim:
            raise IndexError(f"Got {len(given)} indices for an array of {self.ndim} axes.")
        cuts = [_cut(one, n) for one, n in zip(given, self.shape, strict=True)]
        part = LazyArray(
            [cut.stop - cut.start for cut in cuts],
            self.dtype,
            lambda window: self._read(
                tuple(
                    slice(cut.start + one.start, cut.start + one.stop)
                    for cut, one in zip(cuts, window, strict=True)
                )
            ),
        )
        keep = [n for n, one in zip(part.shape, given, strict=True) if isinstance(one, slice)]
        return part if len(keep) == self.ndim else part.reshape(keep)

    def reshape(self, shape: Sequence[int]) -> LazyArray:
        """Return it with axes of length 1 added or taken away.

        Raises
        ------
        ValueError
            If another axis would change.
        """
        old, new = _long_axes(self.shape), _long_axes(shape)
        if [n for _, n in old] != [n for _, n in new]:
            raise ValueError(f"Got shape {tuple(shape)} for an array of {self.shape}.")
        # Where the file says more axes of length 1, a window takes all of them.
        source = {axis: target for (axis, _), (target, _) in zip(old, new, strict=True)}

        def read(window: Window) -> NDArray[Any]:
            sizes = [one.stop - one.start for one in window]
            if 0 in sizes:
                return np.empty(sizes, self.dtype)
            found = self._read(
                tuple(
                    window[source[axis]] if axis in source else slice(0, 1)
                    for axis in range(self.ndim)
                )
            )
            return found.reshape(sizes)

        return LazyArray(shape, self.dtype, read)

    def transpose(self, order: Sequence[int]) -> LazyArray:
        """Return it with its axes in another order."""
        back = np.argsort(order)
        return LazyArray(
            [self.shape[axis] for axis in order],
            self.dtype,
            lambda window: self._read(tuple(window[axis] for axis in back)).transpose(order),
        )

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]], dtype: DTypeLike) -> LazyArray:
        """Return it with a function applied to each value."""
        return LazyArray(self.shape, dtype, lambda window: function(self._read(window)))

    def map_axis(
        self, function: Callable[[NDArray[Any]], NDArray[Any]], axis: int, length: int
    ) -> LazyArray:
        """Return it with a function applied that turns all values along an axis into `length`."""

        def read(window: Window) -> NDArray[Any]:
            full = (*window[:axis], slice(0, self.shape[axis]), *window[axis + 1 :])
            cut = (slice(None),) * axis + (window[axis],)
            return function(self._read(full))[cut]

        shape = (*self.shape[:axis], length, *self.shape[axis + 1 :])
        return LazyArray(shape, self.dtype, read)


def _cut(index: Any, length: int) -> slice:
    """Return an index as a slice inside an axis."""
    if isinstance(index, slice):
        start, stop, step = index.indices(length)
        if step != 1:
            raise IndexError(f"Got a step of {step}; an array that is read lazily takes 1.")
        return slice(start, max(start, stop))
    at = int(index) + (length if index < 0 else 0)
    if not 0 <= at < length:
        raise IndexError(f"Got index {index} for an axis of {length}.")
    return slice(at, at + 1)


def _long_axes(shape: Sequence[int]) -> list[tuple[int, int]]:
    return [(axis, n) for axis, n in enumerate(shape) if n != 1]
