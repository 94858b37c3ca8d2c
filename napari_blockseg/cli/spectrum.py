"""``blockseg spectrum``: label spectra and ceilings, measured on masks or estimated from blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import number, progress, save_json, say, table
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.core.errors import LabelError, ProjectError

if TYPE_CHECKING:
    from napari_blockseg.core.advice import Advice, EstimatedCeiling
    from napari_blockseg.core.ceilings import Ceiling
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project


@dataclass(frozen=True)
class Findings:
    """What is known about a set of labels.

    Attributes
    ----------
    classes : sequence of ClassInfo
        In order of value.
    rows : list
        One `Ceiling` (measured) or `EstimatedCeiling` a block size, finest first.
    advice : Advice
        The block size to paint at.
    images, skipped, pixels_used : int
        What it rests on.
    curve : tuple
        (cutoffs, (K, n) energy) of the label spectrum, cycles per pixel and shares.
    block : int or None
        Block size of the labels it was estimated from; None: measured on dense masks.
    """

    classes: Sequence[ClassInfo]
    rows: list[Any]
    advice: Advice
    images: int
    skipped: int
    pixels_used: int
    curve: tuple[Any, Any]
    block: int | None = None
    owned: dict[str, int] = field(default_factory=dict)


def spectrum(
    target: Annotated[
        str,
        typer.Argument(metavar="PROJECT|MASKS_DIR", help="A project, or a folder of dense masks."),
    ],
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="DIR", help="Write a plot and the numbers there."),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Say which block size the labels need."""
    findings = study(Path(target))
    say(describe(findings))
    if report is not None:
        from napari_blockseg.cli.pictures import draw_spectrum

        path = draw_spectrum(findings, Path(report) / "spectrum.png")
        save_json(Path(report) / "spectrum.json", to_json(findings))
        say(f"Wrote {path}.")
    save_json(None if json is None else Path(json), to_json(findings))


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


# -- dense masks ---------------------------------------------------------------------------------


def study_masks(folder: Path) -> Findings:
    """Measure ceilings and label spectrum of the dense masks of a folder."""
    from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask

    class_table = find_classes_json(folder)
    _, paths = match_masks((), folder)
    masks = (read_mask(path, class_table) for path in paths)
    return _measure(masks, class_table.classes, len(paths))


def _measure(masks: Iterator[Any], classes: Sequence[ClassInfo], total: int) -> Findings:
    import numpy as np

    from napari_blockseg.core.advice import recommend
    from napari_blockseg.core.ceilings import CeilingTable

    ceilings = CeilingTable(len(classes))
    with progress("measuring") as advance:
        for done, mask in enumerate(masks, start=1):
            for plane in mask.reshape(-1, *mask.shape[-2:]):
                ceilings.add(plane)
            advance(done / total, f"{done} of {total} masks")
    if not ceilings.images:
        raise LabelError(
            f"All {ceilings.skipped} masks were skipped: they are smaller than "
            f"{ceilings.blocks[-1]} pixels, or void everywhere. Ceilings need larger ones."
        )
    rows = ceilings.rows()
    energy = np.stack([row.class_energy for row in reversed(rows)], axis=1)
    return Findings(
        classes=classes,
        rows=rows,
        advice=recommend(rows, [info.name for info in classes]),
        images=ceilings.images,
        skipped=ceilings.skipped,
        pixels_used=ceilings.pixels_used,
        curve=(np.array([0.5 / row.block for row in reversed(rows)]), energy),
    )


# -- block labels --------------------------------------------------------------------------------


def study_project(project: Project) -> Findings:
    """Estimate from a project's block labels; measure when its blocks are single pixels."""
    labels = {image_id: project.load_labels(image_id) for image_id in project.image_ids}
    painted = [item for item in labels.values() if item.n_labelled]
    if not painted:
        raise LabelError(
            f"No block of {project.root} is labelled. Paint some (blockseg annotate), or fill them "
            "from masks (blockseg simulate)."
        )
    if project.block == 1:
        return _measure((item.to_mask() for item in painted), project.classes, len(painted))
    return estimate(painted, project.classes, skipped=len(labels) - len(painted))


