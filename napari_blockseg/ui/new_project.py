"""How a project comes about by itself when someone paints on an image that has none."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from platformdirs import user_data_path

from napari_blockseg.core.classes import ClassInfo, make_classes
from napari_blockseg.core.errors import BlockSegError, ImageError
from napari_blockseg.files.images import inspect_image
from napari_blockseg.files.project import Project
from napari_blockseg.files.spec import read_spec, stored_path, write_spec

if TYPE_CHECKING:
    from napari.layers import Image

SUFFIX = ".blockseg"
ASK_ABOVE_BYTES = 500 * 2**20
_BLOCKS_ACROSS = 32


def unsaved_folder() -> Path:
    """Return the folder in the user's data folder that holds projects nobody has named yet."""
    return user_data_path("napari-blockseg", appauthor=False) / "unsaved"


def unsaved_projects() -> list[Path]:
    """Return the projects in :func:`unsaved_folder`, the one painted last first."""
    found = [p.parent for p in unsaved_folder().glob(f"*{SUFFIX}/project.json")]
    return sorted(found, key=_last_change, reverse=True)


def default_classes() -> tuple[ClassInfo, ...]:
    """Return the classes of a project that makes itself."""
    return make_classes(["object", "background"])


def default_block(shape: Sequence[int]) -> int:
    """Return a block size (a power of two, 2 to 32) that puts about 32 blocks on the short side.

    Parameters
    ----------
    shape : sequence of int
        Of the image; the last two are rows and columns.

    Examples
    --------
    >>> default_block((512, 768)), default_block((3000, 4000)), default_block((40, 40))
    (16, 32, 2)
    """
    per_block = max(min(shape[-2:]) / _BLOCKS_ACROSS, 1)
    return int(np.clip(2 ** int(np.log2(per_block)), 2, 32))


@dataclass(frozen=True)
class LayerImage:
    """An image layer, read on the GUI thread, ready to become a project on the disk thread.

    ``pixels`` is its array (not a copy), ``path`` the file that napari says it came from.
    """

    name: str
    path: Path | None
    pixels: Any
    rgb: bool
    spatial_shape: tuple[int, ...]
    pixel_size: tuple[float, float]

    @classmethod
    def of(cls, layer: Image) -> LayerImage:
        """Describe a layer.

        Raises
        ------
        ImageError
            If it is not one 2-D plane, grey or RGB.
        """
        pixels = layer.data[0] if layer.multiscale else layer.data
        if layer.ndim != 2:
            raise ImageError(
                f'The layer "{layer.name}" has {layer.ndim} axes; blocks are painted on 2-D images '
                "for now. Take one plane of it (right-click, Split Stack), or add its planes as "
                "files to a project with `blockseg new`."
            )
        path = layer.source.path
        return cls(
            name=layer.name,
            path=Path(path) if path and Path(path).is_file() else None,
            pixels=pixels,
            rgb=layer.rgb,
            spatial_shape=tuple(int(n) for n in pixels.shape[:2]),
            pixel_size=(float(layer.scale[-2]), float(layer.scale[-1])),
        )

    @property
    def nbytes(self) -> int:
        """Size of the array, in bytes."""
        return int(np.prod(self.pixels.shape)) * np.dtype(self.pixels.dtype).itemsize

    def readable_path(self) -> Path | None:
        """Return the file when this package reads the same image from it, else None."""
        if self.path is None:
            return None
        try:
            info = inspect_image(self.path)
        except (BlockSegError, OSError):
            return None
        same = tuple(info.spatial_shape) == self.spatial_shape
        return self.path if same and (info.n_channels > 1) == self.rgb else None


def free_root(folder: Path, name: str) -> Path:
    """Return the path of a new project in a folder: the name, today's date, a number if needed."""
    name = f"{name}-{datetime.now():%Y-%m-%d}"
    root = folder / f"{name}{SUFFIX}"
    for number in range(2, 10_000):
        if not root.exists():
            return root
        root = folder / f"{name}-{number}{SUFFIX}"
    raise BlockSegError(f"Got 10,000 projects named {name} in {folder}. Delete or move some.")


def project_for(image: LayerImage) -> Project:
    """Make a project for an image in the user's data folder; runs on the disk thread.

    An image that only napari can read, or that is no file at all, is copied into the project.
    """
    name = image.path.stem if image.path else image.name
    stem = re.sub(r"[^\w.-]+", "_", name).strip("._") or "image"
    root = free_root(unsaved_folder(), stem)
    path = image.readable_path()
    block = default_block(image.spatial_shape)
    project = Project.create(root, [] if path is None else [path], default_classes(), block)
    if path is None:
        project.add_array(stem, np.asarray(image.pixels), "YXC" if image.rgb else "YX")
    return project


def project_of_files(
    root: Path, images: Sequence[Path], classes: tuple[ClassInfo, ...], block: int | None = None
) -> Project:
    """Make a project from image files; without a block size, one that suits the first image."""
    size = block or default_block(inspect_image(images[0]).spatial_shape)
    return Project.create(root, list(images), classes, size)


def moved_project(project: Project, target: Path) -> Project:
    """Close a project, move its folder and open it there; runs on the disk thread.

    Returns
    -------
    Project
        Open for writing.

    Raises
    ------
    BlockSegError
        If `target` exists.
    """
    target = target if target.suffix == SUFFIX else target.with_name(target.name + SUFFIX)
    if target.exists():
        raise BlockSegError(f"{target} exists already. Choose another name.")
    files = {entry.id: project.image_path(entry.id) for entry in project.spec.images}
    inside = {i for i, path in files.items() if path.is_relative_to(project.root.resolve())}
    project.close()
    shutil.move(project.root, target)
    # Also where a file is missing: it may come back to where it was.
    spec = read_spec(target)
    images = [
        entry
        if entry.id in inside
        else entry.model_copy(update={"path": stored_path(target, files[entry.id])})
        for entry in spec.images
    ]
    write_spec(target, spec.model_copy(update={"images": tuple(images)}))
    return Project.open(target, write=True)


def _last_change(root: Path) -> float:
    times = [p.stat().st_mtime for p in root.glob("journal/*.jsonl")]
    return max([*times, (root / "project.json").stat().st_mtime])
