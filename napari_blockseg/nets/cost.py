"""What a network costs at each decoder stride: arithmetic, parameters, memory, time."""

from __future__ import annotations

import copy
import statistics
import weakref
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from napari_blockseg.core.config import STRIDES, NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost_model import CostModel, fit_cost_model
from napari_blockseg.nets.folding import fold_batch_norm
from napari_blockseg.nets.layers import Layer, clock, trace_layers, with_median_times
from napari_blockseg.nets.network import MULTIPLE

N_CLASSES = 21
#: The cost model learns from these decoder strides and is checked on the others.
FITTED_STRIDES = (4, 16)
_ROUNDS = 7


@dataclass
class _Candidate:
    """A network whose cost is asked for: one decoder stride, or the encoder alone."""

    shapes: nn.Module
    n_params: int
    runnable: nn.Module | None = None
    times: list[float] = field(default_factory=list)
    passes: list[list[Layer]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(self.times)

    def row(self, image: Tensor, model: CostModel | None) -> dict[str, Any]:
        layers = trace_layers(*_on_meta(self.shapes, image))
        low, middle, high = statistics.quantiles(self.times or [1.0, 1.0], n=4)
        return {
            "macs": sum(layer.macs for layer in layers),
            "bytes": sum(layer.moved for layer in layers),
            "params": self.n_params,
            "seconds": None if model is None else round(self.seconds, 5),
            "noise": None if model is None else round((high - low) / middle, 4),
            "predicted_seconds": None if model is None else round(model.total(layers), 5),
            "peak_mib": round(peak_mib(self.shapes, image), 2),
            "layers": [_listed(layer, model) for layer in layers],
        }


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
        ``strides``: one row a stride, from 4 to 32, with ``stride`` (pixels), ``cells`` (of the
        decoder's grid), ``macs`` (multiply-adds), ``bytes`` (moved, summed over layers),
        ``params``, ``seconds`` (median of the runs), ``noise`` (their interquartile range over
        the median), ``predicted_seconds``, ``peak_mib`` (weights and activations alive at once),
        ``layers`` (those outside the encoder). ``encoder_only``: the same without ``stride`` and
        ``cells``. ``model``: the strides it was
        ``fitted_on`` and ``checked_on``, ``worst_error`` (largest ``|predicted / seconds - 1|`` of
        the latter), ``rates`` of each kind of layer, ``outside``, ``threads``, ``clock``. A layer
        has ``module``, ``operation``, ``kind``, ``macs``, ``bytes``, ``predicted_seconds``.
        Times and what is made of them are None where not asked for.

    Raises
    ------
    NetworkError
        If the network cannot be built or the size is below 32.

    Notes
    -----
    The networks run in the form that prediction gives them: batch norm folded, channels last. All
    of them take turns in every round, so that a machine that slows down does so for all.
    """
    if size < 32:
        raise NetworkError(f"Got size {size}; expected 32 pixels or more.")
    image = torch.zeros(1, 3, size, size).to(memory_format=torch.channels_last)
    strides = {stride: _candidate(config, stride, n_classes, seconds) for stride in STRIDES}
    encoder = _encoder_of(strides[STRIDES[0]])
    model = _measure_and_fit(strides, encoder, image) if seconds else None
    padded = -(-size // MULTIPLE) * MULTIPLE
    rows = [
        {"stride": stride, "cells": (padded // stride) ** 2} | one.row(image, model)
        for stride, one in strides.items()
    ]
    for row in rows:
        row["layers"] = [x for x in row["layers"] if not x["module"].startswith("encoder")]
    return {
        "strides": rows,
        "encoder_only": encoder.row(image, model),
        "model": None if model is None else _described(model, rows),
    }


def _candidate(config: NetworkConfig, stride: int, n_classes: int, runs: bool) -> _Candidate:
    changed = config.model_copy(update={"decoder_stride": stride, "weights": "none"})
    # Shapes are all that counting needs; on the meta device they cost nothing.
    with torch.device("meta"):
        network = build_network(changed, n_classes)
        n_params = sum(p.numel() for p in network.parameters())
        shapes = fold_batch_norm(network, network.encoder.n_channels)
    if not runs:
        return _Candidate(shapes, n_params)
    network = fold_batch_norm(build_network(changed, n_classes), network.encoder.n_channels)
    network.to(memory_format=torch.channels_last)
    return _Candidate(shapes, n_params, network)


def _encoder_of(candidate: _Candidate) -> _Candidate:
    shapes = candidate.shapes.get_submodule("encoder")
    runnable = candidate.runnable and candidate.runnable.get_submodule("encoder")
    return _Candidate(shapes, sum(p.numel() for p in shapes.parameters()), runnable)


def _measure_and_fit(
    strides: dict[int, _Candidate], encoder: _Candidate, image: Tensor
) -> CostModel:
    """Time everything in turns, and the layers of the strides that the model is fitted on."""
    everything = [encoder, *strides.values()]
    for number in range(_ROUNDS + 1):
        for one in everything:
            seconds = _time(one, image)
            # The first round fills caches and lets libraries choose their kernels.
            if number:
                one.times.append(seconds)
        for stride in FITTED_STRIDES:
            one = strides[stride]
            if number and one.runnable is not None:
                one.passes.append(trace_layers(one.runnable, image))
    fitted = [strides[stride] for stride in FITTED_STRIDES]
    return fit_cost_model(
        [with_median_times(one.passes) for one in fitted], [one.seconds for one in fitted]
    )


def _time(candidate: _Candidate, image: Tensor) -> float:
    if candidate.runnable is None:
        return 0.0
    with torch.inference_mode():
        start = clock()
        candidate.runnable(image)
        return clock() - start


def _listed(layer: Layer, model: CostModel | None) -> dict[str, Any]:
    return {
        "module": layer.module,
        "operation": layer.operation,
        "kind": layer.kind,
        "macs": layer.macs,
        "bytes": layer.moved,
        "predicted_seconds": None if model is None else round(model.total([layer]), 7),
    }


def _described(model: CostModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    checked = [row for row in rows if row["stride"] not in FITTED_STRIDES]
    return {
        "fitted_on": list(FITTED_STRIDES),
        "checked_on": [row["stride"] for row in checked],
        "worst_error": round(
            max(abs(row["predicted_seconds"] / row["seconds"] - 1) for row in checked), 4
        ),
        "rates": {kind: asdict(rates) for kind, rates in model.rates.items()},
        "outside": round(model.outside, 4),
        "threads": torch.get_num_threads(),
        "clock": "CPU" if torch.get_num_threads() == 1 else "wall",
    }


def count_macs(network: nn.Module, image: Tensor) -> int:
    """Return the multiply-adds of one forward pass (convolutions and matrix products)."""
    shapes, image = _on_meta(network, image)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(image)
    # torch counts a multiply-add as two operations.
    return int(counter.get_total_flops()) // 2


def _on_meta(network: nn.Module, image: Tensor) -> tuple[nn.Module, Tensor]:
    """Return both without values: shapes are all that counting needs, and cost nothing."""
    return copy.deepcopy(network).to("meta"), image.to("meta")


def peak_mib(network: nn.Module, image: Tensor) -> float:
    """Return the most memory that weights and activations hold at once, in MiB."""
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    shapes, image = _on_meta(network, image)
    with torch.no_grad(), _LiveBytes() as live:
        shapes(image)
    return float(weights + live.peak) / 2**20


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of results that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        inputs = {id(t.untyped_storage()) for t in tree_leaves(args) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in self._seen and id(storage) not in inputs:
                    self._watch(storage)
        return result

    def _watch(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size
