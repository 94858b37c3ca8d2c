"""``blockseg new`` and ``blockseg simulate``: a project, and block labels from dense masks."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import progress, save_json, say, table, warn
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.core.errors import BlockSegError, ImageError, LabelError, ProjectError

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project

_HIDDEN_SUFFIXES = {".json", ".txt", ".md", ".csv", ".xml", ".db", ".ini"}


class Policy(StrEnum):
    """How a block gets its class from a dense mask."""

    majority = "majority"
    pure = "pure"


def new(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Folder to create; it must not exist yet.")],
    more: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--images", metavar="DIR|FILE...", help="A folder of images, or images."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="A,B,C", help="Names of the classes.")
    ] = None,
    classes_json: Annotated[
        str | None,
        typer.Option("--classes-json", metavar="FILE", help="Classes from a classes.json instead."),
    ] = None,
    block: Annotated[
        int, typer.Option("--block", min=1, metavar="N", help="Block size in pixels; 1 = pixels.")
    ] = 16,
    axes: Annotated[
        str | None,
        typer.Option("--axes", metavar="YX|YXC|...", help="Axes of the images, if they don't say."),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Create a project from images and class names."""
    if not images:
        raise typer.BadParameter("give at least one image or folder: --images DIR|FILE...")
    if (classes is None) == (classes_json is None):
        raise typer.BadParameter("give the classes either as --classes or as --classes-json")
    paths, skipped = gather_images([*images, *(more or [])], axes)
    chosen = read_classes(classes, classes_json)
    from napari_blockseg.files.project import Project

    with Project.create(Path(project), paths, chosen, block=block, axes=axes) as made:
        skipped += [(Path(path), reason) for path, reason in made.skipped]
        ids = list(made.image_ids)
    for path, reason in skipped:
        warn(f"skipped {path}: {reason}")
    names = ", ".join(info.name for info in chosen)
    say(f"Created {project}: {len(ids)} images, blocks of {block} pixels, classes {names}.")
    result = {
        "project": project,
        "images": ids,
        "skipped": [str(path) for path, _ in skipped],
        "block": block,
        "classes": [info.name for info in chosen],
    }
    save_json(None if json is None else Path(json), result)


