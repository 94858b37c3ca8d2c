"""TIFF files: pixels, axes and pixel size, as far as the file states them."""

from __future__ import annotations

import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_blockseg.core.errors import ImageError
from napari_blockseg.files.images import RawImage
from napari_blockseg.files.tiffwindows import lazy_series

# What tifffile raises on damaged files, besides OSError.
DAMAGE = (
    tifffile.TiffFileError, ValueError, OSError, KeyError, IndexError, TypeError,
    AttributeError, RuntimeError, ArithmeticError, AssertionError, struct.error, zlib.error,
)  # fmt: skip
_ALPHA = {1: "premultiplied", 2: "straight"}  # TIFF ExtraSamples; 0 is a sample of unknown kind
_MICRONS = {"micron", "microns", "um", "µm", "μm", "\\u00b5m", "micrometer", "micrometre"}


def read_tiff(path: Path, trust_planar: bool = False, lazy: bool = False) -> RawImage:
    """Read the first series of a TIFF.

    Parameters
    ----------
    path : Path
        The file.
    trust_planar : bool
        The caller names the axes: planes that claim to be RGB need no doubt.
    lazy : bool
        Whether pixels are read by windows later, where the file allows it.

    Raises
    ------
    ImageError
        If it is damaged, or its compression or color space is not supported.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            return _read_series(path, tiff, trust_planar, lazy)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{path} does not fit into memory; cut it into smaller files.") from error
    except DAMAGE as error:
        raise ImageError(
            f"{path} cannot be read as a TIFF: {error}. Save it again with the program it came "
            "from, uncompressed or with deflate compression."
        ) from error


def _read_series(path: Path, tiff: Any, trust_planar: bool, lazy: bool) -> RawImage:
    if not tiff.series:
        raise ImageError(f"{path} holds no image.")
    series = tiff.series[0]
    page: Any = series.keyframe
    photometric = int(page.photometric)
    if photometric in (5, 8, 9):
        raise ImageError(
            f"{path} is in {page.photometric.name} colors; expected grey or RGB. Convert it."
        )
    palette_used = photometric == 3 and not tiff.is_imagej and page.colormap is not None
    values: Any = lazy_series(path, series, tiff.byteorder) if lazy and not palette_used else None
    if values is None:
        values = series_values(path, series)
    axes = "".join(letter if letter in "TZCYXS" else "?" for letter in series.axes)
    if palette_used:
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        if "S" not in axes:
            return RawImage(
                palette[values], axes + "S", "tifffile", notes=("palette expanded to RGB",)
            )
    if not trust_planar and _doubtful_planar(tiff, page, axes):
        axes = axes.replace("S", "?")
    alpha = _ALPHA.get(int(page.extrasamples[-1]), "none") if page.extrasamples else "none"
    if "S" not in series.axes:
        alpha = "none"
    size, unit = _pixel_size(tiff, page)
    return RawImage(values, axes, "tifffile", alpha, size, unit)


def _doubtful_planar(tiff: tifffile.TiffFile, page: Any, axes: str) -> bool:
    """Whether planes claim to be RGB only because tifffile was not told what they are."""
    if "S" not in axes or axes.endswith("S") or tiff.is_ome or tiff.is_imagej:
        return False
    return str(page.software).startswith("tifffile")


def series_values(path: Path, series: tifffile.TiffPageSeries) -> NDArray[Any]:
    """Return the pixels of a series, through Pillow where tifffile lacks a codec.

    Raises
    ------
    ImageError
        If neither can decompress them without loss.
    """
    try:
        values: NDArray[Any] = series.asarray()
        return values
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        values_or_none = _through_pillow(path, series)
        if values_or_none is None:
            raise ImageError(
                f"{path} is compressed in a way that needs one more package ({error}). Run `pip "
                "install imagecodecs`, or save the file uncompressed or with deflate compression."
            ) from error
        return values_or_none


def _through_pillow(path: Path, series: tifffile.TiffPageSeries) -> NDArray[Any] | None:
    """Read LZW and the like, which tifffile cannot do alone; None where Pillow loses bits."""
    page: Any = series.keyframe
    planes = []
    try:
        with Image.open(path) as picture:
            for part in series.pages:
                if part is None:
                    return None
                picture.seek(part.index)
                plane = np.asarray(picture)
                if plane.dtype != page.dtype or plane.size != page.size:
                    return None
                planes.append(plane)
    except (OSError, ValueError, EOFError, SyntaxError, Image.DecompressionBombError):
        return None
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        return None
    return np.stack(planes).reshape(series.shape)


def _pixel_size(
    tiff: tifffile.TiffFile, page: Any
) -> tuple[tuple[float, float] | None, str | None]:
    """Return (row, column) length of a pixel and its unit, None where the file says nothing."""
    if tiff.is_ome and tiff.ome_metadata:
        return _ome_pixel_size(tiff.ome_metadata)
    per_unit = (_rational(page, "YResolution"), _rational(page, "XResolution"))
    if None in per_unit:
        return None, None
    size = (1.0 / per_unit[0], 1.0 / per_unit[1])  # type: ignore[operator]
    if tiff.is_imagej:
        unit = str((tiff.imagej_metadata or {}).get("unit", "")).strip()
        if unit.lower() in ("", "pixel", "pixels"):
            return None, None
        return size, "um" if unit.lower() in _MICRONS else unit
    unit_tag = page.tags.get("ResolutionUnit")
    # Without the tag the standard says inch; most writers then mean nothing by it.
    unit = {2: "inch", 3: "cm"}.get(int(unit_tag.value) if unit_tag else 1, "")
    return (size, unit) if unit else (None, None)


def _rational(page: Any, name: str) -> float | None:
    tag = page.tags.get(name)
    if tag is None or not isinstance(tag.value, tuple) or len(tag.value) != 2:
        return None
    numerator, denominator = tag.value
    value = numerator / denominator if denominator else math.inf
    return value if 0 < value < math.inf else None


def _ome_pixel_size(xml: str) -> tuple[tuple[float, float] | None, str | None]:
    sizes = []
    for letter in "YX":
        found = re.search(rf'\bPhysicalSize{letter}="([^"]+)"', xml)
        try:
            sizes.append(float(found.group(1)) if found else math.nan)
        except ValueError:
            return None, None
    if not all(0 < size < math.inf for size in sizes):
        return None, None
    found = re.search(r'\bPhysicalSizeXUnit="([^"]+)"', xml)
    unit = found.group(1) if found else "um"
    return (sizes[0], sizes[1]), "um" if unit.lower() in _MICRONS else unit