def estimate(
    painted: Sequence[BlockLabels], classes: Sequence[ClassInfo], skipped: int
) -> Findings:
    """Estimate ceilings from block labels, which may have holes; all at one block size."""
    import numpy as np

    from napari_blockseg.core.advice import estimate_ceilings, recommend

    block = painted[0].grid.block
    rows = estimate_ceilings(painted, len(classes))
    counts = np.sum([item.counts(len(classes)) for item in painted], axis=0)
    areas = [np.sum((item.values > 0) * item.grid.block_areas()) for item in painted]
    return Findings(
        classes=classes,
        rows=list(rows),
        advice=recommend(rows, [info.name for info in classes]),
        images=len(painted),
        skipped=skipped,
        pixels_used=int(sum(areas)),
        curve=mean_spectrum(painted, len(classes)),
        block=block,
        owned={info.name: int(counts[info.value]) for info in classes},
    )


def mean_spectrum(painted: Sequence[BlockLabels], n_classes: int) -> tuple[Any, Any]:
    """Return (cutoffs, (K, n) energy): label spectra averaged over images by labelled blocks."""
    import numpy as np

    from napari_blockseg.core.spectrum import default_cutoffs, label_spectrum

    cutoffs = default_cutoffs(painted[0].grid.block)
    total = np.zeros((n_classes, len(cutoffs)))
    weight = np.zeros((n_classes, 1))
    for item in painted:
        for index in np.ndindex(item.grid.leading_shape):
            values = item.values[index]
            found = label_spectrum(values, n_classes, item.grid.block, cutoffs)
            seen = np.isfinite(found.energy[:, -1:]) & found.enough
            total += np.where(seen, found.energy, 0.0) * np.count_nonzero(values)
            weight += seen * np.count_nonzero(values)
    return cutoffs, np.divide(total, weight, out=np.full_like(total, math.nan), where=weight > 0)


# -- what is said --------------------------------------------------------------------------------


def to_json(findings: Findings) -> dict[str, Any]:
    """Return the findings as ``--json`` writes them; null where a number is not known."""
    from napari_blockseg.core.ceilings import BLOCKS

    known = {row.block: row for row in findings.rows}
    result = {
        "recommended_block": findings.advice.recommended_block,
        "reason": findings.advice.reason,
        "images": findings.images,
        "skipped": findings.skipped,
        "pixels_used": findings.pixels_used,
        "blocks": {
            str(block): _row_json(known.get(block), findings.classes)
            for block in sorted({*BLOCKS, *known})
        },
    }
    if findings.block is not None:
        result |= {"estimated_from_block": findings.block}
    return result


def _row_json(
    row: Ceiling | EstimatedCeiling | None, classes: Sequence[ClassInfo]
) -> dict[str, Any]:
    keys = ("miou", "pixel_accuracy", "energy", "band_limited_miou", "boundary_f")
    iou = getattr(row, "iou", None)
    energy = getattr(row, "class_energy", None)
    return {
        **{key: getattr(row, key, None) for key in keys},
        "classes": {
            info.name: {
                "iou": None if iou is None else float(iou[i]),
                "energy": None if energy is None else float(energy[i]),
            }
            for i, info in enumerate(classes)
        },
    }


def describe(findings: Findings) -> str:
    """Return the findings as text: the table, then the advice."""
    measured = findings.block is None
    header = ["block", "mIoU", *(["accuracy", "boundary F", "band-limited", "energy"] * measured)]
    header += [info.name for info in findings.classes]
    rows = []
    for row in findings.rows:
        cells = [str(row.block), number(row.miou)]
        if measured:
            values = (row.pixel_accuracy, row.boundary_f, row.band_limited_miou, row.energy)
            cells += [number(value) for value in values]
        rows.append([*cells, *(number(value, 2) for value in row.iou)])
    lines = [
        f"{findings.images} images, {findings.pixels_used:,} labelled pixels"
        + (f", {findings.skipped} skipped" if findings.skipped else "")
        + ("" if measured else f"; estimated from blocks of {findings.block} pixels")
    ]
    if rows:
        lines += ["IoU that labels of each block size can reach at best:", table(header, rows)]
    best = findings.advice.recommended_block
    lines.append(f"Recommended block: {'none' if best is None else f'{best} pixels'}.")
    lines.append(findings.advice.reason)
    return "\n".join(lines)
