"""The files of one prediction, written as its rows are finished."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_blockseg.files.predictions import class_notes
from napari_blockseg.files.rowfiles import TiffRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.learn.predict import PredictedRows


class PredictionFiles:
    """A mask of class values (not export ids), how sure it is, and how many pixels a class has.

    A ``RowSink`` of :mod:`napari_blockseg.learn.predict`. The files are in place when the ``with``
    block ends without an error.

    Parameters
    ----------
    path : Path
        Of the mask, a TIFF.
    uncertainty : Path or None
        Of the uncertainty, where it is asked for.
    classes : sequence of ClassInfo
        Of the model.
    notes : dict
        Written into the files as JSON, with what the values are called.
    """

    def __init__(
        self,
        path: Path,
        uncertainty: Path | None,
        classes: Sequence[ClassInfo],
        notes: dict[str, Any],
    ) -> None:
        self._path, self._unsure_path = path, uncertainty
        self._classes = classes
        self._tags = {
            "photometric": "minisblack",
            "description": json.dumps(notes | class_notes(classes)),
            "metadata": None,
        }
        self._stack = ExitStack()
        self._mask: TiffRows | None = None
        self._unsure: TiffRows | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, at)

    def begin(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        """Start, again if there was a start before."""
        self._counts = np.zeros(max(info.value for info in self._classes) + 1, np.int64)
        if self._mask is None:
            self._mask = self._open(self._path, shape, dtype)
            if self._unsure_path is not None:
                self._unsure = self._open(self._unsure_path, shape, np.dtype(np.float32))
        self._mask.begin()
        if self._unsure is not None:
            self._unsure.begin()

    def _open(self, path: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> TiffRows:
        return self._stack.enter_context(TiffRows(path, shape, dtype, self._tags))

    def put(self, rows: PredictedRows) -> None:
        """Write the next rows."""
        if self._mask is not None:
            self._mask.put(rows.mask)
        if self._unsure is not None and rows.uncertainty is not None:
            self._unsure.put(rows.uncertainty)
        self._counts += np.bincount(rows.mask.ravel(), minlength=len(self._counts))

    @property
    def counts(self) -> dict[str, int]:
        """How many pixels each class has, by name."""
        return {info.name: int(self._counts[info.value]) for info in self._classes}
