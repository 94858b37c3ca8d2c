"""The state of an interrupted run: one safetensors file that is replaced as a whole."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from napari_blockseg.core.atomic import json_text
from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import NetworkConfig, TrainConfig, checked
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.reports import Validation
from napari_blockseg.learn.checkpoint import SPEC_FILE, load_spec, load_weights, save_tensors
from napari_blockseg.learn.holdout import Holdout
from napari_blockseg.learn.optim import load_optimizer_tensors, optimizer_tensors
from napari_blockseg.nets.network import Network

RESUME_FILE = "resume.safetensors"
_FORMAT_VERSION = 1


@dataclass
class TrainState:
    """What changes while training, beside the weights.

    ``tensors`` holds what was read from disk until :meth:`restore` has used it; ``network`` and
    ``scale`` (as in the config) are those of the run that goes on. ``validation`` is the last one;
    ``begun`` says whether the network is ready for its first step.
    """

    step: int
    elapsed: float
    batch_size: int
    rng: np.random.Generator
    torch_rng: Tensor
    holdout: Holdout | None = None
    network: NetworkConfig | None = None
    scale: Any = "auto"
    validation: Validation | None = None
    begun: bool = False
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def fresh(cls, config: TrainConfig) -> TrainState:
        """Return the state of a run that begins."""
        return cls(
            step=0,
            elapsed=0.0,
            batch_size=config.batch_size,
            rng=np.random.default_rng(config.seed),
            torch_rng=torch.Generator().manual_seed(config.seed).get_state(),
        )

    def progress(self, config: TrainConfig) -> float:
        """Return the share of the run that is done, by steps or by time; above 1 when over."""
        steps = config.total_steps
        if steps is not None:
            return self.step / steps
        return self.elapsed / (60 * (config.minutes or 1))

    @contextmanager
    def clock(self) -> Iterator[list[float]]:
        """Add the time of a block of work to what counts as training; pauses do not.

        Yields a list whose only item is, afterwards, the seconds spent.
        """
        start, spent = time.perf_counter(), [0.0]
        try:
            yield spent
        finally:
            spent[0] = time.perf_counter() - start
            self.elapsed += spent[0]

    @contextmanager
    def own_randomness(self) -> Iterator[None]:
        """Use this run's torch generator, whatever others draw from the global one between."""
        others = torch.get_rng_state()
        torch.set_rng_state(self.torch_rng)
        try:
            yield
        finally:
            self.torch_rng = torch.get_rng_state()
            torch.set_rng_state(others)

    def restore(self, network: Network, mean: Network, optimizer: torch.optim.Optimizer) -> None:
        """Put the saved tensors where they belong.

        Raises
        ------
        ModelError
            If they do not fit.
        """
        load_weights(network, _part(self.tensors, "network."), RESUME_FILE)
        load_weights(mean, _part(self.tensors, "mean."), RESUME_FILE)
        load_optimizer_tensors(optimizer, _part(self.tensors, "optimizer."))
        self.tensors = {}


def save_state(
    folder: Path,
    state: TrainState,
    network_config: NetworkConfig,
    config: TrainConfig,
    classes: Sequence[ClassInfo],
    network: Network,
    mean: Network,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write all that a run needs to go on as if never interrupted; no pickle."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"mean.{k}": v for k, v in mean.state_dict().items()}
    tensors |= {f"optimizer.{k}": v for k, v in optimizer_tensors(optimizer).items()}
    tensors["torch_rng"] = state.torch_rng
    about = {
        "format_version": _FORMAT_VERSION,
        "step": state.step,
        "elapsed": state.elapsed,
        "batch_size": state.batch_size,
        "rng": state.rng.bit_generator.state,
        "begun": state.begun,
        "validation": state.validation.model_dump(mode="json") if state.validation else None,
        "holdout": state.holdout.to_dict() if state.holdout else None,
        "network": network_config.model_dump(mode="json"),
        "train": config.model_dump(mode="json"),
        "classes": [info.name for info in classes],
    }
    save_tensors(folder / RESUME_FILE, tensors, {"state": json_text(about)})


def load_state(
    folder: Path, network: NetworkConfig, config: TrainConfig, classes: Sequence[ClassInfo]
) -> TrainState:
    """Read the state of an interrupted run.

    Raises
    ------
    ModelError
        If there is none, it is damaged, or network or classes are not the same.
    """
    path = folder / RESUME_FILE
    if not path.is_file():
        raise ModelError(
            f"Got resume for {str(folder)!r}, which holds no interrupted run ({RESUME_FILE} is "
            "missing). Train without resume."
        )
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            about: dict[str, Any] = json.loads((file.metadata() or {})["state"])
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(
            f"{path} is damaged ({type(error).__name__}); train without resume."
        ) from error
    if about["format_version"] > _FORMAT_VERSION:
        raise ModelError(f"{path} comes from a newer napari-blockseg; update this one.")
    # A run of an older version lacks the fields that came since: they have their defaults. But
    # there was no shortcut then, and what goes on has none either.
    missing = {} if "shortcut" in about["network"] else {"shortcut": False}
    before = checked(NetworkConfig, missing | about["network"])
    network = network.model_copy(update=missing)
    # Whether a stride was given or chosen is all the same; 'auto' goes on with what there is.
    same: dict[str, Any] = {"decoder_stride": before.stride}
    old = before.model_copy(update=same)
    if config.auto_grids == "all":
        same |= {"output_stride": before.output_stride, "network": before.network}
    asked = network if network.decoder_stride != "auto" else network.model_copy(update=same)
    was, now = (one.outright().model_dump(mode="json") for one in (old, asked))
    _check_same("network", was, now, path)
    _check_same("classes", about["classes"], [info.name for info in classes], path)
    rng = np.random.default_rng()
    rng.bit_generator.state = about["rng"]
    return TrainState(
        step=about["step"],
        elapsed=about["elapsed"],
        batch_size=min(about["batch_size"], config.batch_size),
        rng=rng,
        torch_rng=tensors.pop("torch_rng"),
        holdout=_holdout(about["holdout"], folder),
        network=old,
        scale=about["train"].get("scale", "auto"),
        begun=about.get("begun", True),
        validation=_validation(about.get("validation")),
        tensors=tensors,
    )


def _validation(values: dict[str, Any] | None) -> Validation | None:
    return Validation.model_validate(values) if values else None


def _holdout(values: dict[str, Any] | None, folder: Path) -> Holdout | None:
    if not values:
        return None
    found = Holdout.from_dict(values)
    if found.block is None and (folder / SPEC_FILE).is_file():
        # Earlier versions did not say of which block size it was: that of the model.
        found = replace(found, block=load_spec(folder).block)
    return found


def _check_same(what: str, old: Any, new: Any, path: Path) -> None:
    if old != new:
        raise ModelError(
            f"Got another {what} than the interrupted run in {path.parent}: {new}, was {old}. "
            "Resume with the same, or start a new run (--init takes the weights over)."
        )


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
