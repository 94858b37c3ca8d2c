"""What models a project folder holds, read without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class RunInfo:
    """One run: its name, its held-out mIoU if known, whether it can be trained further."""

    name: str
    val_miou: float | None
    resumable: bool


def list_runs(models: Path) -> list[RunInfo]:
    """Return the runs under a project's models folder that hold a model, newest first.

    A run whose description cannot be read is listed without its score: the worker says what is
    wrong with it when it is used.
    """
    if not models.is_dir():
        return []
    weights = [path for path in models.glob("*/model.safetensors") if path.is_file()]
    weights.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [
        RunInfo(
            path.parent.name,
            _score(_description(path.parent)),
            any(path.parent.glob("resume.*")),
        )
        for path in weights
    ]


def _description(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _score(description: dict[str, Any]) -> float | None:
    value = description.get("val_miou")
    return float(value) if isinstance(value, (int, float)) else None
