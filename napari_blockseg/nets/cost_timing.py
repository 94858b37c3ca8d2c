"""Networks whose cost is asked for: timed in turns, and predicted layer by layer."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import STRIDES, NetworkConfig
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost_counts import peak_mib
from napari_blockseg.nets.cost_model import CostModel, fit_cost_model
from napari_blockseg.nets.cost_scaled import AtScale
from napari_blockseg.nets.folding import fold_batch_norm
from napari_blockseg.nets.layers import Layer, clock, trace_layers, with_shortest_times
from napari_blockseg.nets.network import Network

K = TypeVar("K")
# What is over quickly is timed again in the same turn: its shortest time is harder to find.
_MOST_AGAIN, _ENOUGH = 3, 0.15


@dataclass
class Candidate:
    """A network whose cost is asked for, or an encoder alone.

    Parameters
    ----------
    shapes : nn.Module
        On the meta device, batch norm folded.
    n_params : int
        Before folding.
    runnable : nn.Module or None
        The same with values; None where no time is asked for.
    """

    shapes: nn.Module
    n_params: int
    runnable: nn.Module | None = None
    times: list[float] = field(default_factory=list)
    passes: list[list[Layer]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The shortest of the times: what others on the machine add is left out."""
        return min(self.times)

    def row(self, image: Tensor, model: CostModel | None) -> dict[str, Any]:
        """Return what it costs for an image; times are None without a model."""
        layers = trace_layers(self.shapes, image.to("meta"))
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


def possible_strides(config: NetworkConfig) -> list[int]:
    """Return the decoder strides that a network can be built with."""
    strides = {s: config.model_copy(update={"decoder_stride": s}).stride for s in STRIDES}
    return [wanted for wanted, got in strides.items() if wanted == got]


def make_candidate(config: NetworkConfig, n_classes: int, runs: bool) -> Candidate:
    """Build a network as prediction runs it: batch norm folded, channels last.

    Parameters
    ----------
    config : NetworkConfig
        Its weights do not matter.
    n_classes : int
        Channels of the logits.
    runs : bool
        Whether it will be timed.
    """
    config = config.model_copy(update={"weights": "none"})
    # Shapes are all that counting needs; on the meta device they cost nothing.
    with torch.device("meta"):
        network = build_network(config, n_classes)
        n_params = sum(p.numel() for p in network.parameters())
        shapes = fold_batch_norm(network, network.encoder.n_channels)
    if not runs:
        return Candidate(shapes, n_params)
    network = fold_batch_norm(build_network(config, n_classes), network.encoder.n_channels)
    network.to(memory_format=torch.channels_last)
    return Candidate(shapes, n_params, network)


def encoder_of(candidate: Candidate) -> Candidate:
    """Return the encoder of a candidate that is a network, alone."""
    shapes = candidate.shapes.get_submodule("encoder")
    runnable = candidate.runnable and candidate.runnable.get_submodule("encoder")
    return Candidate(shapes, sum(p.numel() for p in shapes.parameters()), runnable)


def scaled(candidate: Candidate, scale: float) -> Candidate:
    """Return a candidate that is a network, run on images that are shrunk by `scale`."""
    shapes, runnable = (
        AtScale(one, scale) if isinstance(one, Network) else None
        for one in (candidate.shapes, candidate.runnable)
    )
    return Candidate(shapes or candidate.shapes, candidate.n_params, runnable)


def measure_and_fit(
    candidates: Mapping[K, Candidate],
    encoder: Candidate,
    image: Tensor,
    fitted: Collection[K],
    rounds: int,
) -> CostModel:
    """Time everything in turns, and the layers of what the model is fitted on.

    Parameters
    ----------
    candidates : mapping of Candidate
        Networks; their times are filled in.
    encoder : Candidate
        Timed beside them.
    image : Tensor
        What all of them get.
    fitted : collection of keys
        Which of the candidates the model is fitted on.
    rounds : int
        How often; all take turns in every round, so that a machine that slows down does so for all.
    """
    for number in range(rounds + 1):
        for one in [encoder, *candidates.values()]:
            seconds = _time(one, image)
            # The first round fills caches and lets libraries choose their kernels.
            if number:
                again = min(_MOST_AGAIN, int(_ENOUGH / max(seconds, 1e-6)))
                one.times += [seconds, *(_time(one, image) for _ in range(again))]
        for key in fitted:
            one = candidates[key]
            if number and one.runnable is not None:
                one.passes.append(trace_layers(one.runnable, image))
    known = [candidates[key] for key in fitted]
    return fit_cost_model(
        [with_shortest_times(one.passes) for one in known], [one.seconds for one in known]
    )


def _time(candidate: Candidate, image: Tensor) -> float:
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


def describe_model(
    model: CostModel, fitted_on: Sequence[Any], checked: Mapping[Any, dict[str, Any]]
) -> dict[str, Any]:
    """Return a model, what it was fitted on, and how far off it is on the rows it never saw."""
    errors = [abs(row["predicted_seconds"] / row["seconds"] - 1) for row in checked.values()]
    return {
        "fitted_on": list(fitted_on),
        "checked_on": list(checked),
        "worst_error": round(max(errors), 4) if errors else None,
        "rates": {kind: asdict(rates) for kind, rates in model.rates.items()},
        "outside": round(model.outside, 4),
        "threads": torch.get_num_threads(),
        "clock": "CPU" if torch.get_num_threads() == 1 else "wall",
    }
