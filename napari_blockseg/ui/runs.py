"""What models a project folder holds, read without torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from napari_blockseg.core.config import NetworkConfig, TrainConfig

if TYPE_CHECKING:
    from pathlib import Path


C = TypeVar("C", NetworkConfig, TrainConfig)


@dataclass(frozen=True)
class RunInfo:
    """One run: its name, its held-out mIoU if known, how it was trained, if it can go on."""

    name: str
    val_miou: float | None = None
    resumable: bool = False
    network: NetworkConfig | None = None
    train: TrainConfig | None = None


def run_title(name: str) -> str:
    """Return the name of a run as one reads it: its day and time where the name holds them.

    Examples
    --------
    >>> run_title("20261122-130812-ab3f")
    '11-22 13:08:12'
    >>> run_title("final")
    'final'
    """
    found = re.fullmatch(r"\d{4}(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)-\w+", name)
    return "{}-{} {}:{}:{}".format(*found.groups()) if found else name


def list_runs(models: Path) -> list[RunInfo]:
    """Return the runs under a project's models folder that hold a model, newest first.

    A run whose description cannot be read is listed without its score: the worker says what is
    wrong with it when it is used.
    """
    if not models.is_dir():
        return []
    weights = [path for path in models.glob("*/model.safetensors") if path.is_file()]
    weights.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [_run_info(path.parent) for path in weights]


def _run_info(folder: Path) -> RunInfo:
    description = _description(folder)
    train = _config(TrainConfig, description.get("train"))
    return RunInfo(
        folder.name,
        _score(description),
        any(folder.glob("resume.*")) and not _is_over(description, train),
        _config(NetworkConfig, description.get("network")),
        train,
    )


def _is_over(description: dict[str, Any], train: TrainConfig | None) -> bool:
    """Whether a run has had all the steps or minutes that it was given."""
    if train is None:
        return False
    steps, seconds = description.get("steps") or 0, description.get("seconds") or 0.0
    if train.minutes is not None:
        return seconds >= 60 * train.minutes
    return steps >= (train.total_steps or 0)


def _description(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _config(kind: type[C], values: Any) -> C | None:
    try:
        return kind.model_validate(values)
    except ValidationError:
        return None


def _score(description: dict[str, Any]) -> float | None:
    value = description.get("val_miou")
    return float(value) if isinstance(value, (int, float)) else None
