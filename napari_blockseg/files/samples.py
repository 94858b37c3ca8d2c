"""The samples that come with the package: real images, dense masks, painted block labels."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.errors import ProjectError
from napari_blockseg.files.blocklabels import SUFFIX, read_block_labels
from napari_blockseg.files.masks import find_classes_json
from napari_blockseg.files.project import Project

_TITLES = {
    "textures": "Grass, gravel and brick (photographs)",
    "nuclei": "Cell nuclei (fluorescence microscopy)",
}
_BLOCKS = {"textures": 8, "nuclei": 4}


@dataclass(frozen=True)
class Sample:
    """One bundled sample.

    ``train_images`` have painted block labels (``block_labels``, by image stem) and dense masks
    in ``train_masks_dir``; ``test_images`` show other parts of the scene, with dense masks in
    ``test_masks_dir``. Masks have a ``classes.json`` in a folder above.
    """

    name: str
    title: str
    block: int
    classes: tuple[ClassInfo, ...]
    train_images: tuple[Path, ...]
    test_images: tuple[Path, ...]
    train_masks_dir: Path
    test_masks_dir: Path
    block_labels: dict[str, Path]


def samples() -> tuple[Sample, ...]:
    """Return the bundled samples.

    Raises
    ------
    ProjectError
        If the package was installed without them.
    """
    folder = _samples_folder()
    return tuple(_sample(folder / name, title) for name, title in _TITLES.items())


def sample(name: str) -> Sample:
    """Return one sample by name.

    Raises
    ------
    ProjectError
        If there is none of that name.
    """
    if name not in _TITLES:
        raise ProjectError(f'There is no sample "{name}"; choose {" or ".join(_TITLES)}.')
    return _sample(_samples_folder() / name, _TITLES[name])


def sample_project(dest: Path | str, name: str = "textures") -> Project:
    """Unpack a sample into a new project: its training images, with the painted block labels.

    Parameters
    ----------
    dest : path
        The project folder. Must not exist.
    name : str
        Name of the sample.

    Returns
    -------
    Project
        Open for writing. Its images lie in its own ``images`` folder.

    Raises
    ------
    ProjectError
        If there is no such sample, or `dest` exists.
    """
    chosen = sample(name)
    project = Project.create(dest, [], chosen.classes, chosen.block)
    folder = project.root / "images"
    folder.mkdir()
    copies = [folder / path.name for path in chosen.train_images]
    for path, copy in zip(chosen.train_images, copies, strict=True):
        shutil.copyfile(path, copy)
    for image_id in project.add_images(copies):
        labels, _ = read_block_labels(chosen.block_labels[image_id])
        project.save_labels(image_id, labels, op="sample")
    return project


def _samples_folder() -> Path:
    installed = resources.files("napari_blockseg").joinpath("sample_data")
    # A checkout that is used without being installed has them beside the package.
    for place in (Path(str(installed)), Path(__file__).parents[2] / "sample_data"):
        if (place / "textures" / "classes.json").is_file():
            return place
    raise ProjectError(
        f"The sample images are missing (looked in {installed}). Install napari-blockseg again."
    )


def _sample(folder: Path, title: str) -> Sample:
    labels = sorted((folder / "labels").glob(f"*{SUFFIX}"))
    return Sample(
        name=folder.name,
        title=title,
        block=_BLOCKS[folder.name],
        classes=find_classes_json(folder).classes,
        train_images=tuple(sorted((folder / "images" / "train").iterdir())),
        test_images=tuple(sorted((folder / "images" / "test").iterdir())),
        train_masks_dir=folder / "masks" / "train",
        test_masks_dir=folder / "masks" / "test",
        block_labels={path.name.removesuffix(SUFFIX): path for path in labels},
    )
