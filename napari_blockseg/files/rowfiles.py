"""Images that are written by rows, so that nobody holds them whole."""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
import tifffile
from numpy.typing import DTypeLike, NDArray

from napari_blockseg.core import atomic
from napari_blockseg.core.errors import LabelError
from napari_blockseg.files.images import ImageInfo
from napari_blockseg.files.masks import tiff_tags

_STRIP_BYTES = 2**20
_BIG = 2**32 - 2**25  # what a TIFF with 32-bit offsets can hold, less its tags


class TiffRows:
    """A TIFF that gets its rows from top to bottom, its pages in any order.

    Strips are compressed as they fill up, into a temporary file; the TIFF appears at its place when
    the ``with`` block ends without an error.

    Parameters
    ----------
    path : Path
        Created or replaced.
    shape : (leading..., rows, cols)
        Pages are counted along the leading axes, the last of them fastest.
    dtype : dtype
        Of its values.
    tags : dict
        For ``tifffile.imwrite``.
    """

    def __init__(
        self, path: Path, shape: Sequence[int], dtype: DTypeLike, tags: dict[str, Any]
    ) -> None:
        self._path, self._shape, self._tags = path, tuple(shape), tags
        self._dtype = np.dtype(dtype)
        row_bytes = max(1, self._shape[-1] * self._dtype.itemsize)
        self._strip = min(self._shape[-2], max(1, _STRIP_BYTES // row_bytes))
        self._pages: dict[int, _Page] = {}

    def __enter__(self) -> Self:
        self._spool: IO[bytes] = tempfile.TemporaryFile()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._spool:
            if kind is None:
                self._write()

    def begin(self, page: int = 0) -> None:
        """Start a page, again if it was started before."""
        self._pages[page] = _Page()

    def put(self, rows: NDArray[Any], page: int = 0) -> None:
        """Append rows (n, cols) to a page."""
        one = self._pages.setdefault(page, _Page())
        # A copy: rows may be a part of something large.
        one.waiting.append(np.array(rows, self._dtype))
        one.n_waiting += len(rows)
        one.n_rows += len(rows)
        if one.n_waiting >= self._strip:
            self._store(one, whole=False)

    def _store(self, page: _Page, whole: bool) -> None:
        """Compress full strips; with `whole` what is left too."""
        rows = np.concatenate(page.waiting) if page.waiting else np.zeros((0, 0), self._dtype)
        end = len(rows) if whole else len(rows) // self._strip * self._strip
        for start in range(0, end, self._strip):
            strip = zlib.compress(rows[start : min(start + self._strip, end)].tobytes())
            page.strips.append((self._spool.tell(), len(strip)))
            self._spool.write(strip)
        page.waiting, page.n_waiting = [rows[end:].copy()], len(rows) - end

    def _write(self) -> None:
        n_pages = int(np.prod(self._shape[:-2]))
        for number in range(n_pages):
            page = self._pages.get(number, _Page())
            if page.n_rows != self._shape[-2]:
                raise LabelError(
                    f"Got {page.n_rows} rows for page {number} of {self._path}; expected "
                    f"{self._shape[-2]}. It was not written."
                )
            self._store(page, whole=True)
        size = self._spool.tell()
        with atomic.replacing(self._path) as temporary:
            tifffile.imwrite(
                temporary,
                self._strips(n_pages),
                shape=self._shape,
                dtype=self._dtype,
                rowsperstrip=self._strip,
                compression="zlib",
                bigtiff=size > _BIG and not self._tags.get("imagej"),
                **self._tags,
            )

    def _strips(self, n_pages: int) -> Iterator[bytes]:
        for number in range(n_pages):
            for start, length in self._pages[number].strips:
                self._spool.seek(start)
                yield self._spool.read(length)


class _Page:
    """Where the strips of a page lie in the temporary file, and rows that fill none yet."""

    def __init__(self) -> None:
        self.strips: list[tuple[int, int]] = []
        self.waiting: list[NDArray[Any]] = []
        self.n_waiting = 0
        self.n_rows = 0


class PngRows:
    """A grey PNG that gets its rows from top to bottom; used as :class:`TiffRows`, one page.

    Parameters
    ----------
    path : Path
        Created or replaced.
    shape : (rows, cols)
        Its size.
    dtype : dtype
        uint8 or uint16.
    """

    def __init__(self, path: Path, shape: Sequence[int], dtype: DTypeLike) -> None:
        self._path, (self._n_rows, self._cols) = path, shape
        self._dtype = np.dtype(dtype)

    def __enter__(self) -> Self:
        self._replacing = atomic.replacing(self._path)
        self._file: IO[bytes] = self._replacing.__enter__().open("wb")
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._end()
        except LabelError as wrong:
            kind, error, at = type(wrong), wrong, wrong.__traceback__
            raise
        finally:
            self._file.close()
            self._replacing.__exit__(kind, error, at)

    def begin(self, page: int = 0) -> None:
        """Start, again if it was started before."""
        self._file.seek(0)
        self._file.truncate()
        self._file.write(b"\x89PNG\r\n\x1a\n")
        bits = 8 * self._dtype.itemsize
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", self._cols, self._n_rows, bits, 0, 0, 0, 0))
        self._packer = zlib.compressobj()
        self._done = 0

    def put(self, rows: NDArray[Any], page: int = 0) -> None:
        """Append rows (n, cols)."""
        lines = np.ascontiguousarray(rows, self._dtype.newbyteorder(">")).view(np.uint8)
        # Each line starts with its filter: none, which labels compress well with.
        lines = np.pad(
            lines.reshape(len(rows), self._cols * self._dtype.itemsize), ((0, 0), (1, 0))
        )
        self._done += len(rows)
        self._chunk(b"IDAT", self._packer.compress(lines.tobytes()))

    def _end(self) -> None:
        if self._done != self._n_rows:
            raise LabelError(
                f"Got {self._done} rows for {self._path}; expected {self._n_rows}. It was not "
                "written."
            )
        self._chunk(b"IDAT", self._packer.flush())
        self._chunk(b"IEND", b"")

    def _chunk(self, name: bytes, content: bytes) -> None:
        if not content and name == b"IDAT":
            return
        check = zlib.crc32(name + content)
        self._file.write(
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
        )


def open_rows(
    path: Path, shape: Sequence[int], dtype: DTypeLike, like: ImageInfo | None = None
) -> TiffRows | PngRows:
    """Return a label image to be written by rows; its suffix says whether TIFF or PNG.

    Parameters
    ----------
    path : Path
        From :func:`napari_blockseg.files.masks.mask_path`.
    shape : (leading..., rows, cols)
        Of the mask.
    dtype : dtype
        uint8 or uint16.
    like : ImageInfo, optional
        The image: a TIFF gets its axes, pixel size and unit.
    """
    if path.suffix.lower() == ".png":
        return PngRows(path, shape, dtype)
    return TiffRows(path, shape, dtype, tiff_tags(tuple(shape), like))
