"""What napari calls by itself: readers, the writer, the samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QTimer

from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.blocklabels import SUFFIX as LABELS_SUFFIX
from napari_blockseg.files.blocklabels import read_block_labels, write_block_labels
from napari_blockseg.files.project import Project
from napari_blockseg.files.samples import sample_project
from napari_blockseg.ui.geometry import block_to_pixel
from napari_blockseg.ui.image_layer import layer_of_image
from napari_blockseg.ui.new_project import SUFFIX as PROJECT_SUFFIX
from napari_blockseg.ui.new_project import free_root, unsaved_folder

if TYPE_CHECKING:
    from napari_blockseg.ui.dock import BlockSegDock

LayerTuple = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[Any]]
PLUGIN, WIDGET = "napari-blockseg", "Block segmentation"


def get_block_labels_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of ``*.blocks.tif`` files, None when it is for something else."""
    paths = [path] if isinstance(path, str) else list(path)
    return _read_labels if all(p.lower().endswith(LABELS_SUFFIX) for p in paths) else None


def get_project_reader(path: str | list[str]) -> Reader | None:
    """Return the reader of ``*.blockseg`` folders, None when it is for something else."""
    paths = [path] if isinstance(path, str) else list(path)
    one = Path(paths[0])
    is_project = one.suffix.lower() == PROJECT_SUFFIX and one.is_dir()
    return _read_project if len(paths) == 1 and is_project else None


def write_block_labels_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write a labels layer as block labels.

    Parameters
    ----------
    path : str
        Where; the suffix ``.blocks.tif`` is added when it is missing.
    data : (..., rows, cols) int array
        The layer's array. A layer that is not on a block grid is taken as pixel labels (block 1).
    attributes : dict
        The layer's state.

    Returns
    -------
    list of str
        The file that was written.
    """
    target = path if path.lower().endswith(LABELS_SUFFIX) else f"{path}{LABELS_SUFFIX}"
    values = np.asarray(data)
    geometry = attributes.get("metadata", {}).get("blockseg")
    grid = BlockGrid(values.shape, 1) if geometry is None else BlockGrid.from_dict(geometry)
    write_block_labels(target, BlockLabels(grid, values))
    return [target]


def sample_textures() -> list[LayerTuple]:
    """Return the first image of the sample "textures", and open its project in the dock."""
    return _open_sample("textures")


def sample_nuclei() -> list[LayerTuple]:
    """Return the first image of the sample "nuclei", and open its project in the dock."""
    return _open_sample("nuclei")


def dock_of(viewer: napari.Viewer) -> BlockSegDock:
    """Return the dock of a viewer, which is opened where there is none yet."""
    _, dock = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return dock


def _read_labels(path: str | list[str]) -> list[LayerTuple]:
    paths = [path] if isinstance(path, str) else list(path)
    return [_labels_tuple(Path(p)) for p in paths]


def _labels_tuple(path: Path) -> LayerTuple:
    labels, _ = read_block_labels(path)
    attributes = {
        "name": path.name.removesuffix(LABELS_SUFFIX),
        "affine": block_to_pixel(labels.grid),
        "opacity": 0.55,
        "metadata": {"blockseg": labels.grid.to_dict()},
    }
    return np.array(labels.values), attributes, "labels"


def _read_project(path: str | list[str]) -> list[Any]:
    root = Path(path if isinstance(path, str) else path[0])
    viewer = napari.current_viewer()
    if viewer is not None:
        _show_project(viewer, root)
        return [(None,)]  # napari's way to say: read, and there is no layer to add
    with Project.open(root) as project:
        return _layers(project)


def _open_sample(name: str) -> list[LayerTuple]:
    with sample_project(free_root(unsaved_folder(), f"sample-{name}"), name) as project:
        layers = _layers(project)
    viewer = napari.current_viewer()
    if viewer is None:
        return layers
    # napari insists on a layer from a sample; the session takes it over by the path it names
    _show_project(viewer, project.root)
    return layers[:1]


def _layers(project: Project) -> list[LayerTuple]:
    image_id = project.image_ids[0]
    labels = project.load_labels(image_id)
    image = layer_of_image(image_id, project.load_image(image_id))
    attributes = {
        "name": f"{image_id} blocks",
        "affine": block_to_pixel(labels.grid),
        "metadata": {"blockseg": labels.grid.to_dict()},
    }
    return [image, (np.array(labels.values), attributes, "labels")]


def _show_project(viewer: napari.Viewer, root: Path) -> None:
    # napari is still busy with opening: the dock comes when it is done
    QTimer.singleShot(0, lambda: dock_of(viewer).session.open_project(root))
