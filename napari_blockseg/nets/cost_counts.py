"""What a pass of a network holds and does, counted from shapes alone."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


def count_macs(network: nn.Module, image: Tensor) -> int:
    """Return the multiply-adds of one forward pass (convolutions and matrix products)."""
    shapes, image = on_meta(network, image)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shapes(image)
    # torch counts a multiply-add as two operations.
    return int(counter.get_total_flops()) // 2


def on_meta(network: nn.Module, image: Tensor) -> tuple[nn.Module, Tensor]:
    """Return both without values: shapes are all that counting needs, and cost nothing."""
    if not all(parameter.is_meta for parameter in network.parameters()):
        network = copy.deepcopy(network).to("meta")
    return network, image.to("meta")


def peak_mib(network: nn.Module, image: Tensor) -> float:
    """Return the most memory that weights and activations hold at once, in MiB."""
    weights = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    shapes, image = on_meta(network, image)
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
