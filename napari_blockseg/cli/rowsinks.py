"""Predictions into files, as their rows are finished."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from napari_blockseg.files.masks import MaskIds, mask_path
from napari_blockseg.files.rowfiles import PngRows, TiffRows, open_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.images import ImageInfo
    from napari_blockseg.learn.predict import PredictedRows


class MaskFiles:
    """The mask of an image, and its probabilities where they are asked for.

    They appear at their places when the ``with`` block ends without an error.

    Parameters
    ----------
    path : Path
        Of the mask; TIFF or PNG by its suffix.
    classes : sequence of ClassInfo
        Of the model.
    like : ImageInfo
        The image.
    probabilities : Path, optional
        A TIFF for (leading..., classes, rows, cols) float16.
    """

    def __init__(
        self,
        path: Path,
        classes: Sequence[ClassInfo],
        like: ImageInfo,
        probabilities: Path | None = None,
    ) -> None:
        shape = like.spatial_shape
        self._ids, self._n_classes = MaskIds(classes), len(classes)
        path = mask_path(path, len(shape), like)
        self._mask: TiffRows | PngRows = open_rows(path, shape, self._ids.dtype, like)
        self._chances: TiffRows | None = None
        if probabilities is not None:
            full = (*shape[:-2], len(classes), *shape[-2:])
            tags = {"photometric": "minisblack", "metadata": None}
            self._chances = TiffRows(probabilities, full, "float16", tags)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._mask)
        if self._chances is not None:
            self._stack.enter_context(self._chances)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, at)

    def plane(self, number: int) -> PlaneSink:
        """Return where the rows of a plane go; planes are counted along the leading axes."""
        return PlaneSink(self._ids, self._mask, self._chances, number, self._n_classes)


class PlaneSink:
    """Writes the rows of one plane; a ``RowSink`` of :mod:`napari_blockseg.learn.predict`."""

    def __init__(
        self,
        ids: MaskIds,
        mask: TiffRows | PngRows,
        chances: TiffRows | None,
        number: int,
        n_classes: int,
    ) -> None:
        self._ids, self._mask, self._chances = ids, mask, chances
        self._number = number
        self._pages = range(number * n_classes, (number + 1) * n_classes)

    def begin(self, shape: tuple[int, int], dtype: Any) -> None:
        """Start the plane, from its first row."""
        self._mask.begin(self._number)
        for page in self._pages if self._chances is not None else ():
            self._chances.begin(page)  # type: ignore[union-attr]

    def put(self, rows: PredictedRows) -> None:
        """Write the next rows."""
        self._mask.put(self._ids.of(rows.mask), self._number)
        if self._chances is not None and rows.probabilities is not None:
            for page, values in zip(self._pages, rows.probabilities, strict=True):
                self._chances.put(values, page)
