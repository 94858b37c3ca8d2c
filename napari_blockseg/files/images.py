"""Images in: TIFF, PNG and JPEG to one canonical array, with axes that are known, not guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.errors import ImageError
from napari_blockseg.files.lazy import LazyArray

Pixels = NDArray[Any]
AnyPixels = NDArray[Any] | LazyArray
LETTERS = "TZCYX"
SUPPORTED = "TIFF, PNG and JPEG"


@dataclass(frozen=True)
class ImageInfo:
    """What an image file holds.

    Parameters
    ----------
    path : Path
        The file.
    axes : str
        One letter an axis, in the order of the file: T (time), Z (depth), C (channels), Y (rows),
        X (columns).
    shape : tuple of int
        Sizes of those axes. The channel axis counts colors without alpha.
    dtype : str
        Of the values as they are read, for instance "uint16".
    spatial_shape : tuple of int
        Leading axes (T, Z) in the order of the file, rows, columns.
    n_channels : int
        1 for grey, 3 for RGB.
    pixel_size : (row, column) or None
        Length of a pixel along rows and columns, in `unit`.
    unit : str or None
        "um", "nm", "inch", ...; None without a pixel size.
    reader : str
        What reads it: "tifffile" or "pillow".
    notes : tuple of str
        What was done to the values on the way (palette expanded, alpha composited).
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    dtype: str
    spatial_shape: tuple[int, ...]
    n_channels: int
    pixel_size: tuple[float, float] | None
    unit: str | None
    reader: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageData:
    """An image: ``pixels`` is (leading..., rows, cols, channels) in native byte order."""

    info: ImageInfo
    pixels: Pixels


@dataclass(frozen=True)
class OpenedImage:
    """An image whose ``pixels`` (leading..., rows, cols, channels) may be read by windows."""

    info: ImageInfo
    pixels: AnyPixels


@dataclass(frozen=True)
class RawImage:
    """An image as a reader found it.

    ``axes`` has one letter an axis of ``values``; S stands for the samples of a pixel, "?" for an
    axis of which the file does not say what it is. ``alpha``: whether the last sample is opacity
    ("none", "straight", or "premultiplied").
    """

    values: Any
    axes: str
    reader: str
    alpha: str = "none"
    pixel_size: tuple[float, float] | None = None
    unit: str | None = None
    notes: tuple[str, ...] = ()


def inspect_image(path: Path | str, axes: str | None = None) -> ImageInfo:
    """Return what an image holds, without keeping its pixels.

    Parameters and errors are those of :func:`read_image`.
    """
    return open_image(path, axes).info


def open_image(path: Path | str, axes: str | None = None) -> OpenedImage:
    """Open an image whose pixels are read when they are asked for, as far as its kind allows.

    Parameters and errors are those of :func:`read_image`, which gives the same pixels.

    Returns
    -------
    OpenedImage
        Index its pixels (whole numbers and slices), then call ``numpy.asarray``. Read by windows:
        TIFF that is uncompressed, or in strips or tiles of a codec that tifffile has here. All
        other files are read now.
    """
    return OpenedImage(*_open(Path(path), axes, lazy=True))


def read_image(path: Path | str, axes: str | None = None) -> ImageData:
    """Read an image.

    Parameters
    ----------
    path : path
        A TIFF (first series; ImageJ, OME and tifffile metadata are understood), PNG or JPEG.
        What it is, is decided by its content, not by its name.
    axes : str, optional
        Letters out of TZCYX, one an axis of the file, for instance "ZYX" or "YXC". Needed where
        the file does not say what its axes are; wins over what it says.

    Returns
    -------
    ImageData
        Pixels as (leading..., rows, cols, channels).

    Raises
    ------
    ImageError
        If the file cannot be read, or its axes are unknown (then the message says how to give
        them), or do not fit `axes`.

    Notes
    -----
    - Three planes are never taken for RGB unless the file says so. tifffile, when it is given
      (3, rows, cols) without being told what that is, writes a file that claims to be planar RGB:
      that claim is not believed.
    - Values stay as they are stored. True and False become 255 and 0. A color palette is expanded
      to 8-bit RGB (but an ImageJ look-up table is only a way to show grey values, and dropped).
    - Alpha is never a channel. Where it is opaque it is dropped; otherwise the image is composited
      over black, as napari shows it.
    - The EXIF orientation is not applied: rows and columns are those of the file, as in napari's
      own reader, so that labels painted on either fit.
    """
    return ImageData(*_open(Path(path), axes, lazy=False))


