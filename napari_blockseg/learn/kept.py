"""Checkpoints that a training keeps for its analysis: the network at its start and early on.

The end is the model itself. ``checkpoints/MOMENT.safetensors`` hold the running mean of the
weights, under the keys of ``model.safetensors``; ``checkpoints/checkpoints.json`` says of which
step each is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from napari_blockseg.core.atomic import write_json
from napari_blockseg.core.errors import ModelError
from napari_blockseg.learn.checkpoint import save_tensors

FOLDER = "checkpoints"
INDEX_FILE = "checkpoints.json"
MOMENTS = ("start", "early")
#: Share of the run after which it is no longer early.
EARLY = 0.1


@dataclass(frozen=True)
class KeptCheckpoint:
    """Weights of one moment of training: after how many steps, and in which file."""

    moment: str
    step: int
    path: Path


class CheckpointKeeper:
    """Keeps the checkpoints of one run as it passes their moments.

    Parameters
    ----------
    folder : Path
        The model's.
    wanted : bool
        Whether to keep any.
    fresh : bool
        Whether the run begins here: a run that is resumed keeps the start it had.
    """

    def __init__(self, folder: Path, wanted: bool, *, fresh: bool) -> None:
        self._folder = folder
        self._wanted = wanted
        self._fresh = fresh

    def before_training(self, network: nn.Module) -> None:
        """Keep the start, and forget what an earlier run kept in this folder."""
        if self._fresh:
            for path in (_index(self._folder), *(_path(self._folder, one) for one in MOMENTS)):
                path.unlink(missing_ok=True)
            self._keep("start", 0, network)

    def after_step(self, before: float, after: float, step: int, network: nn.Module) -> None:
        """Keep what is early, after the step that passes :data:`EARLY`.

        Parameters
        ----------
        before, after : float
            The share of the run that is done, before the step and after it.
        step : int
            Steps taken so far.
        network : nn.Module
            The running mean of the weights.
        """
        if before < EARLY <= after:
            self._keep("early", step, network)

    def _keep(self, moment: str, step: int, network: nn.Module) -> None:
        if not self._wanted:
            return
        steps = _read_steps(self._folder)
        # The index goes first and comes last: what it names is whole and of that step.
        if steps.pop(moment, None) is not None:
            _write_steps(self._folder, steps)
        save_tensors(_path(self._folder, moment), network.state_dict())
        _write_steps(self._folder, steps | {moment: step})


def kept_checkpoints(folder: Path) -> list[KeptCheckpoint]:
    """Return what a training kept, the earlier moment first; models from before have none.

    Raises
    ------
    ModelError
        If the index is damaged.
    """
    steps = _read_steps(folder)
    return [
        KeptCheckpoint(moment, steps[moment], _path(folder, moment))
        for moment in MOMENTS
        if moment in steps and _path(folder, moment).is_file()
    ]


def _path(folder: Path, moment: str) -> Path:
    return folder / FOLDER / f"{moment}.safetensors"


def _index(folder: Path) -> Path:
    return folder / FOLDER / INDEX_FILE


def _read_steps(folder: Path) -> dict[str, int]:
    path = _index(folder)
    try:
        values: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return {moment: int(entry["step"]) for moment, entry in values["moments"].items()}
    except FileNotFoundError:
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path} is damaged ({type(error).__name__}); delete the folder {path.parent}: the "
            "model itself does not need it."
        ) from error


def _write_steps(folder: Path, steps: Mapping[str, int]) -> None:
    moments = {moment: {"step": step} for moment, step in steps.items()}
    write_json(_index(folder), {"format_version": 1, "moments": moments})
