"""Masks that a model predicted: values of its own classes, and in the file what these are called.

A project's classes change after a model was trained, and with them what a value means.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_blockseg.core.classes import ClassInfo, present_values
from napari_blockseg.files.masks import read_values

IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PredictedMask:
    """Class values of a model, 0 where nothing was predicted, and what they are called.

    ``names`` is None where that is not known: the values are taken for the project's.
    """

    values: IntArray
    names: Mapping[int, str] | None = None

    def in_values_of(self, classes: Sequence[ClassInfo]) -> IntArray:
        """Return the mask in the values of these classes, 0 where a class is none of them."""
        if self.names is None:
            return self.values
        table = present_values(self.names, classes)
        if np.array_equal(table, np.arange(len(table))):
            return self.values
        found: IntArray = table.astype(np.min_scalar_type(int(table.max())))[self.values]
        return found

    def missing_in(self, classes: Sequence[ClassInfo]) -> list[str]:
        """Return the names of its classes that are none of these, in order."""
        if self.names is None:
            return []
        table = present_values(self.names, classes)
        return [name for value, name in sorted(self.names.items()) if not table[value]]


def class_notes(classes: Sequence[ClassInfo]) -> dict[str, Any]:
    """Return what a predicted mask says of its values, for the description of a TIFF (JSON)."""
    return {"classes": {str(info.value): info.name for info in classes}}


def read_prediction(path: Path | str, model: Path | None = None) -> PredictedMask:
    """Read a mask that the worker wrote.

    Parameters
    ----------
    path : path
        The mask.
    model : Path, optional
        Folder of the model that predicted it, for masks of earlier versions, which do not say what
        their values are called.

    Raises
    ------
    LabelError
        If the mask is missing or damaged.
    """
    values = read_values(path)
    with tifffile.TiffFile(path) as tiff:
        said = tiff.pages.first.description
    names = _names(said)
    if names is None and model is not None:
        names = _names_of_model(model)
    # A table of names is of use only if it names every value there is.
    if names is not None and values.size and int(values.max()) > max(names):
        names = None
    return PredictedMask(values, names)


def _names(description: str) -> dict[int, str] | None:
    try:
        classes = json.loads(description)["classes"]
        return {int(value): str(name) for value, name in classes.items()} or None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _names_of_model(folder: Path) -> dict[int, str] | None:
    try:
        classes = json.loads((folder / "model.json").read_text(encoding="utf-8"))["classes"]
        return {int(one["value"]): str(one["name"]) for one in classes} or None
    except (OSError, ValueError, KeyError, TypeError):
        return None
