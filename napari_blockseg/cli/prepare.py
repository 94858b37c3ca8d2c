"""``blockseg new`` and ``blockseg simulate``: a project, and block labels from dense masks."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.command import WrongValue
from napari_blockseg.cli.console import progress, save_json, say, table, warn
from napari_blockseg.cli.options import Axes, JsonFile

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.simulate import SimulateDone


class Policy(StrEnum):
    """How a block gets its class from a dense mask."""

    majority = "majority"
    pure = "pure"


def new(
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="Folder to create; it must not exist yet.")
    ],
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
    axes: Axes = None,
    json: JsonFile = None,
) -> None:
    """Create a project from images and class names."""
    if not images:
        raise typer.BadParameter("give at least one image or folder: --images DIR|FILE...")
    if (classes is None) == (classes_json is None):
        raise typer.BadParameter("give the classes either as --classes or as --classes-json")
    for word in more or ():
        if not Path(word).exists():
            raise WrongValue(
                f"Got {word}, which is no file or folder. Images stand behind --images; class "
                "names are separated by commas: --classes A,B,C."
            )
    from napari_blockseg.files.project import Project

    chosen = read_classes(classes, classes_json)
    paths = [Path(path) for path in (*images, *(more or []))]
    with Project.create(Path(project), paths, chosen, block=block, axes=axes) as made:
        ids, skipped = made.image_ids, made.skipped
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


def read_classes(names: str | None, path: str | None) -> tuple[ClassInfo, ...]:
    """Return the classes that ``--classes`` or ``--classes-json`` names."""
    if names is not None:
        from napari_blockseg.core.classes import make_classes

        return make_classes([name for name in names.split(",") if name.strip()])
    from napari_blockseg.files.masks import read_classes_json

    return tuple(read_classes_json(Path(str(path))).classes)


# -- simulate ------------------------------------------------------------------------------------


def simulate(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="The project to label.")],
    masks: Annotated[str, typer.Option("--masks", metavar="DIR", help="Dense masks.")],
    fraction: Annotated[
        float,
        typer.Option(
            "--fraction", min=0.0, max=1.0, help="Share of the labelable blocks to label."
        ),
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
    if fraction == 0:
        raise typer.BadParameter("--fraction must be above 0")
    done = paint(Path(project), Path(masks), fraction, policy.value, seed, force)
    say(table(["class", "blocks"], [[name, str(n)] for name, n in done.classes.items()]))
    say(
        f"Labelled {done.painted_blocks} of {done.labelable_blocks} labelable blocks in "
        f"{done.images} images."
    )
    for count, what in (
        (done.kept_blocks, "blocks kept the label they had (--force replaces them)"),
        (done.images_without_mask, "images have no mask and stay as they are"),
        (done.masks_without_image, "masks have no image in the project and were passed over"),
    ):
        if count:
            say(f"{count} {what}.")
    if done.void_classes:
        warn(f"not a class of the project, so taken as void: {', '.join(done.void_classes)}")
    save_json(None if json is None else Path(json), asdict(done))


def paint(
    project: Path, masks: Path, fraction: float, policy: Any, seed: int, force: bool
) -> SimulateDone:
    """Label a project's blocks from dense masks, with progress; return what was done."""
    from napari_blockseg.files.project import Project
    from napari_blockseg.files.simulate import simulate_project

    with Project.open(project, write=True) as opened, progress("labelling") as advance:
        steps = simulate_project(opened, masks, fraction, policy, seed, force)
        while True:
            try:
                report = next(steps)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            advance(report.done / report.total, report.what)