def _open(path: Path, axes: str | None, lazy: bool) -> tuple[ImageInfo, Any]:
    raw = _read_raw(path, clean_axes(axes), lazy)
    raw = _name_axes(path, raw, clean_axes(axes))
    raw = _without_alpha(raw)
    return _canonical(path, raw)


def _read_raw(path: Path, axes: str | None, lazy: bool) -> RawImage:
    from napari_blockseg.files import raster, tiff

    try:
        with path.open("rb") as handle:
            magic = handle.read(8)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error}. Check the path and rights.") from error
    if magic[:2] in (b"II", b"MM") and magic[2:4] in (b"*\0", b"\0*", b"+\0", b"\0+"):
        return tiff.read_tiff(path, trust_planar=axes is not None, lazy=lazy)
    if magic == b"\x89PNG\r\n\x1a\n" or magic[:3] == b"\xff\xd8\xff":
        return raster.read_raster(path)
    raise ImageError(f"{path} is not an image of a known kind; expected {SUPPORTED}. Convert it.")


def clean_axes(axes: str | None) -> str | None:
    """Return axes that a user gave, in capitals and with C for channels.

    Raises
    ------
    ImageError
        If they are none that an image can have.
    """
    if axes is None:
        return None
    letters = axes.strip().upper().replace("S", "C")
    bad = sorted(set(letters) - set(LETTERS))
    if bad or len(set(letters)) != len(letters) or not {"Y", "X"} <= set(letters):
        raise ImageError(
            f'Got axes "{axes}"; expected different letters out of {LETTERS} with both Y (rows) '
            "and X (columns), for instance YX, YXC, ZYX or CYX."
        )
    return letters


def _name_axes(path: Path, raw: RawImage, axes: str | None) -> RawImage:
    given = axes
    if given is None:
        return _file_axes(path, raw)
    values = raw.values
    if values.ndim != len(given):
        values = values.reshape([n for n in values.shape if n > 1] or [1])
    if values.ndim != len(given):
        raise ImageError(
            f'{path} has shape {raw.values.shape}; axes "{given}" were given for it. Give one '
            "letter for each axis."
        )
    alpha = raw.alpha if raw.axes.endswith("S") and given.endswith("C") else "none"
    return replace(raw, values=values, axes=given, alpha=alpha)


def _file_axes(path: Path, raw: RawImage) -> RawImage:
    if len(raw.axes) != raw.values.ndim:
        raise ImageError(
            f'{path} has shape {raw.values.shape}, and says that its axes are "{raw.axes}": it is '
            "damaged. Save it again with the program it came from."
        )
    known = set(LETTERS) | {"S"}
    keep = [i for i, n in enumerate(raw.values.shape) if n > 1 or raw.axes[i] in "YXCS"]
    letters = "".join(raw.axes[i] for i in keep)
    values = raw.values.reshape([raw.values.shape[i] for i in keep])
    if "C" in letters and "S" in letters and raw.values.shape[raw.axes.index("C")] == 1:
        values, letters = _dropped(values, letters.index("C")), letters.replace("C", "")
    unknown = set(letters) - known
    if unknown or letters.count("Y") != 1 or letters.count("X") != 1 or {"C", "S"} <= set(letters):
        raise ImageError(
            f"{path} has shape {raw.values.shape}, and it does not say which axis is what (as far "
            f'as is known: "{raw.axes}"). Give the axes, for instance --axes ZYX for a stack, '
            "--axes CYX or --axes YXC for channels."
        )
    return replace(raw, values=values, axes=letters.replace("S", "C"))


