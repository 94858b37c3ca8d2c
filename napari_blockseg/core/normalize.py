"""From raw pixel values to 0..1: a stated choice that is stored with the model."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_blockseg.core.errors import ImageError

_SAMPLE_PIXELS = 2_000_000
# Values of an image that are read at once.
_READ_VALUES = 16_000_000


class Normalization(BaseModel):
    """How raw values become 0..1.

    "range": `low` and `high` are raw values, the same for every image. "percentile": they are
    percents of each image's values (all channels together), so that exposure does not matter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["range", "percentile"] = Field(default="range", title="Normalization")
    low: float = 0.0
    high: float = 255.0

    @classmethod
    def for_dtype(cls, dtype: DTypeLike) -> Normalization:
        """Return the default: 0..255 for 8-bit images, percentiles 0.1 to 99.9 for all others.

        8-bit images have been scaled for the eye; the values of 16-bit and float images depend on
        camera and exposure.
        """
        if np.dtype(dtype) == np.uint8:
            return cls()
        if np.dtype(dtype) == np.bool_:
            return cls(low=0.0, high=1.0)
        return cls(kind="percentile", low=0.1, high=99.9)


def image_limits(pixels: Any, spec: Normalization) -> tuple[float, float]:
    """Return the raw values that become 0 and 1 in this image.

    Parameters
    ----------
    pixels : array
        Raw values of the whole image, any shape; may be lazy: it is read in parts along its first
        axis. Above two million values a regular sample is taken.
    spec : Normalization
        The choice.

    Raises
    ------
    ImageError
        If every value is NaN.
    """
    if spec.kind == "range":
        return spec.low, spec.high
    sample = _sample(pixels)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise ImageError("Got an image without a single finite value; nothing can be done with it.")
    low, high = np.percentile(sample, [spec.low, spec.high])
    return float(low), float(high)


def _sample(pixels: Any) -> NDArray[np.float64]:
    """Return every n-th value of an array in its order, reading few of its rows at a time."""
    shape = pixels.shape
    size = math.prod(shape)
    step = max(1, size // _SAMPLE_PIXELS)
    row = max(1, size // max(1, shape[0]))
    rows = max(1, _READ_VALUES // row)
    parts = [
        # Where the sampled places of the whole go on in this part.
        # A copy: a view would hold all that was read.
        np.asarray(pixels[start : start + rows])
        .reshape(-1)[-start * row % step :: step]
        .astype(float)
        for start in range(0, shape[0], rows)
    ]
    return np.concatenate([np.zeros(0), *parts])


def normalize(
    pixels: NDArray[Any], spec: Normalization, limits: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Return pixel values as float32 in 0..1, clipped.

    Parameters
    ----------
    pixels : (rows, cols, channels) array
        Raw values.
    spec : Normalization
        The choice.
    limits : (low, high), optional
        Raw values that become 0 and 1, when `pixels` is part of an image whose limits are known.

    Raises
    ------
    ImageError
        If a value is NaN or infinite: it says how many and where the first one is.
    """
    pixels = np.asarray(pixels)
    if np.issubdtype(pixels.dtype, np.floating):
        bad = ~np.isfinite(pixels)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0][:2])
            raise ImageError(
                f"Got an image with {int(bad.sum())} values that are NaN or infinite (the first "
                f"at row {first[0]}, column {first[1]}); expected finite numbers. Replace them, "
                "for instance by the mean of their neighbours, and open the image again."
            )
    low, high = image_limits(pixels, spec) if limits is None else limits
    if high <= low:
        return np.zeros(pixels.shape, np.float32)
    scaled = (pixels.astype(np.float32) - np.float32(low)) * np.float32(1.0 / (high - low))
    return np.clip(scaled, 0.0, 1.0, out=scaled)
