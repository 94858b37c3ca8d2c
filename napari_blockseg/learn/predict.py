"""From a model and an image to a dense mask."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.errors import ImageError, ModelError
from napari_blockseg.core.reports import Notice, PredictProgress
from napari_blockseg.learn.bands import Region as Region
from napari_blockseg.learn.bands import WorkingBands
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.classmap import ClassArray, ClassUpsampler, largest_class
from napari_blockseg.learn.data import WorkingGrid
from napari_blockseg.learn.devices import free_memory, is_out_of_memory
from napari_blockseg.learn.stitching import Rows, RowUpsampler, stitch_tiles
from napari_blockseg.nets.network import MULTIPLE

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


@dataclass(frozen=True)
class PredictedRows:
    """Finished rows of a prediction, from row ``start`` of the region; else as `Prediction`."""

    start: int
    mask: NDArray[np.unsignedinteger[Any]]
    probabilities: NDArray[np.float16] | None = None
    uncertainty: NDArray[np.float16] | None = None


class RowSink(Protocol):
    """Where finished rows go, for instance into a file."""

    def begin(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        """Be ready for a mask of this shape; what was put before is void (memory ran out)."""

    def put(self, rows: PredictedRows) -> None:
        """Take the next rows, from top to bottom without gaps."""


def predict(
    model: Model,
    pixels: Any,
    config: PredictConfig | None = None,
    region: Region | None = None,
    *,
    probabilities: bool = False,
    uncertainty: bool = False,
) -> Generator[PredictProgress | Notice, None, Prediction]:
    """Predict an image, or a region of it, by tiles; the result is held in memory.

    Parameters, reports and errors are those of :func:`predict_into`.

    Returns
    -------
    Prediction
        Of the region, at full resolution.
    """
    sink = _Arrays(len(model.spec.classes), probabilities, uncertainty)
    yield from predict_into(
        sink, model, pixels, config, region, probabilities=probabilities, uncertainty=uncertainty
    )
    return sink.prediction()


def predict_into(
    sink: RowSink,
    model: Model,
    pixels: Any,
    config: PredictConfig | None = None,
    region: Region | None = None,
    *,
    probabilities: bool = False,
    uncertainty: bool = False,
    limits: tuple[float, float] | None = None,
) -> Generator[PredictProgress | Notice, None, None]:
    """Predict an image, or a region of it, by tiles, and hand on rows as they are finished.

    Parameters
    ----------
    sink : RowSink
        Gets the rows of the region, at full resolution.
    model : Model
        From :func:`napari_blockseg.learn.checkpoint.load_model`.
    pixels : (rows, cols, channels) array
        Raw values of the whole image. Read in bands of rows, each once or twice: it may be lazy
        (numpy.memmap, dask, zarr, :class:`~napari_blockseg.files.lazy.LazyArray`). Normalization
        by percentiles reads all rows once more, before.
    config : PredictConfig, optional
        Tile, halo, batch.
    region : (row start, row stop, col start, col stop), optional
        In image pixels; clipped to the image. The whole image by default. What surrounds it is
        read as far as the network looks, so that the result is that of the whole image.
    probabilities, uncertainty : bool
        Whether the sink gets them too.
    limits : (low, high), optional
        Raw values of this image that become 0 and 1, where they are known.

    Yields
    ------
    PredictProgress or Notice
        After every tile; a Notice when tiles had to be made smaller for lack of memory.

    Raises
    ------
    ImageError
        If the image has other channels than the model, holds NaN, or the region is empty.
    ModelError
        If memory does not suffice for the smallest tile.

    Notes
    -----
    What is held at a time is a row of tiles: its pixels at working scale in half precision, and
    its logits on the decoder's grid.
    """
    config = config or PredictConfig()
    _check_image(model, pixels)
    region = _clipped(region, pixels.shape[0], pixels.shape[1])
    halo = model.network.halo if config.halo is None else config.halo
    window = _window(region, pixels.shape[0], pixels.shape[1], model.spec.grid, halo)
    image = WorkingBands(model, pixels, window, limits)
    inner = tuple(a - b for a, b in zip(region, (window[0],) * 2 + (window[2],) * 2, strict=True))
    make = _Rows(model, probabilities, uncertainty)
    tile = config.tile
    while True:
        sink.begin((region[1] - region[0], region[3] - region[2]), make.values.dtype)
        tiles = stitch_tiles(model.network, image, tile, halo, model.device, config.batch_size)
        try:
            yield from _run(model, tiles, window, inner, make, sink)
            return
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


def predict_mask(model: Model, pixels: Any, config: PredictConfig | None = None) -> Any:
    """Return the dense mask of a whole image, without reports."""
    steps = predict(model, pixels, config)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value.mask


def _run(
    model: Model,
    tiles: Iterator[Rows],
    window: Region,
    inner: tuple[int, ...],
    make: _Rows,
    sink: RowSink,
) -> Generator[PredictProgress, None, None]:
    cell = model.network.logits_stride / model.spec.grid.scale
    size = window[1] - window[0], window[3] - window[2], cell
    # Logits between cells are only made where somebody looks at them.
    finer = RowUpsampler(*size) if make.needs_logits else ClassUpsampler(*size)
    for done, total, logits in _parts(tiles):
        for start, values in finer.push(logits, done == total):
            stop = start + values.shape[-2]
            first, last = max(start, inner[0]), min(stop, inner[1])
            if first >= last:
                continue
            part = values[..., first - start : last - start, inner[2] : inner[3]]
            sink.put(make(first - inner[0], part))
        del logits
        yield PredictProgress(done=done, total=total)


def _parts(tiles: Iterator[Rows]) -> Iterator[tuple[int, int, Tensor]]:
    """Let go of each part before the next is made: a row of tiles is large."""
    for rows in tiles:
        yield rows.done, rows.total, rows.logits


class _Rows:
    """Makes what was asked for out of image rows of logits, or of classes."""

    def __init__(self, model: Model, probabilities: bool, uncertainty: bool) -> None:
        values = np.array([info.value for info in model.spec.classes])
        kind = np.uint8 if values.max() <= 255 else np.uint16
        self.values: NDArray[np.unsignedinteger[Any]] = values.astype(kind)
        self._probabilities, self._uncertainty = probabilities, uncertainty
        self.needs_logits = probabilities or uncertainty

    def __call__(self, start: int, values: Tensor | ClassArray) -> PredictedRows:
        if not isinstance(values, Tensor):
            return PredictedRows(start, self.values[values])
        mask = self.values[largest_class(values)]
        log = values.log_softmax(0)
        chance = log.exp()
        entropy = None
        if self._uncertainty:
            spread = -(chance * log).sum(0) / math.log(max(2, len(self.values)))
            entropy = spread.clamp(0, 1).half().numpy()
        return PredictedRows(
            start, mask, chance.half().numpy() if self._probabilities else None, entropy
        )


class _Arrays:
    """A sink that keeps everything in memory."""

    def __init__(self, n_classes: int, probabilities: bool, uncertainty: bool) -> None:
        self._n_classes = n_classes
        self._wanted = probabilities, uncertainty

    def begin(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._mask = np.zeros(shape, dtype)
        probabilities, uncertainty = self._wanted
        full = (self._n_classes, *shape)
        self._probabilities = np.zeros(full, np.float16) if probabilities else None
        self._uncertainty = np.zeros(shape, np.float16) if uncertainty else None

    def put(self, rows: PredictedRows) -> None:
        where = slice(rows.start, rows.start + len(rows.mask))
        self._mask[where] = rows.mask
        if self._probabilities is not None:
            self._probabilities[:, where] = rows.probabilities
        if self._uncertainty is not None:
            self._uncertainty[where] = rows.uncertainty

    def prediction(self) -> Prediction:
        return Prediction(self._mask, self._probabilities, self._uncertainty)


def _check_image(model: Model, pixels: Any) -> None:
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
