"""PNG files with 16 bits a channel and several channels, which Pillow cuts to 8 bits."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.errors import ImageError

_CHANNELS = {2: 3, 4: 2, 6: 4}  # PNG color type: RGB, grey + alpha, RGBA
_HEADER = struct.Struct(">IIBBBBB")


def is_color_16_bit(path: Path) -> bool:
    """Whether this is a PNG with 16 bits a channel and more than one channel."""
    with path.open("rb") as handle:
        head = handle.read(33)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR" or len(head) < 33:
        return False
    _, _, depth, color, *_ = _HEADER.unpack(head[16:29])
    return depth == 16 and color in _CHANNELS


def read_color_16_bit(path: Path) -> NDArray[np.uint16]:
    """Read such a PNG.

    Returns
    -------
    (rows, cols, channels) uint16 array

    Raises
    ------
    ImageError
        If it is damaged or interlaced.
    """
    data = path.read_bytes()
    cols, rows, _, color, _, _, interlaced = _HEADER.unpack(data[16:29])
    if interlaced:
        raise ImageError(f"{path} is an interlaced 16-bit PNG; save it without interlacing.")
    channels = _CHANNELS[color]
    try:
        raw = zlib.decompress(b"".join(_chunks(data, b"IDAT")))
        lines = np.frombuffer(raw, np.uint8).reshape(rows, 1 + cols * 2 * channels)
    except (zlib.error, ValueError, struct.error) as error:
        raise ImageError(f"{path} is damaged: {error}. Save it again.") from error
    kinds = lines[:, 0]
    if kinds.max(initial=0) > 4:
        raise ImageError(f"{path} is damaged: unknown row filter {kinds.max()}. Save it again.")
    values = _unfilter(kinds, lines[:, 1:].reshape(rows, cols, 2 * channels))
    return values.view(">u2").astype(np.uint16)


def _chunks(data: bytes, kind: bytes) -> list[bytes]:
    found, at = [], 8
    while at + 8 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == kind:
            found.append(data[at + 8 : at + 8 + size])
        at += size + 12
    return found


def _unfilter(kinds: NDArray[Any], coded: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Undo the row filters (none, sub, up, average, Paeth) of the PNG standard.

    A pixel depends on those to its left, above, and above left. So all pixels of one
    anti-diagonal are independent of each other: diagonal by diagonal, not pixel by pixel.
    """
    rows, cols, lanes = coded.shape
    out = np.zeros((rows + 1, cols + 1, lanes), np.int16)  # a border of zeros above and left
    for diagonal in range(rows + cols - 1):
        r = np.arange(max(0, diagonal - cols + 1), min(rows, diagonal + 1))
        c = diagonal - r
        left, up, corner = out[r + 1, c], out[r, c + 1], out[r, c]
        kind = kinds[r][:, None]
        guess = np.select(
            [kind == 1, kind == 2, kind == 3, kind == 4],
            [left, up, (left + up) // 2, _paeth(left, up, corner)],
            0,
        )
        out[r + 1, c + 1] = (coded[r, c] + guess) & 255
    return np.ascontiguousarray(out[1:, 1:].astype(np.uint8))


def _paeth(
    left: NDArray[np.int16], up: NDArray[np.int16], corner: NDArray[np.int16]
) -> NDArray[np.int16]:
    by_left, by_up = abs(up - corner), abs(left - corner)
    by_corner = abs(left + up - 2 * corner)
    nearest_up = np.where(by_up <= by_corner, up, corner)
    return np.where((by_left <= by_up) & (by_left <= by_corner), left, nearest_up)
