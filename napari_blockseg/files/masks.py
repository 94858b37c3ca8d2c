"""Dense masks from elsewhere and for elsewhere: label images beside a ``classes.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from napari_blockseg.core import atomic
from napari_blockseg.core.classes import MAX_CLASSES, ClassInfo, default_color, make_classes
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import label_dtype
from napari_blockseg.files.images import ImageInfo
from napari_blockseg.files.spec import image_stem
from napari_blockseg.files.tiff import DAMAGE, series_values

IntArray = NDArray[np.integer[Any]]
CLASSES_FILE = "classes.json"
_IGNORE_ID = 255
_FOLDERS_ABOVE = 3
_SUFFIXES = (".png", ".tif", ".tiff")
_FORMAT = '{"classes": [{"id": 0, "name": "sky", "color": [70, 130, 180]}], "ignore_id": 255}'


@dataclass(frozen=True)
class ClassTable:
    """What the values of label images mean.

    ``classes`` have values 1..K in the order of the file, and its ids as ``id``. ``ignore_id``
    marks void pixels; None when every value is a class. ``path``: where that is said.
    """

    classes: tuple[ClassInfo, ...]
    ignore_id: int | None = _IGNORE_ID
    path: Path | None = None

    @property
    def names(self) -> list[str]:
        """Names of the classes, in order."""
        return [one.name for one in self.classes]


def class_table(classes: Sequence[ClassInfo], path: Path | None = None) -> ClassTable:
    """Return the table under which masks of these classes are exported.

    Void is 255, or 65535 or 0 where 255 is the id of a class.
    """
    ids = {one.export_id for one in classes}
    free = [one for one in (_IGNORE_ID, MAX_CLASSES, 0) if one not in ids]
    return ClassTable(tuple(classes), free[0] if free else None, path)


def find_classes_json(folder: Path | str) -> ClassTable:
    """Read the ``classes.json`` of a folder of masks.

    Parameters
    ----------
    folder : path
        Looked for there and in up to three folders above.

    Raises
    ------
    LabelError
        If there is none, or it is not of the form
        ``{"classes": [{"id": 0, "name": "sky", "color": [r, g, b]}, ...], "ignore_id": 255}``.
    """
    folder = Path(folder).absolute()
    for place in [folder, *folder.parents][: _FOLDERS_ABOVE + 1]:
        if (place / CLASSES_FILE).is_file():
            return read_classes_json(place / CLASSES_FILE)
    raise LabelError(
        f"There is no {CLASSES_FILE} in {folder} or up to {_FOLDERS_ABOVE} folders above. Write "
        f"one: {_FORMAT}."
    )


def read_classes_json(path: Path | str) -> ClassTable:
    """Read one ``classes.json``; ``color`` may be missing, other keys are allowed.

    Raises
    ------
    LabelError
        As :func:`find_classes_json`.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        rows = content["classes"]
        classes = tuple(_class_info(i, row) for i, row in enumerate(rows))
        ignore = content.get("ignore_id", _IGNORE_ID)
        if ignore is not None and (isinstance(ignore, bool) or not isinstance(ignore, int)):
            raise ValueError(f'"ignore_id" is {ignore!r}, not a number')
    except FileNotFoundError as error:
        raise LabelError(
            f"{path} does not exist. Check the path, or write one: {_FORMAT}."
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise LabelError(f"{path} cannot be used: {what}. Expected {_FORMAT}; mend it.") from error
    ids = [one.export_id for one in classes]
    make_classes([one.name for one in classes])  # refuses none, empty and repeated names
    if len(set(ids)) != len(ids):
        raise LabelError(f"{path} gives an id to two classes ({sorted(ids)}); make them differ.")
    if ignore in ids and "ignore_id" not in content:
        ignore = None
    if ignore in ids:
        raise LabelError(
            f"{path} uses {ignore} for void (ignore_id) and for a class; make them differ."
        )
    return ClassTable(classes, ignore, path)


def write_classes_json(folder: Path | str, classes: Sequence[ClassInfo]) -> Path:
    """Write the ``classes.json`` that belongs to masks of :func:`write_mask`; return its path."""
    table = class_table(classes)
    rows = [{"id": one.export_id, "name": one.name, "color": list(one.color)} for one in classes]
    path = Path(folder) / CLASSES_FILE
    atomic.write_json(path, {"classes": rows, "ignore_id": table.ignore_id})
    return path


def match_masks(stems: Iterable[str], folder: Path | str) -> tuple[dict[str, Path], list[Path]]:
    """Find the masks of images by file stem.

    Parameters
    ----------
    stems : iterable of str
        Stems of the image files, or image ids.
    folder : path
        Holds PNG or TIFF label images.

    Returns
    -------
    matched : dict of str to Path
        The mask of every stem that has one.
    unmatched : list of Path
        Masks without an image.

    Raises
    ------
    LabelError
        If there is no such folder, no mask in it, or two masks of one stem.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LabelError(f"{folder} is not a folder; give the folder with the label images.")
    masks: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        stem = image_stem(path)
        if stem in masks:
            raise LabelError(f"{masks[stem]} and {path} are masks of one image; remove one.")
        masks[stem] = path
    if not masks:
        raise LabelError(f"There is no label image (PNG, TIFF) in {folder}. Check the folder.")
    wanted = set(stems)
    matched = {stem: path for stem, path in masks.items() if stem in wanted}
    return matched, [path for stem, path in masks.items() if stem not in wanted]


def read_mask(
    path: Path | str,
    table: ClassTable,
    classes: Sequence[ClassInfo] | None = None,
    shape: tuple[int, ...] | None = None,
) -> IntArray:
    """Read a label image as a dense mask.

    Parameters
    ----------
    path : path
        A single-channel PNG or TIFF; of a palette image the indices count.
    table : ClassTable
        What its values mean.
    classes : sequence of ClassInfo, optional
        Give the values of these classes, matched by NAME. Pixels of other classes become void.
    shape : tuple of int, optional
        What it must have.

    Returns
    -------
    (..., rows, cols) int array
        0 = void, else values of `classes` (of the table's classes without them).

    Raises
    ------
    LabelError
        If it is no label image, of another shape, or holds values that are neither an id nor
        ``ignore_id``: the message lists them.
    """
    path = Path(path)
    ids = _read_label_image(path)
    if shape is not None and ids.shape != tuple(shape):
        raise LabelError(
            f"The mask {path} has shape {ids.shape}; its image has {tuple(shape)}. They must be "
            "equal: check that they belong together."
        )
    lookup = _lookup(table, classes)
    void = ids == table.ignore_id
    ids = np.where(void, table.classes[0].export_id, ids)  # so that void may be any number
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) > MAX_CLASSES):
        raise LabelError(f"{path} has values {ids.min()} to {ids.max()}; expected class ids.")
    values = np.where(void, 0, lookup[ids])
    if (values < 0).any():
        unknown = np.unique(ids[values < 0]).tolist()
        more = " ..." if len(unknown) > 10 else ""
        raise LabelError(
            f"{path} has values that are no class id: {', '.join(map(str, unknown[:10]))}{more}. "
            f"{table.path or CLASSES_FILE} knows {[one.export_id for one in table.classes]} and "
            f"{table.ignore_id} for void. Add the classes, or mend the mask."
        )
    top = int(lookup.max(initial=0))
    dense: IntArray = values.astype(np.uint8 if top <= 255 else np.uint16)
    return dense


def common_classes(
    table: ClassTable,
    classes: Sequence[ClassInfo],
    of_table: str = "masks know",
    of_classes: str = "project has",
) -> list[str]:
    """Return the names that a table and a class list share.

    Parameters
    ----------
    table : ClassTable
        What one side knows.
    classes : sequence of ClassInfo
        What the other side knows.
    of_table, of_classes : str
        What the error calls them, each with its verb.

    Raises
    ------
    LabelError
        If they share none.
    """
    names = [one.name for one in classes if one.name in table.names]
    if not names:
        raise LabelError(
            f"The {of_table} the classes {', '.join(table.names)}; the {of_classes} "
            f"{', '.join(one.name for one in classes)}. Classes match by name: rename them."
        )
    return names


def write_mask(
    path: Path | str,
    mask: IntArray,
    classes: Sequence[ClassInfo],
    like: ImageInfo | None = None,
) -> Path:
    """Write a dense mask as a label image with the classes' ids.

    Parameters
    ----------
    path : path
        With or without suffix. Where it does not end in .png, .tif or .tiff, one is added: .tif
        when `like` is a TIFF or the mask has more than two axes, .png otherwise.
    mask : (..., rows, cols) int array
        0 = void (written as the table's ``ignore_id``), 1..K.
    classes : sequence of ClassInfo
        1..K. Their ids are written, their values where they have none.
    like : ImageInfo, optional
        The image: a TIFF mask gets its pixel size and unit.

    Returns
    -------
    Path
        The file written: 8-bit where the ids allow it, else 16-bit.

    Raises
    ------
    LabelError
        If the mask has a value that is no class, or a stack is to become a PNG.
    """
    mask = np.asarray(mask)
    target = mask_path(Path(path), mask.ndim, like)
    _write_label_image(target, MaskIds(classes).of(mask), like)
    return target


class MaskIds:
    """The ids that masks of some classes (1..K) are written with; 0 becomes that of void."""

    def __init__(self, classes: Sequence[ClassInfo]) -> None:
        self._void = class_table(classes).ignore_id
        ids = [_IGNORE_ID if self._void is None else self._void]
        ids += [one.export_id for one in classes]
        self._lookup: IntArray = np.array(ids, np.uint8 if max(ids) <= 255 else np.uint16)
        self.dtype = self._lookup.dtype

    def of(self, mask: IntArray) -> IntArray:
        """Return a mask, or a part of one, with ids in place of values.

        Raises
        ------
        LabelError
            If it has a value that is no class.
        """
        top = int(mask.max(initial=0))
        if top >= len(self._lookup) or int(mask.min(initial=0)) < 0:
            raise LabelError(f"Got mask value {top}; expected 0 (void) to {len(self._lookup) - 1}.")
        if self._void is None and (mask == 0).any():
            raise LabelError("Every value from 0 to 65535 is a class: void cannot be written.")
        ids: IntArray = self._lookup[mask]
        return ids


def write_values(path: Path | str, mask: IntArray) -> None:
    """Write a dense mask with the project's own values (``predictions/RUN/IMAGE_ID.tif``)."""
    values = np.asarray(mask)
    _write_label_image(Path(path), values.astype(label_dtype(values)), None)


def read_values(path: Path | str) -> IntArray:
    """Read a dense mask of :func:`write_values`.

    Raises
    ------
    LabelError
        If the file is missing or damaged.
    """
    return _read_label_image(Path(path))


def _class_info(index: int, row: dict[str, Any]) -> ClassInfo:
    color = row.get("color") or default_color(index)
    if isinstance(row["id"], bool) or not isinstance(row["id"], int):
        raise ValueError(f"id {row['id']!r} is not a whole number")
    return ClassInfo(value=index + 1, name=str(row["name"]), color=tuple(color), id=row["id"])


def _lookup(table: ClassTable, classes: Sequence[ClassInfo] | None) -> NDArray[np.int32]:
    """Return the dense value of every id; -1 for those that mean nothing."""
    lookup = np.full(MAX_CLASSES + 1, -1, np.int32)
    values = {one.name: one.value for one in (table.classes if classes is None else classes)}
    for one in table.classes:
        lookup[one.export_id] = values.get(one.name, 0)
    return lookup


def _read_label_image(path: Path) -> IntArray:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as tiff:
                series = tiff.series[0]
                values = series_values(path, series)
                colored = "S" in series.axes
        else:
            with Image.open(path) as picture:
                values = np.asarray(picture)
                colored = values.ndim > 2
    except FileNotFoundError as error:
        raise LabelError(f"There is no mask at {path}. Check the path.") from error
    except (*DAMAGE, SyntaxError) as error:
        raise LabelError(f"The mask {path} cannot be read: {error}. Save it again.") from error
    if colored or values.ndim < 2:
        raise LabelError(
            f"{path} is a color picture (shape {values.shape}); expected a label image with one "
            "channel whose values are class ids. Convert its colors to ids."
        )
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if not np.issubdtype(values.dtype, np.integer):
        raise LabelError(f"{path} holds {values.dtype}; expected whole numbers (class ids).")
    native: IntArray = values.astype(values.dtype.newbyteorder("="))
    return native


def mask_path(path: Path, ndim: int, like: ImageInfo | None) -> Path:
    """Return where :func:`write_mask` writes a mask of so many axes."""
    if path.suffix.lower() not in _SUFFIXES:
        tiff = ndim > 2 or (like is not None and like.reader == "tifffile")
        return path.with_name(path.name + (".tif" if tiff else ".png"))
    if ndim > 2 and path.suffix.lower() == ".png":
        raise LabelError(f"A stack cannot become {path}; give a name that ends in .tif.")
    return path


def _write_label_image(path: Path, values: NDArray[Any], like: ImageInfo | None) -> None:
    with atomic.replacing(path) as temporary:
        if path.suffix.lower() == ".png":
            Image.fromarray(values).save(temporary)
        else:
            tifffile.imwrite(temporary, values, compression="zlib", **tiff_tags(values.shape, like))


def tiff_tags(shape: tuple[int, ...], like: ImageInfo | None) -> dict[str, Any]:
    """Return what ``tifffile.imwrite`` is told of a mask, beside its compression."""
    tags: dict[str, Any] = {"photometric": "minisblack"}
    axes = "YX"
    if like is not None and shape == like.spatial_shape:
        axes = "".join(letter for letter in like.axes if letter in "TZ") + "YX"
    tags["metadata"] = {"axes": axes} if len(axes) == len(shape) else {}
    if like is None or like.pixel_size is None:
        return tags
    tags["resolution"] = (1.0 / like.pixel_size[1], 1.0 / like.pixel_size[0])
    if like.unit in ("inch", "cm"):
        tags["resolutionunit"] = {"inch": 2, "cm": 3}[like.unit]
        return tags
    # Micrometers and the like have no TIFF tag; ImageJ's description is what programs understand.
    return {**tags, "imagej": True, "metadata": {**tags["metadata"], "unit": like.unit}}
