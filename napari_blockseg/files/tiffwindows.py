"""Windows of TIFF images: no more of the file is read and decompressed than they touch."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_blockseg.files.lazy import LazyArray, Window

_JPEG = (6, 7, 33007, 34892)  # compressions whose tables lie outside the segments
# A page in one piece is decompressed whole for each window: beyond these values, not here.
_LARGEST_PIECE = 2**24


def lazy_series(path: Path, series: tifffile.TiffPageSeries, byteorder: Any) -> LazyArray | None:
    """Return the pixels of a series as an array that is read by windows.

    Parameters
    ----------
    path : Path
        The file. It is opened anew for each window, so that it can be replaced in between.
    series : tifffile.TiffPageSeries
        Of an open file; only needed now.
    byteorder : {"<", ">"}
        Of the file.

    Returns
    -------
    LazyArray or None
        With the series' shape; None where it has to be read as a whole: what can be read by
        windows is one block of plain values, or pages in strips or tiles with a codec at hand.
    """
    size = path.stat().st_size
    plain = series.dataoffset
    if plain is not None:
        if plain + math.prod(series.shape) * series.dtype.itemsize > size:
            return None
        kind = series.dtype.newbyteorder(byteorder)
        shape = tuple(series.shape)

        def read(window: Window) -> NDArray[Any]:
            values = np.memmap(path, kind, "r", plain, shape)
            return np.array(values[window])

        return LazyArray(shape, kind, read)
    pages = _find_pages(path, series, size)
    return None if pages is None else LazyArray(series.shape, series.dtype, _Reader(pages))


@dataclass(frozen=True)
class _Pages:
    """Pages of one shape: where their strips or tiles lie, and how these are laid out.

    ``lead``: sizes of the axes before those of a page. ``grid``: planes of samples, rows and cols
    of segments. ``side``: rows and cols of one segment.
    """

    path: Path
    key: Any
    lead: tuple[int, ...]
    offsets: list[tuple[int, ...]]
    counts: list[tuple[int, ...]]
    tables: list[bytes | None]
    grid: tuple[int, int, int]
    side: tuple[int, int]


def _find_pages(path: Path, series: tifffile.TiffPageSeries, size: int) -> _Pages | None:
    key: Any = series.keyframe
    inner = tuple(key.shape)
    pages: list[Any] = list(series.pages)
    lead = tuple(series.shape[: len(series.shape) - len(inner)])
    fits = (*lead, *inner) == tuple(series.shape) and len(pages) == math.prod(lead)
    if not fits or key.axes not in ("YX", "YXS", "SYX") or any(page is None for page in pages):
        return None
    rows, cols = key.imagelength, key.imagewidth
    side = (key.tilelength, key.tilewidth) if key.is_tiled else (min(rows, key.rowsperstrip), cols)
    planes = key.samplesperpixel if key.axes == "SYX" else 1
    found = _Pages(
        path,
        key,
        lead,
        [tuple(page.dataoffsets) for page in pages],
        [tuple(page.databytecounts) for page in pages],
        [page.jpegtables if key.compression in _JPEG else None for page in pages],
        (planes, math.ceil(rows / side[0]), math.ceil(cols / side[1])),
        side,
    )
    return found if _is_sound(found, size) else None


def _is_sound(pages: _Pages, size: int) -> bool:
    """Whether every segment is in the file, and the first one can be decompressed."""
    for offsets, counts in zip(pages.offsets, pages.counts, strict=True):
        if not len(offsets) == len(counts) == math.prod(pages.grid):
            return False
        if any(at + n > size for at, n in zip(offsets, counts, strict=True)):
            return False
    if math.prod(pages.grid) == 1 and math.prod(pages.key.shape) > _LARGEST_PIECE:
        return False
    try:
        with pages.path.open("rb") as handle:
            _segment(pages, handle, 0, 0)
    except (ValueError, RuntimeError, zlib.error):
        # A codec that is not installed, mostly; the caller knows another way, or says so.
        return False
    return True


def _segment(pages: _Pages, handle: IO[bytes], page: int, index: int) -> Any:
    """Return what tifffile makes of a strip or tile: values or None, its place, its shape."""
    count, data = pages.counts[page][index], None
    if count:
        handle.seek(pages.offsets[page][index])
        data = handle.read(count)
    if pages.key.compression in _JPEG:
        return pages.key.decode(data, index, jpegtables=pages.tables[page])
    return pages.key.decode(data, index)


class _Reader:
    """Read windows of pages; what the last window touched is kept, as the next may touch it too."""

    def __init__(self, pages: _Pages) -> None:
        self._pages = pages
        self._held: dict[tuple[int, int], Any] = {}

    def __call__(self, window: Window) -> NDArray[Any]:
        key = self._pages.key
        held: dict[tuple[int, int], Any] = {}
        inner = dict(zip(key.axes, window[len(self._pages.lead) :], strict=True))
        numbers = np.arange(math.prod(self._pages.lead)).reshape(self._pages.lead)
        chosen = numbers[window[: len(self._pages.lead)]]
        found = np.empty(
            (*chosen.shape, *(one.stop - one.start for one in inner.values())), key.dtype
        )
        with self._pages.path.open("rb") as handle:
            for place, page in np.ndenumerate(chosen):
                held |= self._fill(handle, int(page), inner, found[place])
        self._held = held
        return found

    def _fill(
        self, handle: IO[bytes], page: int, inner: dict[str, slice], out: NDArray[Any]
    ) -> dict[tuple[int, int], Any]:
        """Write a window of a page into `out`, and return the segments it touches."""
        pages, key = self._pages, self._pages.key
        rows, cols, samples = inner["Y"], inner["X"], inner.get("S", slice(0, 1))
        planes = samples if key.axes == "SYX" else slice(0, 1)
        used: dict[tuple[int, int], Any] = {}
        ranges = (
            range(planes.start, planes.stop),
            _touched(rows, pages.side[0]),
            _touched(cols, pages.side[1]),
        )
        for at in product(*ranges):
            index = int(np.ravel_multi_index(at, pages.grid))
            one = self._held.get((page, index)) or _segment(pages, handle, page, index)
            used[page, index] = one
            values, (_, _, top, left, _), shape = one
            bottom, right = top + shape[1], left + shape[2]
            r0, r1 = max(rows.start, top), min(rows.stop, bottom)
            c0, c1 = max(cols.start, left), min(cols.stop, right)
            target = out[at[0] - planes.start] if key.axes == "SYX" else out
            target = target[r0 - rows.start : r1 - rows.start, c0 - cols.start : c1 - cols.start]
            if values is None:
                target[...] = key.nodata
                continue
            part = values[0, r0 - top : r1 - top, c0 - left : c1 - left]
            target[...] = part[..., samples] if key.axes == "YXS" else part[..., 0]
        return used


def _touched(window: slice, side: int) -> range:
    """Return the numbers of the segments along an axis that a window touches."""
    return range(window.start // side, -(-window.stop // side))
