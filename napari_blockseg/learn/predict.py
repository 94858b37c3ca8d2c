"""From a model and an image to a dense mask."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.errors import ImageError, ModelError
from napari_blockseg.core.normalize import image_limits
from napari_blockseg.core.reports import Notice, PredictProgress
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.data import WorkingGrid, working_band
from napari_blockseg.learn.devices import free_memory, is_out_of_memory
from napari_blockseg.learn.stitching import RowUpsampler, stitch_tiles
from napari_blockseg.nets.network import MULTIPLE

Region = tuple[int, int, int, int]
MIN_TILE = 64


@dataclass(frozen=True)
class Prediction:
    """What a model says about an image or a region of it.

    Parameters
    ----------
    mask : (rows, cols) uint8 or uint16 array
        Class values.
    probabilities : (classes, rows, cols) float16 array or None
        In the order of the model's classes.
    uncertainty : (rows, cols) float16 array or None
        Entropy of the probabilities over its maximum: 0 sure, 1 all classes alike.
    """

    mask: NDArray[np.unsignedinteger[Any]]
    probabilities: NDArray[np.float16] | None = None
    uncertainty: NDArray[np.float16] | None = None


def predict(
    model: Model,
    pixels: NDArray[Any],
    config: PredictConfig | None = None,
    region: Region | None = None,
    *,
    probabilities: bool = False,
    uncertainty: bool = False,
) -> Generator[PredictProgress | Notice, None, Prediction]:
    """Predict an image, or a region of it, by tiles.

    Parameters
    ----------
    model : Model
        From :func:`napari_blockseg.learn.checkpoint.load_model`.
    pixels : (rows, cols, channels) array
        Raw values of the whole image. Read in bands of rows, each once or twice: it may be lazy
        (numpy.memmap, dask, zarr). Normalization by percentiles reads all of it first.
    config : PredictConfig, optional
        Tile, halo, batch.
    region : (row start, row stop, col start, col stop), optional
        In image pixels; clipped to the image. The whole image by default. What surrounds it is
        read as far as the network looks, so that the result is that of the whole image.
    probabilities, uncertainty : bool
        Whether to return them too.

    Yields
    ------
    PredictProgress or Notice
        After every tile; a Notice when tiles had to be made smaller for lack of memory.

    Returns
    -------
    Prediction
        Of the region, at full resolution.

    Raises
    ------
    ImageError
        If the image has other channels than the model, holds NaN, or the region is empty.
    ModelError
        If memory does not suffice for the smallest tile.
    """
    config = config or PredictConfig()
    _check_image(model, pixels)
    region = _clipped(region, pixels.shape[0], pixels.shape[1])
    halo = model.network.halo if config.halo is None else config.halo
    window = _window(region, pixels.shape[0], pixels.shape[1], model.spec.grid, halo)
    image = _Bands(model, pixels, window)
    inner = tuple(a - b for a, b in zip(region, (window[0],) * 2 + (window[2],) * 2, strict=True))
    tile = config.tile
    while True:
        sink = _Sink(model, region, probabilities, uncertainty)
        try:
            yield from _run(model, image, window, inner, tile, halo, config.batch_size, sink)
            return sink.prediction()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if tile <= MIN_TILE:
                raise ModelError(
                    f"Out of memory on {model.device} with tiles of {tile} pixels, the smallest. "
                    "Close other programs, or predict on the CPU (--device cpu)."
                ) from error
        tile = max(MIN_TILE, tile // 2 // MULTIPLE * MULTIPLE)
        free_memory(model.device)
        yield Notice(
            level="warning", message=f"Out of memory: going on with tiles of {tile} pixels."
        )


def predict_mask(model: Model, pixels: NDArray[Any], config: PredictConfig | None = None) -> Any:
    """Return the dense mask of a whole image, without reports."""
    steps = predict(model, pixels, config)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value.mask


def _run(
    model: Model,
    image: _Bands,
    window: Region,
    inner: tuple[int, ...],
    tile: int,
    halo: int,
    batch_size: int,
    sink: _Sink,
) -> Generator[PredictProgress, None, None]:
    cell = model.network.logits_stride / model.spec.grid.scale
    upsampler = RowUpsampler(window[1] - window[0], window[3] - window[2], cell)
    for rows in stitch_tiles(model.network, image, tile, halo, model.device, batch_size):
        for start, logits in upsampler.push(rows.logits, rows.done == rows.total):
            first, last = max(start, inner[0]), min(start + logits.shape[1], inner[1])
            if first < last:
                sink.put(
                    first - inner[0],
                    logits[:, first - start : last - start, inner[2] : inner[3]],
                )
        yield PredictProgress(done=rows.done, total=rows.total)


class _Cut:
    """A part of an image, cut out when its rows are asked for."""

    def __init__(self, pixels: Any, window: Region) -> None:
        self._pixels, self._window = pixels, window
        self.shape = (window[1] - window[0], window[3] - window[2], pixels.shape[2])

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        top, bottom, left, right = self._window
        start, stop, _ = rows.indices(bottom - top)
        return np.asarray(self._pixels[top + start : top + stop, left:right])


class _Bands:
    """A window of an image at working scale, made band by band as tiles come to it."""

    def __init__(self, model: Model, pixels: Any, window: Region) -> None:
        self._pixels = _Cut(pixels, window)
        self._spec, self._grid = model.spec.normalization, model.spec.grid
        self._limits = image_limits(pixels, self._spec)
        self.shape = (pixels.shape[2], *self._grid.shape(*self._pixels.shape[:2]))
        self._band = torch.zeros(self.shape[0], 0, self.shape[2], dtype=torch.float16)
        self._first = 0

    def __getitem__(self, window: tuple[slice, slice, slice]) -> Tensor:
        """Return a window; what lies above it is let go of."""
        start, stop, _ = window[1].indices(self.shape[1])
        if not self._first <= start <= stop <= self._first + self._band.shape[1]:
            self._move(start, stop)
        return self._band[:, start - self._first : stop - self._first, window[2]]

    def _move(self, start: int, stop: int) -> None:
        """Make the rows down to `stop`, and keep those from `start` on that are there."""
        side = self._grid.side
        first, end = start // side * side, -(-stop // side) * side
        have = self._first + self._band.shape[1]
        begin = have if self._first <= first < have else first
        more = working_band(
            self._pixels, self._spec, self._grid, self._limits, begin // side, end // side
        )
        kept = self._band[:, first - self._first :] if begin == have else more[:, :0]
        self._band, self._first = torch.cat([kept, more], 1), first


class _Sink:
    """Collects logits row by row into the arrays that were asked for."""

    def __init__(
        self, model: Model, region: Region, probabilities: bool, uncertainty: bool
    ) -> None:
        shape = (region[1] - region[0], region[3] - region[2])
        values = np.array([info.value for info in model.spec.classes])
        self._values = values.astype(np.uint8 if values.max() <= 255 else np.uint16)
        self._mask = np.zeros(shape, self._values.dtype)
        full = (len(values), *shape)
        self._probabilities = np.zeros(full, np.float16) if probabilities else None
        self._uncertainty = np.zeros(shape, np.float16) if uncertainty else None

    def put(self, start: int, logits: Tensor) -> None:
        rows = slice(start, start + logits.shape[1])
        self._mask[rows] = self._values[_largest(logits)]
        if self._probabilities is None and self._uncertainty is None:
            return
        log = logits.log_softmax(0)
        chance = log.exp()
        if self._probabilities is not None:
            self._probabilities[:, rows] = chance.numpy()
        if self._uncertainty is not None:
            entropy = -(chance * log).sum(0) / math.log(max(2, len(self._values)))
            self._uncertainty[rows] = entropy.clamp(0, 1).numpy()

    def prediction(self) -> Prediction:
        return Prediction(self._mask, self._probabilities, self._uncertainty)


def _largest(logits: Tensor) -> NDArray[np.integer[Any]]:
    """Return which class has the largest logit, the first of equal ones.

    torch's argmax over the first axis was slower than these passes where it was tried.
    """
    best = logits[0].clone()
    kind = torch.uint8 if len(logits) <= 256 else torch.int32
    found = torch.zeros(best.shape, dtype=kind)
    for index in range(1, len(logits)):
        # Classes come in order, so that the last one that was better is the largest number.
        better = (logits[index] > best).to(kind).mul_(index)
        torch.maximum(found, better, out=found)
        torch.maximum(best, logits[index], out=best)
    return found.numpy()


def _check_image(model: Model, pixels: NDArray[Any]) -> None:
    if pixels.ndim != 3:
        raise ImageError(
            f"Got pixels of shape {pixels.shape}; expected (rows, cols, channels) of one plane."
        )
    if pixels.shape[2] != model.spec.n_channels:
        raise ImageError(
            f"Got an image with {pixels.shape[2]} channel(s); this model was trained on "
            f"{model.spec.n_channels}. Convert the image, or use a model trained on images like it."
        )


def _clipped(region: Region | None, rows: int, cols: int) -> Region:
    if region is None:
        return 0, rows, 0, cols
    r0, r1, c0, c1 = (int(edge) for edge in region)
    found = max(r0, 0), min(r1, rows), max(c0, 0), min(c1, cols)
    if found[0] >= found[1] or found[2] >= found[3]:
        raise ImageError(
            f"Got region {region} of an image of {rows} x {cols} pixels; nothing of it lies "
            "inside. Give row start, row stop, column start, column stop."
        )
    return found


def _window(region: Region, rows: int, cols: int, grid: WorkingGrid, halo: int) -> Region:
    """Return the region with its surroundings, on the sampling grid of the whole image."""
    reach = math.ceil(halo / grid.scale)
    # The network samples every 32 working pixels anew: start where the whole image does.
    step = grid.unit * (MULTIPLE // math.gcd(MULTIPLE, grid.side))
    r0 = max(0, region[0] - reach) // step * step
    c0 = max(0, region[2] - reach) // step * step
    r1 = min(rows, -(-(region[1] + reach) // step) * step)
    c1 = min(cols, -(-(region[3] + reach) // step) * step)
    return r0, r1, c0, c1
