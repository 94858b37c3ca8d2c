"""What a network costs at each decoder stride: arithmetic, parameters, memory, time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.cost_counts import count_macs, peak_mib
from napari_blockseg.nets.cost_timing import (
    describe_model,
    encoder_of,
    make_candidate,
    measure_and_fit,
    possible_strides,
)
from napari_blockseg.nets.network import MULTIPLE

__all__ = ["count_cost", "count_macs", "peak_mib"]

N_CLASSES = 21
_ROUNDS = 7


def count_cost(
    config: NetworkConfig, size: int = 512, seconds: bool = True, n_classes: int = N_CLASSES
) -> dict[str, Any]:
    """Measure a network on one image, at every decoder stride, and predict it layer by layer.

    Parameters
    ----------
    config : NetworkConfig
        What to build; its own decoder stride and weights do not matter.
    size : int
        Rows and cols of the image, in pixels.
    seconds : bool
        Whether to measure the time, on this machine's CPU with torch's present threads, and fit
        the cost model.
    n_classes : int
        Channels of the logits.

    Returns
    -------
    dict
        ``strides``: one row a stride, from 4 to 32 (without a decoder: from the output stride),
        with ``stride`` (pixels), ``cells`` (of the decoder's grid), ``macs`` (multiply-adds),
        ``bytes`` (moved, summed over layers), ``params``, ``seconds`` (the shortest of the runs),
        ``noise`` (their interquartile range over the median), ``predicted_seconds``, ``peak_mib``
        (weights and activations alive at once), ``layers`` (those outside the encoder).
        ``encoder_only``: the same without ``stride`` and ``cells``. ``model``: the strides it was
        ``fitted_on`` and ``checked_on``, ``worst_error`` (largest ``|predicted / seconds - 1|`` of
        the latter; None where there are none), ``rates`` of each kind of layer, ``outside``,
        ``threads``, ``clock``. A layer has ``module``, ``operation``, ``kind``, ``macs``,
        ``bytes``, ``predicted_seconds``. Times and what is made of them are None where not asked
        for.

    Raises
    ------
    NetworkError
        If the network cannot be built or the size is below 32.

    Notes
    -----
    The networks run in the form that prediction gives them: batch norm folded, channels last. All
    of them take turns in every round, so that a machine that slows down does so for all.
    """
    image = blank_image(size)
    strides = {
        stride: make_candidate(
            config.model_copy(update={"decoder_stride": stride}), n_classes, seconds
        )
        for stride in possible_strides(config)
    }
    encoder = encoder_of(next(iter(strides.values())))
    # The cost model learns from every second stride and is checked on the others.
    fitted = list(strides)[::2]
    model = measure_and_fit(strides, encoder, image, fitted, _ROUNDS) if seconds else None
    padded = -(-size // MULTIPLE) * MULTIPLE
    rows = {
        stride: {"stride": stride, "cells": (padded // stride) ** 2} | one.row(image, model)
        for stride, one in strides.items()
    }
    for row in rows.values():
        row["layers"] = [x for x in row["layers"] if not x["module"].startswith("encoder")]
    checked = {stride: row for stride, row in rows.items() if stride not in fitted}
    return {
        "strides": list(rows.values()),
        "encoder_only": encoder.row(image, model),
        "model": None if model is None else describe_model(model, fitted, checked),
    }


def blank_image(size: int) -> Tensor:
    """Return what is predicted: time does not depend on the values.

    Raises
    ------
    NetworkError
        If the size is below 32 pixels.
    """
    if size < MULTIPLE:
        raise NetworkError(f"Got size {size}; expected {MULTIPLE} pixels or more.")
    return torch.zeros(1, 3, size, size).to(memory_format=torch.channels_last)
