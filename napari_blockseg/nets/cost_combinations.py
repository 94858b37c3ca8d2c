"""What each sensible combination of input scale, output stride and decoder stride costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.combinations import (
    INPUT_SCALES,
    OUTPUT_STRIDES,
    Combination,
    sensible_combinations,
)
from napari_blockseg.nets.cost import N_CLASSES, blank_image
from napari_blockseg.nets.cost_timing import (
    describe_model,
    encoder_of,
    make_candidate,
    measure_and_fit,
    scaled,
)
from napari_blockseg.nets.network import MULTIPLE

_ROUNDS = 5
_FITTED = 3


def count_combinations(
    config: NetworkConfig,
    size: int = 512,
    seconds: bool = True,
    n_classes: int = N_CLASSES,
    output_strides: Sequence[int] = OUTPUT_STRIDES,
) -> dict[str, Any]:
    """Measure the combinations that are worth a look, and predict them layer by layer.

    Parameters
    ----------
    config : NetworkConfig
        The network; its strides and weights do not matter.
    size : int
        Rows and cols of the image, in pixels.
    seconds : bool
        Whether to measure the time, on this machine's CPU with torch's present threads, and fit
        the cost model.
    n_classes : int
        Channels of the logits.
    output_strides : sequence of int
        Which of them to combine.

    Returns
    -------
    dict
        ``combinations``: the cheapest first, each with the fields of
        :class:`~napari_blockseg.nets.combinations.Combination` and ``bytes``, ``params``,
        ``seconds``, ``noise``, ``predicted_seconds``, ``peak_mib`` as in
        :func:`~napari_blockseg.nets.cost.count_cost`. Time and memory are those of the whole way
        from the image to logits at its size, with the shrinking of the image. ``encoder_only``:
        the encoder at output stride 16 (or the nearest of those asked for), on the image as it
        is. ``model``: as in :func:`~napari_blockseg.nets.cost.count_cost`, ``fitted_on`` and
        ``checked_on`` by place in the list, from 0.

    Raises
    ------
    NetworkError
        If the network cannot be built or the size is below 32.
    """
    image = blank_image(size)
    scales = [scale for scale in INPUT_SCALES if size * scale >= MULTIPLE]
    listed = sensible_combinations(
        config, size, n_classes, scales=scales, output_strides=output_strides
    )
    # One network serves all scales.
    networks = {
        _grids(one): make_candidate(_config_of(config, one), n_classes, seconds) for one in listed
    }
    candidates = {
        place: scaled(networks[_grids(one)], one.input_scale) for place, one in enumerate(listed)
    }
    encoder = encoder_of(min(networks.items(), key=lambda item: _far_from_usual(item[0]))[1])
    last = len(listed) - 1
    fitted = sorted({round(i * last / (_FITTED - 1)) for i in range(_FITTED)})
    model = measure_and_fit(candidates, encoder, image, fitted, _ROUNDS) if seconds else None
    rows = {
        place: _without_layers(one.row(image, model)) | asdict(listed[place])
        for place, one in candidates.items()
    }
    checked = {place: row for place, row in rows.items() if place not in fitted}
    return {
        "combinations": list(rows.values()),
        "encoder_only": _without_layers(encoder.row(image, model)),
        "model": None if model is None else describe_model(model, fitted, checked),
    }


def _config_of(config: NetworkConfig, one: Combination) -> NetworkConfig:
    strides = {"output_stride": one.output_stride, "decoder_stride": one.decoder_stride}
    return config.model_copy(update=strides)


def _grids(one: Combination) -> tuple[int, int]:
    return one.output_stride, one.decoder_stride


def _far_from_usual(grids: tuple[int, int]) -> int:
    """Return how far an output stride is from 16, the encoder that others are compared with."""
    return abs(grids[0] - 16)


def _without_layers(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "layers"}
