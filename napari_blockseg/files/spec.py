"""``project.json``: what a project consists of, and how its images are told apart."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_blockseg.core import atomic
from napari_blockseg.core.classes import ClassInfo, make_classes
from napari_blockseg.core.errors import LabelError, ProjectError

FORMAT_VERSION = 1
FILE_NAME = "project.json"
_SAMPLE_BYTES = 1 << 16
_SAMPLES = 8
ClassList = Sequence[ClassInfo] | Sequence[str]


class ImageEntry(BaseModel):
    """One image of a project.

    ``path`` is relative to the project folder where that is possible. ``size``, ``mtime`` and
    ``sha`` (of samples of the content) tell whether the file is still the one that was added.
    ``given_axes`` are the axes a user had to give; None where the file states them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1)
    path: str
    axes: str
    shape: tuple[int, ...]
    spatial_shape: tuple[int, ...] = Field(min_length=2)
    n_channels: int = Field(ge=1)
    dtype: str = "uint8"
    size: int = Field(ge=0)
    mtime: float
    sha: str
    reader: str
    given_axes: str | None = None


class PendingChange(BaseModel):
    """A change of all labels that has begun; a crash leaves it here, opening finishes it.

    ``token`` marks the journal records of images that have been through it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    op: Literal["regrid", "undo", "reclass"]
    token: str
    mapping: dict[int, int] = {}
    restored: int | None = None


class ProjectSpec(BaseModel):
    """What ``project.json`` says."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["blockseg-project"] = "blockseg-project"
    format_version: int = FORMAT_VERSION
    name: str
    classes: tuple[ClassInfo, ...] = Field(min_length=1)
    block: int = Field(ge=1)
    images: tuple[ImageEntry, ...] = ()
    split: dict[str, str] = {}
    block_history: tuple[int, ...] = ()
    pending: PendingChange | None = None


def read_spec(root: Path) -> ProjectSpec:
    """Read ``project.json``.

    Raises
    ------
    ProjectError
        If there is none, or it is damaged or from a newer version; the message names the file
        and the ways out.
    """
    path = root / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ProjectError(
            f"{root} is not a project: it has no {FILE_NAME}. Check the path, or make a project "
            "with `blockseg new`."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    found = re.search(r'"format_version"\s*:\s*(\d+)', text)
    if found and int(found.group(1)) > FORMAT_VERSION:
        raise ProjectError(
            f"{path} has format version {found.group(1)}; this napari-blockseg reads up to "
            f"{FORMAT_VERSION}. Upgrade napari-blockseg to open it; nothing was changed."
        )
    try:
        return ProjectSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"{where}: {first['msg']}" if where else first["msg"]) from error


def write_spec(root: Path, spec: ProjectSpec) -> None:
    """Write ``project.json`` atomically."""
    atomic.write_json(root / FILE_NAME, spec.model_dump(mode="json"))


def image_stem(path: Path | str) -> str:
    """Return the name by which images and masks match: without suffix, also without ".ome".

    Examples
    --------
    >>> image_stem("plate_1.ome.tif"), image_stem("a.b.png")
    ('plate_1', 'a.b')
    """
    stem = Path(path).stem
    return stem[:-4] if stem.lower().endswith(".ome") and len(stem) > 4 else stem


def unique_ids(paths: Sequence[Path], taken: Iterable[str] = ()) -> list[str]:
    """Return one image id a path: its stem, with the folder's name or a number where it repeats.

    Ids differ in more than case, because they become file names.

    Parameters
    ----------
    paths : sequence of Path
        The images.
    taken : iterable of str
        Ids that exist already; they stay as they are.

    Examples
    --------
    >>> unique_ids([Path("a/1.png"), Path("b/1.png"), Path("b/2.png")])
    ['1', 'b_1', '2']
    """
    used = {one.casefold() for one in taken}
    ids = []
    for path in paths:
        stem = image_stem(path).strip() or "image"
        candidates = [stem, f"{path.absolute().parent.name}_{stem}"]
        number = 2
        while candidates[0].casefold() in used:
            candidates.pop(0)
            if not candidates:
                candidates = [f"{stem}_{number}"]
                number += 1
        ids.append(candidates[0])
        used.add(candidates[0].casefold())
    return ids


def sampled_hash(path: Path) -> str:
    """Return the SHA-256 of a file's size and of eight samples of its content.

    Files up to 512 KiB are hashed whole. Takes milliseconds for files of any size.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as handle:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            digest.update(handle.read())
        else:
            for i in range(_SAMPLES):
                handle.seek((size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
                digest.update(handle.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def stored_path(root: Path, path: Path) -> str:
    """Return `path` relative to the project folder, with slashes; absolute on another drive."""
    # Only the folder is resolved: a linked file keeps its own name.
    absolute = path.parent.resolve() / path.name
    try:
        return Path(os.path.relpath(absolute, root.resolve())).as_posix()
    except ValueError:
        return absolute.as_posix()


def _damaged(path: Path, why: str) -> ProjectError:
    return ProjectError(
        f"{path} is damaged: {why}. Put a backup in its place, or mend it (it is plain JSON). The "
        f"block labels in {path.parent / 'labels'} are plain TIFFs and can be opened without it; "
        "`blockseg new` makes a new project to copy them into."
    )


def checked_classes(classes: ClassList) -> tuple[ClassInfo, ...]:
    """Return classes as a project keeps them: values 1..K in order, different names.

    Raises
    ------
    LabelError
        If they are not.
    """
    if any(isinstance(one, str) for one in classes):
        return make_classes([str(one) for one in classes])
    known = tuple(one for one in classes if isinstance(one, ClassInfo))
    make_classes([one.name for one in known])  # refuses none, empty and repeated names
    if [one.value for one in known] != list(range(1, len(known) + 1)):
        raise LabelError(
            f"Got class values {[one.value for one in known]}; expected 1 to {len(known)} in order."
        )
    return known


def make_folder(root: Path, spec: ProjectSpec) -> None:
    """Make a project folder.

    Raises
    ------
    ProjectError
        If that cannot be done.
    """
    # Made aside and renamed: a project folder is there whole or not at all.
    aside = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        aside.mkdir(parents=True)
        for name in ("labels", "journal", "models", "predictions"):
            (aside / name).mkdir()
        write_spec(aside, spec)
        aside.rename(root)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise ProjectError(f"{root} cannot be made: {error}. Choose another folder.") from error


def clean_up(root: Path) -> None:
    """Remove what a killed process left half written."""
    for folder in (root, root / "labels", root / "journal", root / "images"):
        for path in folder.glob(".*.tmp*"):
            if path.is_file() and not path.name.startswith(".lock"):
                path.unlink(missing_ok=True)
