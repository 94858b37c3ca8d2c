"""What each layer of a network does in one pass: multiply-adds, bytes moved, and how long it took.

A layer is one operation of torch that makes a tensor; views are free and left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

Kind = Literal["dense", "pointwise", "depthwise", "dilated", "resize", "move"]
KINDS: tuple[Kind, ...] = ("dense", "pointwise", "depthwise", "dilated", "resize", "move")
#: Depthwise kernels that look further than so many cells to a side fall out of the CPU library's
#: fast code (its blocks are as wide) and take about thirteen times as long per multiply-add: 5 x 5
#: with dilation 4 does, with dilation 2 does not.
FAST_REACH = 6


@dataclass(frozen=True)
class Layer:
    """One operation.

    Parameters
    ----------
    module : str
        Name of the module it belongs to.
    operation : str
        As torch calls it.
    kind : str
        What its time depends on: "dense" (convolutions over several channels and pixels, matrix
        products), "pointwise" (1x1), "depthwise" (one channel at a time), "dilated" (depthwise
        and dilated so far that a kernel reaches over more than `FAST_REACH` cells to a side:
        libraries have slower code for it), "resize" (interpolation), "move" (all else: sums,
        activations, pooling, concatenation).
    macs : int
        Multiply-adds.
    moved : int
        Bytes of everything it reads and writes, weights included, each once.
    seconds : float
        How long it took; 0 where only shapes went through.
    """

    module: str
    operation: str
    kind: Kind
    macs: int
    moved: int
    seconds: float = 0.0


def clock() -> float:
    """Return seconds: CPU time where one thread computes, else what the wall clock says.

    On one thread both are the same on a quiet machine, and the first is not disturbed by others.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


def trace_layers(network: nn.Module, image: Tensor) -> list[Layer]:
    """Return the layers of one forward pass, in order, with their times."""
    recorder = _Recorder()
    # In inference mode composite operations come as one, and theirs are not counted.
    with torch.no_grad(), _module_names(network, recorder), recorder:
        network(image)
    return recorder.layers


def with_shortest_times(runs: list[list[Layer]]) -> list[Layer]:
    """Return the layers of several equal passes with the shortest of their times."""
    return [
        replace(same[0], seconds=min(layer.seconds for layer in same))
        for same in zip(*runs, strict=True)
    ]


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[Layer] = []
        self.names = [""]

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        start = clock()
        result = func(*args, **(kwargs or {}))
        seconds = clock() - start
        if not func.is_view and any(isinstance(item, Tensor) for item in tree_leaves(result)):
            self.layers.append(
                Layer(
                    self.names[-1],
                    func.overloadpacket.__name__,
                    _kind(func, args),
                    _macs(func, args, kwargs or {}, result),
                    sum(_bytes(item) for item in tree_leaves((args, result))),
                    seconds,
                )
            )
        return result


def _bytes(item: Any) -> int:
    return item.numel() * item.element_size() if isinstance(item, Tensor) else 0


def _macs(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    count = flop_registry.get(func.overloadpacket)
    # torch counts a multiply-add as two operations.
    return 0 if count is None else int(count(*args, **kwargs, out_val=result)) // 2


def _kind(func: Any, args: tuple[Any, ...]) -> Kind:
    name = func.overloadpacket.__name__
    if "conv" in name:
        weight: Tensor = args[1]
        if weight.shape[1] == 1 and weight.shape[0] > 1:
            reach = max((k - 1) * d // 2 for k, d in zip(weight.shape[2:], args[5], strict=True))
            return "dilated" if reach > FAST_REACH else "depthwise"
        return "pointwise" if weight.shape[2:].numel() == 1 else "dense"
    if name in ("mm", "addmm", "bmm", "baddbmm"):
        return "dense"
    return "resize" if "upsample" in name else "move"


@contextmanager
def _module_names(network: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Keep the name of the module that runs on top of the recorder's stack."""

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: recorder.names.append(name)

    def leave(*_: Any) -> None:
        recorder.names.pop()

    hooks = []
    for name, module in network.named_modules():
        hooks += [
            module.register_forward_pre_hook(enter(name)),
            module.register_forward_hook(leave),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