def _without_alpha(raw: RawImage) -> RawImage:
    if raw.alpha == "none" or "C" not in raw.axes:
        return raw
    axis = raw.axes.index("C")
    if isinstance(raw.values, LazyArray):
        return replace(raw, values=_lazily_without_alpha(raw, axis))
    colors, alpha = np.split(raw.values, [raw.values.shape[axis] - 1], axis=axis)
    top = np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1.0
    if raw.alpha == "straight" and not (alpha == top).all():
        note = "transparent pixels were composited over black"
        return replace(raw, values=_over_black(colors, alpha, top), notes=(*raw.notes, note))
    return replace(raw, values=colors)


def _over_black(colors: Pixels, alpha: Pixels, top: float) -> Pixels:
    """Return colors weighed by how opaque they are."""
    mixed = colors.astype(np.float64) * (alpha.astype(np.float64) / top)
    if np.issubdtype(colors.dtype, np.integer):
        mixed = np.rint(mixed)
    return mixed.astype(colors.dtype)


def _lazily_without_alpha(raw: RawImage, axis: int) -> LazyArray:
    """Return colors over black; where a pixel is opaque that changes nothing."""
    values: LazyArray = raw.values
    n = values.shape[axis]
    top = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1.0

    def mixed(window: Pixels) -> Pixels:
        colors, alpha = np.split(window, [n - 1], axis=axis)
        return _over_black(colors, alpha, top) if raw.alpha == "straight" else colors

    return values.map_axis(mixed, axis, n - 1)


def _converted(values: Any, function: Callable[[Pixels], Pixels], dtype: np.dtype[Any]) -> Any:
    if isinstance(values, LazyArray):
        return values.map(function, dtype)
    return function(values)


def _canonical(path: Path, raw: RawImage) -> tuple[ImageInfo, Any]:
    values = raw.values
    if values.size == 0 or not (np.issubdtype(values.dtype, np.number) or values.dtype == np.bool_):
        raise ImageError(f"{path} holds no numbers (shape {values.shape}, {values.dtype}).")
    if np.issubdtype(values.dtype, np.complexfloating):
        raise ImageError(f"{path} holds complex numbers; save magnitude or phase as an image.")
    axes = raw.axes
    if values.dtype == np.bool_:
        values = _converted(values, lambda v: v.astype(np.uint8) * np.uint8(255), np.dtype("u1"))
    native = values.dtype.newbyteorder("=")
    values = _converted(values, lambda v: v.astype(native, copy=False), native)
    if "C" in axes and values.shape[axes.index("C")] == 1:
        values, axes = _dropped(values, axes.index("C")), axes.replace("C", "")
    order = [i for i, letter in enumerate(axes) if letter in "TZ"]
    order += [axes.index("Y"), axes.index("X")]
    pixels = values.transpose([*order, axes.index("C")] if "C" in axes else order)
    if "C" not in axes:
        pixels = pixels.reshape((*pixels.shape, 1))
    info = ImageInfo(
        path=path,
        axes=axes,
        shape=tuple(values.shape),
        dtype=str(values.dtype),
        spatial_shape=tuple(pixels.shape[:-1]),
        n_channels=int(pixels.shape[-1]),
        pixel_size=raw.pixel_size,
        unit=raw.unit if raw.pixel_size else None,
        reader=raw.reader,
        notes=raw.notes,
    )
    return info, pixels if isinstance(pixels, LazyArray) else np.ascontiguousarray(pixels)


def _dropped(values: Any, axis: int) -> Any:
    return values.reshape((*values.shape[:axis], *values.shape[axis + 1 :]))