def gather_images(
    given: Sequence[str], axes: str | None = None
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Return the readable images among files and folders, and what was skipped in folders.

    Raises
    ------
    ImageError
        If a file named explicitly cannot be read, or nothing can.
    """
    from napari_blockseg.files.images import inspect_image

    readable: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for path in map(Path, given):
        if not path.is_dir():
            inspect_image(path, axes)
            readable.append(path)
            continue
        for file in sorted(path.iterdir()):
            if file.is_dir() or file.name.startswith(".") or file.suffix in _HIDDEN_SUFFIXES:
                continue
            try:
                inspect_image(file, axes)
            except (BlockSegError, OSError) as error:
                skipped.append((file, str(error)))
            else:
                readable.append(file)
    if not readable:
        reasons = "".join(f" {file.name}: {reason}" for file, reason in skipped[:3])
        raise ImageError(f"Found no image to read in {', '.join(map(str, given))}.{reasons}")
    return readable, skipped


def read_classes(names: str | None, path: str | None) -> tuple[ClassInfo, ...]:
    """Return the classes that ``--classes`` or ``--classes-json`` names."""
    if names is not None:
        from napari_blockseg.core.classes import make_classes

        made = make_classes([name for name in names.split(",") if name.strip()])
        return tuple(info.model_copy(update={"id": info.value}) for info in made)
    from napari_blockseg.files.masks import read_classes_json

    return tuple(read_classes_json(Path(str(path))).classes)


# -- simulate ------------------------------------------------------------------------------------


def simulate(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The project to label.")],
    masks: Annotated[str, typer.Option("--masks", metavar="DIR", help="Dense masks.")],
    fraction: Annotated[
        float,
        typer.Option("--fraction", min=0.0, max=1.0, help="Share of the labelable blocks to label."),
    ] = 1.0,
    policy: Annotated[
        Policy, typer.Option("--policy", help="Majority of each block, or only pure blocks.")
    ] = Policy.majority,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the choice of blocks.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace block labels that exist.")
    ] = False,
    json: JsonFile = None,
) -> None:
    """Label blocks as an annotator would, from dense masks."""
    from napari_blockseg.files.project import Project

    with Project.open(Path(project), write=True) as opened:
        result = label_from_masks(opened, Path(masks), fraction, policy.value, seed, force)
        names = [info.name for info in opened.classes]
    say(table(["class", "blocks"], [[name, str(result["classes"][name])] for name in names]))
    say(
        f"Labelled {result['blocks']} of {result['labelable']} blocks in {result['images']} images."
    )
    if result["kept"]:
        say(f"{result['kept']} images kept the labels they had; --force replaces them.")
    save_json(None if json is None else Path(json), result)


def label_from_masks(
    project: Project, masks: Path, fraction: float, policy: Any, seed: int, force: bool
) -> dict[str, Any]:
    """Label a project's blocks from dense masks and return what was done.

    Raises
    ------
    LabelError
        If no mask matches an image, or a mask does not fit its image.
    ProjectError
        If labels exist everywhere and `force` is not given.
    """
    import numpy as np

    from napari_blockseg.core.labels import diff

    wanted, counted = _block_labels(project, masks, policy)
    old = {image_id: project.load_labels(image_id) for image_id in wanted}
    kept = [image_id for image_id in wanted if old[image_id].n_labelled and not force]
    new = {image_id: item for image_id, item in wanted.items() if image_id not in kept}
    if not new:
        raise ProjectError(
            f"All {len(kept)} images with a mask have block labels already. Give --force to "
            "replace them."
        )
    chosen = _choose(new, fraction, seed)
    totals = np.zeros(len(project.classes) + 1, np.int64)
    with progress("labelling") as advance:
        for done, (image_id, values) in enumerate(chosen.items(), start=1):
            labels = new[image_id].with_values(values)
            _record(project, image_id, diff(old[image_id].values, labels.values))
            project.save_labels(image_id, labels)
            totals += labels.counts(len(project.classes))
            advance(done / len(chosen), f"{done} of {len(chosen)} images")
    return {
        "images": len(new),
        "kept": len(kept),
        "masks_without_image": counted,
        "labelable": int(sum(item.n_labelled for item in new.values())),
        "blocks": int(totals[1:].sum()),
        "classes": {info.name: int(totals[info.value]) for info in project.classes},
    }


def _block_labels(
    project: Project, folder: Path, policy: Any
) -> tuple[dict[str, BlockLabels], int]:
    """Return the labels that the masks give, by image, and how many masks have no image."""
    from napari_blockseg.cli.scoring import translation
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.masks import ClassTable, find_classes_json, match_masks, read_mask

    if not folder.is_dir():
        raise LabelError(f"Got {folder}; expected a folder of masks. Check the path.")
    foreign = find_classes_json(folder)
    translate = translation(foreign, ClassTable(classes=project.classes, ignore_id=None))
    pairs, without_image = match_masks(list(project.image_ids), folder)
    if not pairs:
        raise LabelError(
            f"No mask in {folder} has the name of an image of the project "
            f"({', '.join(list(project.image_ids)[:3])}, ...). Masks match by file name."
        )
    if without_image:
        say(f"{len(without_image)} masks have no image in the project and are passed over.")
    found = {}
    for image_id, path in pairs.items():
        mask = translate[read_mask(path, foreign)]
        expected = tuple(project.entry(image_id).spatial_shape)
        if mask.shape != expected:
            raise LabelError(
                f"Mask {path} has shape {mask.shape}, image {image_id!r} has {expected}. "
                "They must be equal; check that they belong together."
            )
        found[image_id] = BlockLabels.from_mask(mask, project.block, len(project.classes), policy)
    return found, len(without_image)


def _choose(wanted: dict[str, BlockLabels], fraction: float, seed: int) -> dict[str, Any]:
    """Keep a random share of all labelable blocks, uniform over the project."""
    import numpy as np

    flat = np.concatenate([item.values.ravel() for item in wanted.values()])
    labelable = np.flatnonzero(flat)
    n_kept = round(fraction * labelable.size)
    kept = np.random.default_rng(seed).permutation(labelable)[:n_kept]
    result = np.zeros_like(flat)
    result[kept] = flat[kept]
    ends = np.cumsum([item.values.size for item in wanted.values()])[:-1]
    return {
        image_id: part.reshape(wanted[image_id].values.shape)
        for image_id, part in zip(wanted, np.split(result, ends), strict=True)
    }


def _record(project: Project, image_id: str, changes: Any) -> None:
    if len(changes):
        project.record(image_id, changes, "simulate")
