"""Which image files a project takes in, and whether they are still the same later."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_blockseg.core import atomic
from napari_blockseg.core.errors import ImageError, LabelError, ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.files.images import ImageInfo, clean_axes, inspect_image
from napari_blockseg.files.spec import FILE_NAME, ImageEntry, sampled_hash, stored_path, unique_ids

Skipped = list[tuple[Path, str]]


def inspect_all(images: Sequence[Path], axes: str | None) -> tuple[list[ImageInfo], Skipped]:
    """Inspect files and the files of folders.

    Parameters
    ----------
    images : sequence of Path
        Files, which must be readable, and folders, of which unreadable files are skipped. Folders
        below a folder and hidden files are not looked at.
    axes : str, optional
        Axes of all of them, where the files do not say.

    Returns
    -------
    infos : list of ImageInfo
        The readable images, files of a folder in alphabetical order.
    skipped : list of (Path, str)
        The unreadable files of folders, with the reasons.

    Raises
    ------
    ImageError
        If a named file is unreadable, none at all is readable, or `axes` are none.
    """
    clean_axes(axes)  # once, and not as what is wrong with every file
    infos: list[ImageInfo] = []
    skipped: Skipped = []
    for path, named in _candidates(images):
        try:
            infos.append(inspect_image(path, axes))
        except ImageError as error:
            if named:
                raise
            skipped.append((path, str(error)))
    if not infos and len(images):
        # Each says what to do about it.
        reasons = list(dict.fromkeys(reason for _, reason in skipped))[:3]
        none = "there is no file in there. Give a folder with TIFF, PNG or JPEG files."
        raise ImageError(
            f"Got no readable image in {', '.join(map(str, images))}: {' '.join(reasons) or none}"
        )
    return infos, skipped


def _candidates(images: Sequence[Path]) -> list[tuple[Path, bool]]:
    """Return every file once, and whether it was named itself."""
    found: dict[Path, tuple[Path, bool]] = {}
    for given in images:
        inside = sorted(given.iterdir()) if given.is_dir() else [given]
        for path in inside:
            if path is given or not (path.name.startswith(".") or path.is_dir()):
                found.setdefault(path.absolute(), (path, path is given))
    return list(found.values())


def check_block(block: int, infos: Sequence[ImageInfo]) -> None:
    """Make sure that blocks have a size, and that the largest image holds at least one.

    Raises
    ------
    LabelError
        Otherwise.
    """
    BlockGrid((1, 1), block)  # refuses what is no block size
    if not infos:
        return
    rows, cols = max((info.spatial_shape[-2:] for info in infos), key=max)
    if block > max(rows, cols):
        raise LabelError(
            f"Got blocks of {block} pixels; the largest image is {rows} x {cols}. Expected at most "
            f"{max(rows, cols)}: give a smaller block size (--block)."
        )


def make_entries(
    root: Path, infos: Sequence[ImageInfo], axes: str | None, taken: Iterable[str] = ()
) -> list[ImageEntry]:
    """Return the project entries of inspected images; ids do not repeat, nor those of `taken`."""
    ids = unique_ids([info.path for info in infos], taken)
    return [
        make_entry(root, image_id, info, axes) for image_id, info in zip(ids, infos, strict=True)
    ]


def make_entry(root: Path, image_id: str, info: ImageInfo, axes: str | None) -> ImageEntry:
    """Return the project entry of one inspected image."""
    stat = info.path.stat()
    return ImageEntry(
        id=image_id,
        path=stored_path(root, info.path),
        axes=info.axes,
        shape=info.shape,
        spatial_shape=info.spatial_shape,
        n_channels=info.n_channels,
        dtype=info.dtype,
        size=stat.st_size,
        mtime=stat.st_mtime,
        sha=sampled_hash(info.path),
        reader=info.reader,
        given_axes=axes,
    )


def entry_path(root: Path, entry: ImageEntry) -> Path:
    """Return where an image is expected to be (absolute)."""
    # Only folders are resolved: an image that is a link keeps its own name.
    path = root.resolve() / entry.path
    return path.parent.resolve() / path.name


def image_problem(root: Path, entry: ImageEntry) -> str | None:
    """Return what is wrong with the file of an image, with the way out; None when nothing is."""
    path = entry_path(root, entry)
    try:
        stat = path.stat()
        if stat.st_size == entry.size and abs(stat.st_mtime - entry.mtime) < 1e-3:
            return None
        if stat.st_size == entry.size and sampled_hash(path) == entry.sha:
            return None  # copied or touched, not changed
    except (FileNotFoundError, NotADirectoryError):
        return _missing(root, entry, path)
    except OSError as error:
        return f'Image "{entry.id}" at {path} cannot be read: {error}. Check rights and disk.'
    return (
        f'Image "{entry.id}" at {path} has changed since it was added to the project (it had '
        f"{entry.size} bytes, has {stat.st_size}). Put the old file back, or accept the new "
        "content, if its pixels still lie where they did, from Python "
        "(Project.accept_changed_image in napari_blockseg.files.project)."
    )


def require_image(root: Path, entry: ImageEntry) -> Path:
    """Return the path of an image that is there and unchanged.

    Raises
    ------
    ProjectError
        Otherwise, with the way out.
    """
    problem = image_problem(root, entry)
    if problem is not None:
        raise ProjectError(problem)
    return entry_path(root, entry)


def check_shape(entry: ImageEntry, info: ImageInfo) -> None:
    """Make sure that another file can stand in for an image.

    Raises
    ------
    ProjectError
        If rows, columns or leading axes differ: its labels would not fit.
    """
    if info.spatial_shape != entry.spatial_shape:
        raise ProjectError(
            f'{info.path} has shape {info.spatial_shape}; image "{entry.id}" has '
            f"{entry.spatial_shape}, and its labels belong to that. Add the file as a new image."
        )


def write_array(path: Path, array: NDArray[Any], axes: str) -> None:
    """Write an array as a TIFF that says what its axes are.

    Parameters
    ----------
    path : Path
        Replaced atomically.
    array : array
        Numbers; bool becomes 0 and 255.
    axes : str
        Letters out of TZCYX, one an axis.

    Raises
    ------
    ImageError
        If `axes` does not fit the array.
    """
    letters = axes.upper().replace("S", "C")
    values = np.asarray(array)
    if values.ndim != len(letters) or len(set(letters)) != len(letters):
        raise ImageError(
            f'Got an array of shape {values.shape} with axes "{axes}"; give one letter an axis, '
            "for instance YX or YXC."
        )
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    rgb = letters.endswith("C") and values.shape[-1] in (3, 4)
    if "C" in letters and not rgb:
        values = np.moveaxis(values, letters.index("C"), -3)
        rest = letters.replace("C", "")
        letters = f"{rest[:-2]}C{rest[-2:]}"
    with atomic.replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            values,
            photometric="rgb" if rgb else "minisblack",
            planarconfig="contig" if rgb else None,
            metadata={"axes": letters[:-1] + "S" if rgb else letters},
        )


def _missing(root: Path, entry: ImageEntry, path: Path) -> str:
    found = _look_around(root, entry, path.name)
    hint = f" A file with the same content is at {found}." if found else ""
    return (
        f'Image "{entry.id}" is not at {path}. Put it, or a link to it, back there, or change its '
        f'"path" in {root / FILE_NAME} (with slashes).{hint} Its labels are kept.'
    )


def _look_around(root: Path, entry: ImageEntry, name: str) -> Path | None:
    """Look for a moved image in the project folder, its images/ and the folder around it."""
    for folder in (root, root / "images", root.parent, root.parent / "images"):
        candidate = folder / name
        try:
            same = candidate.stat().st_size == entry.size and sampled_hash(candidate) == entry.sha
        except OSError:
            continue
        if same:
            return candidate
    return None
