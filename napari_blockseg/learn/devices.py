"""Where the network runs, and in what precision and memory layout."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

from napari_blockseg.core.errors import NetworkError


def pick_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "mps".

    Raises
    ------
    NetworkError
        If this machine has no such device.
    """
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, there in found.items() if there), "cpu")
    if not found.get(name, name == "cpu"):
        raise NetworkError(
            f"Got device {name!r}, which this machine (or this build of torch) does not have. "
            "Use --device auto or cpu."
        )
    return torch.device(name)


def available_devices() -> list[str]:
    """Return the devices of this machine, the best first."""
    devices = ["cuda"] if torch.cuda.is_available() else []
    devices += ["mps"] if torch.backends.mps.is_available() else []
    return [*devices, "cpu"]


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return the type of mixed precision on this device, or None for plain float32."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return the autocast context of this device; on CPU and MPS it does nothing."""
    dtype = half_precision(device)
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device (or the machine) has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def free_memory(device: torch.device) -> None:
    """Give cached blocks back to the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
