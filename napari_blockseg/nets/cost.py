"""What a network costs at each decoder stride: arithmetic, parameters, memory, time."""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from napari_blockseg.core.config import STRIDES, NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import Network

N_CLASSES = 21
_RUNS = 5


def count_cost(
    config: NetworkConfig, size: int = 512, seconds: bool = True, n_classes: int = N_CLASSES
) -> dict[str, Any]:
    """Measure a network on one image, at every decoder stride.

    Parameters
    ----------
    config : NetworkConfig
        What to build; its own decoder stride and weights do not matter.
    size : int
        Rows and cols of the image, in pixels.
    seconds : bool
        Whether to measure the time, on this machine's CPU with torch's present threads.
    n_classes : int
        Channels of the logits.

    Returns
    -------
    dict
        ``strides``: one row a stride, from 4 to 32, with ``stride`` (pixels), ``cells`` (of the
        decoder's grid), ``macs`` (multiply-adds), ``params``, ``seconds`` (best of five; None if
        not asked for), ``peak_mib`` (weights and activations alive at once). ``encoder_only``:
        ``macs`` and ``seconds``.

    Raises
    ------
    NetworkError
        If the network cannot be built or the size is below 32.
    """
    if size < 32:
        raise NetworkError(f"Got size {size}; expected 32 pixels or more.")
    image = torch.zeros(1, 3, size, size).to(memory_format=torch.channels_last)
    rows = []
    for stride in STRIDES:
        changed = config.model_copy(update={"decoder_stride": stride, "weights": "none"})
        # Shapes are all that counting needs; on the meta device they cost nothing.
        with torch.device("meta"):
            shapes = build_network(changed, n_classes).eval()
        network = _runnable(changed, n_classes) if seconds else shapes
        padded = -(-size // 32) * 32
        rows.append(
            {
                "stride": stride,
                "cells": (padded // stride) ** 2,
                "macs": count_macs(shapes, image),
                "params": sum(p.numel() for p in shapes.parameters()),
                "seconds": _best_time(network, image) if seconds else None,
                "peak_mib": round(peak_mib(shapes, image), 2),
            }
        )
        encoder, encoder_shapes = network.encoder, shapes.encoder
    return {
        "strides": rows,
        "encoder_only": {
            "macs": count_macs(encoder_shapes, image),
            "seconds": _best_time(encoder, image) if seconds else None,
        },
    }


def _runnable(config: NetworkConfig, n_classes: int) -> Network:
    network = build_network(config, n_classes)
    network.to(memory_format=torch.channels_last)
    return network.eval()


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


def _best_time(network: nn.Module, image: Tensor) -> float:
    times = []
    with torch.inference_mode():
        network(image)
        for _ in range(_RUNS):
            start = time.perf_counter()
            network(image)
            times.append(time.perf_counter() - start)
    return round(min(times), 5)
