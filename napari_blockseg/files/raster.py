"""PNG and JPEG files, with every bit they hold."""

from __future__ import annotations

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
        If it is damaged, or in colors that are neither grey nor RGB.
    """
    try:
        if is_color_16_bit(path):
            return _raw(read_color_16_bit(path))
        with Image.open(path) as picture:
            return _read_picture(path, picture)
    except ImageError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
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
