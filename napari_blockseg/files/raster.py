"""PNG and JPEG files, with every bit they hold."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_blockseg.core.errors import ImageError
from napari_blockseg.files.images import RawImage
from napari_blockseg.files.png16 import is_color_16_bit, read_color_16_bit


def read_raster(path: Path) -> RawImage:
    """Read a PNG or JPEG; rows and columns as stored (EXIF orientation is not applied).

    Raises
    ------
    ImageError
        If it is damaged, in colors that are neither grey nor RGB, or too large.

    Notes
    -----
    These files are streams that are decoded as a whole, at up to 3.4 times the memory of their
    pixels. Pillow refuses pictures of more than 179 million pixels (13,000 x 13,000), and so does
    this; large images belong in TIFF, which is read by windows.
    """
    try:
        if is_color_16_bit(path):
            return _raw(read_color_16_bit(path))
        with warnings.catch_warnings():
            # Of pictures half as large as the limit Pillow warns, in words about attacks.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _read_picture(path, picture)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise ImageError(
            f"{path} has more than {limit:.0f} million pixels; PNG and JPEG are read whole, and "
            "that is as much as is read. Save it as TIFF (in tiles or strips), which is read piece "
            "by piece."
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise ImageError(
            f"{path} cannot be read: {error}. Save it again; a very large picture as TIFF."
        ) from error


def _read_picture(path: Path, picture: Image.Image) -> RawImage:
    mode = picture.mode
    notes: tuple[str, ...] = ()
    if mode == "P" or (mode in ("1", "L", "RGB") and "transparency" in picture.info):
        with_alpha = "transparency" in picture.info
        notes = ("palette expanded to RGB",) if mode == "P" else ()
        target = ("LA" if mode in ("1", "L") else "RGBA") if with_alpha else "RGB"
        picture = picture.convert(target)
    elif mode == "I":  # older Pillow reads 16-bit grey into 32 bits
        return RawImage(np.asarray(picture).astype(np.uint16), "YX", "pillow")
    elif mode not in ("1", "L", "LA", "RGB", "RGBA", "I;16", "I;16B", "F"):
        raise ImageError(f"{path} is in {mode} colors; expected grey or RGB. Convert it.")
    return _raw(np.asarray(picture), notes)


def _raw(values: NDArray[Any], notes: tuple[str, ...] = ()) -> RawImage:
    if values.ndim == 2:
        return RawImage(values, "YX", "pillow", notes=notes)
    alpha = "straight" if values.shape[-1] in (2, 4) else "none"
    return RawImage(values, "YXS", "pillow", alpha, notes=notes)
