"""Small choices of the user that outlive a session, such as the kind of an axis."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import platformdirs

from napari_blockseg.core.atomic import write_json

_LOG = logging.getLogger(__name__)


def choices_file() -> Path:
    """Return where the choices are kept."""
    return Path(platformdirs.user_config_dir("napari-blockseg", appauthor=False)) / "choices.json"


def recall(name: str, default: Any) -> Any:
    """Return what was remembered under a name; the default if nothing of its type was."""
    value = _choices().get(name, default)
    return value if type(value) is type(default) else default


def remember(name: str, value: Any) -> None:
    """Keep a choice; where it cannot be written it holds for this session only."""
    path = choices_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {**_choices(), name: value})
    except OSError as error:
        _LOG.warning("the choice %s could not be kept: %s", name, error)


def _choices() -> dict[str, Any]:
    try:
        found = json.loads(choices_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
