"""Where findings come from: dense masks are measured, block labels are estimated from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_blockseg.cli.console import progress
from napari_blockseg.cli.spectrum.findings import Findings
from napari_blockseg.core.errors import BlockSegError, LabelError, ProjectError

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project


@dataclass(frozen=True)
class Masks:
    """Dense masks that are read when they are needed, one at a time."""

    names: Sequence[str]
    read: Callable[[int], Any]


def study(target: Path) -> Findings:
    """Return the findings for a project or for a folder of masks.

    Raises
    ------
    ProjectError, LabelError
        If it is neither, or holds nothing to look at.
    """
    if (target / "project.json").exists():
        from napari_blockseg.files.project import Project

        with Project.open(target) as project:
            return study_project(project)
    if target.is_dir():
        return study_masks(target)
    raise ProjectError(f"Got {target}; expected a project or a folder of masks. Check the path.")


def study_masks(folder: Path) -> Findings:
    """Measure ceilings and label spectrum of the dense masks of a folder."""
    from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask

    _, paths = match_masks((), folder)
    class_table = find_classes_json(folder)
    masks = Masks([path.stem for path in paths], lambda i: read_mask(paths[i], class_table))
    return measure(masks, class_table.classes)


def study_project(project: Project) -> Findings:
    """Estimate from a project's block labels; measure when its blocks are single pixels."""
    from napari_blockseg.cli.loading import nothing_labelled

    labels = {image_id: project.load_labels(image_id) for image_id in project.image_ids}
    painted = {image_id: item for image_id, item in labels.items() if item.n_labelled}
    if not painted:
        raise nothing_labelled(project.root)
    if project.block == 1:
        items = list(painted.values())
        masks = Masks(list(painted), lambda i: items[i].to_mask())
        return measure(masks, project.classes)

    def pixels(image_id: str) -> Any:
        try:
            return project.load_image(image_id).pixels
        except BlockSegError:
            return None  # a picture less in the report; the labels say all the rest

    return estimate(
        list(painted.values()),
        project.classes,
        skipped=len(labels) - len(painted),
        names=list(painted),
        pixels=pixels,
    )


# -- dense masks ---------------------------------------------------------------------------------


def measure(masks: Masks, classes: Sequence[ClassInfo]) -> Findings:
    """Measure the ceilings and the spectrum of dense masks.

    Parameters
    ----------
    masks : Masks
        Each is (..., rows, cols); every plane counts as an image.
    classes : sequence of ClassInfo
        1..K.

    Raises
    ------
    LabelError
        If no mask can be used.
    """
    from napari_blockseg.cli.spectrum.curves import DenseCurve
    from napari_blockseg.cli.spectrum.examples import Choice, mask_example
    from napari_blockseg.core.advice import recommend
    from napari_blockseg.core.ceilings import CeilingTable

    total = len(masks.names)
    shapes = [masks.read(i).shape[-2:] for i in range(total)]
    blocks, notes = block_sizes(shapes)
    ceilings, curve = CeilingTable(len(classes), blocks), DenseCurve(len(classes), blocks[-1])
    choice = Choice(total)
    with progress("measuring") as advance:
        for i in range(total):
            mask = masks.read(i)
            for number, plane in enumerate(mask.reshape(-1, *mask.shape[-2:])):
                if ceilings.add(plane):
                    curve.add(plane)
                    choice.offer(i, number, plane)
            advance((i + 1) / total, f"{i + 1} of {total} masks")
    if not ceilings.images:
        raise LabelError(
            f"All {ceilings.skipped} masks were skipped: they are smaller than "
            f"{ceilings.blocks[-1]} pixels, or void everywhere. Ceilings need larger ones."
        )
    rows = ceilings.rows()
    return Findings(
        classes=classes,
        rows=rows,
        advice=recommend(rows, [info.name for info in classes]),
        images=ceilings.images,
        skipped=ceilings.skipped,
        pixels_used=ceilings.pixels_used,
        curve=curve.result(),
        plane_shape=_typical(shapes),
        examples=[mask_example(masks.names[i], plane, classes, blocks) for i, plane in choice.best],
        notes=notes,
    )


def block_sizes(shapes: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], list[str]]:
    """Return the block sizes to look at for masks of these shapes, and what to say about it.

    Raises
    ------
    LabelError
        If most masks are too small for blocks of 2 pixels.
    """
    from napari_blockseg.core.ceilings import BLOCKS

    sides = sorted(min(shape[-2:]) for shape in shapes)
    # Every mask is cut to multiples of the largest size: one that most cannot hold helps nobody.
    blocks = tuple(block for block in BLOCKS if block <= sides[len(sides) // 2])
    if not blocks:
        raise LabelError(
            f"Most of the {len(shapes)} masks are smaller than {BLOCKS[0]} pixels; expected label "
            "images. Check the folder."
        )
    missing = [str(block) for block in BLOCKS if block not in blocks]
    if not missing:
        return blocks, []
    return blocks, [
        f"Most masks are smaller than {missing[0]} pixels on a side, so blocks of "
        f"{' and '.join(missing)} pixels were left out."
    ]


def _typical(shapes: Sequence[tuple[int, ...]]) -> tuple[int, int]:
    rows, cols = sorted(shapes, key=lambda shape: shape[-2] * shape[-1])[len(shapes) // 2][-2:]
    return int(rows), int(cols)


# -- block labels --------------------------------------------------------------------------------


def estimate(
    painted: Sequence[BlockLabels],
    classes: Sequence[ClassInfo],
    skipped: int,
    names: Sequence[str] = (),
    pixels: Callable[[str], Any] = lambda name: None,
) -> Findings:
    """Estimate ceilings from block labels, which may have holes; all at one block size.

    Parameters
    ----------
    painted : sequence of BlockLabels
        At least one, with paint.
    classes : sequence of ClassInfo
        1..K.
    skipped : int
        Images without paint.
    names : sequence of str
        Of the images, for the examples.
    pixels : callable
        Gives an image's (..., rows, cols, channels) array by name, or None.
    """
    import numpy as np

    from napari_blockseg.cli.spectrum.curves import block_curve
    from napari_blockseg.cli.spectrum.examples import painted_example
    from napari_blockseg.core.advice import estimate_ceilings, recommend

    rows = list(estimate_ceilings(painted, len(classes)))
    areas = [np.sum((item.values > 0) * item.grid.block_areas()) for item in painted]
    example = painted_example(painted, names, classes, pixels) if names else None
    return Findings(
        classes=classes,
        rows=rows,
        advice=recommend(rows, [info.name for info in classes]),
        images=len(painted),
        skipped=skipped,
        pixels_used=int(sum(areas)),
        curve=block_curve(painted, len(classes)),
        plane_shape=_typical([item.grid.image_shape for item in painted]),
        block=painted[0].grid.block,
        examples=() if example is None else (example,),
    )
