"""Block labels as an annotator would paint them, from dense masks: for a whole project."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import BlockLabels, Policy
from napari_blockseg.files.masks import (
    ClassTable,
    common_classes,
    find_classes_json,
    match_masks,
    read_mask,
)
from napari_blockseg.files.project import Project
from napari_blockseg.files.spec import image_stem


@dataclass(frozen=True)
class SimulateProgress:
    """How far it is: `done` of `total` images read, or painted."""

    done: int
    total: int
    what: str


@dataclass(frozen=True)
class SimulateDone:
    """What was painted.

    ``images``: with a mask. ``images_without_mask``, ``masks_without_image``: skipped.
    ``labelable_blocks``: blocks that the policy gives a class; ``chosen_blocks`` of them were
    drawn, ``painted_blocks`` were unlabelled before (or overwritten), ``kept_blocks`` had a label
    that was kept. ``classes``: painted blocks by class name. ``void_classes``: classes of the
    masks that the project does not have; their pixels count as void.
    """

    images: int
    images_without_mask: int
    masks_without_image: int
    labelable_blocks: int
    chosen_blocks: int
    painted_blocks: int
    kept_blocks: int
    classes: dict[str, int] = field(default_factory=dict)
    void_classes: tuple[str, ...] = ()


def simulate_project(
    project: Project,
    masks_dir: Path | str,
    fraction: float = 1.0,
    policy: Policy = "majority",
    seed: int = 0,
    force: bool = False,
) -> Generator[SimulateProgress, None, SimulateDone]:
    """Paint the block labels of a project from dense masks.

    Parameters
    ----------
    project : Project
        Open for writing.
    masks_dir : path
        Label images with their ``classes.json``; they match images by file stem, classes by name.
    fraction : float
        Share of all labelable blocks of the project, drawn uniformly over all of them together.
    policy : {"majority", "pure"}
        As in :meth:`BlockLabels.from_mask`.
    seed : int
        Of the drawing. The same seed draws the same blocks.
    force : bool
        Replace labels that exist. Without it they are kept.

    Yields
    ------
    SimulateProgress
        After each image.

    Returns
    -------
    SimulateDone
        The counts (the value of the generator).

    Raises
    ------
    LabelError
        If a mask does not fit its image or has unknown values; then nothing was painted.
    """
    if not 0 < fraction <= 1:
        raise LabelError(f"Got fraction {fraction}; expected more than 0, up to 1.")
    masks, unmatched = masks_of_images(project, masks_dir)
    table = find_classes_json(masks_dir)
    common_classes(table, project.classes)
    full: dict[str, BlockLabels] = {}
    for image_id, path in masks.items():
        full[image_id] = _blocks_of_mask(project, image_id, path, table, policy)
        yield SimulateProgress(len(full), 2 * len(masks), f"{image_id}: mask read")
    drawn = draw_blocks(list(full.values()), fraction, seed)
    painted = np.zeros(len(project.classes) + 1, np.int64)
    kept = 0
    for done, (image_id, labels) in enumerate(zip(full, drawn, strict=True), start=1):
        old = project.load_labels(image_id)
        keep = np.zeros(old.values.shape, bool) if force else old.values > 0
        new = labels.with_values(np.where(keep, old.values, labels.values))
        project.save_labels(image_id, new, op="simulate")
        kept += int(np.count_nonzero(keep))
        painted += np.bincount(labels.values[~keep], minlength=len(painted))
        yield SimulateProgress(len(full) + done, 2 * len(masks), f"{image_id}: painted")
    names = [one.name for one in project.classes]
    return SimulateDone(
        images=len(full),
        images_without_mask=len(project.image_ids) - len(full),
        masks_without_image=len(unmatched),
        labelable_blocks=sum(one.n_labelled for one in full.values()),
        chosen_blocks=sum(one.n_labelled for one in drawn),
        painted_blocks=int(painted[1:].sum()),
        kept_blocks=kept,
        classes=dict(zip(names, painted[1:].tolist(), strict=True)),
        void_classes=tuple(name for name in table.names if name not in names),
    )


def masks_of_images(project: Project, masks_dir: Path | str) -> tuple[dict[str, Path], list[Path]]:
    """Return the mask of every image id that has one, and the masks without an image.

    A mask belongs to the image whose file has the same stem; where several images have it, to
    the one whose id is that stem.

    Raises
    ------
    LabelError
        As :func:`napari_blockseg.files.masks.match_masks`; and if no mask has an image.
    """
    names: dict[str, str] = {}
    for entry in project.spec.images:
        names.setdefault(image_stem(entry.path), entry.id)
    names |= {image_id: image_id for image_id in project.image_ids}
    matched, unmatched = match_masks(names, masks_dir)
    if not matched:
        raise LabelError(
            f"No mask in {masks_dir} has the name of an image of {project.root} (for instance "
            f"{unmatched[0].name}). Masks match images by file name without suffix."
        )
    by_id = {names[stem]: path for stem, path in matched.items()}
    return {one: by_id[one] for one in project.image_ids if one in by_id}, unmatched


def draw_blocks(labels: list[BlockLabels], fraction: float, seed: int) -> list[BlockLabels]:
    """Keep a share of all labelled blocks, each with the same chance.

    Parameters
    ----------
    labels : list of BlockLabels
        One an image.
    fraction : float
        The number kept is this share of all labelled blocks together, rounded.
    seed : int
        Of the drawing.
    """
    counts = [one.n_labelled for one in labels]
    rng = np.random.default_rng(seed)
    keep = rng.multivariate_hypergeometric(
        counts, round(fraction * sum(counts)), method="marginals"
    )
    drawn = []
    for one, n_labelled, n_kept in zip(labels, counts, keep, strict=True):
        chosen = rng.choice(n_labelled, size=n_kept, replace=False, shuffle=False)
        where = np.flatnonzero(one.values)[chosen]
        values = np.zeros_like(one.values)
        values.flat[where] = one.values.flat[where]
        drawn.append(one.with_values(values))
    return drawn


def _blocks_of_mask(
    project: Project, image_id: str, path: Path, table: ClassTable, policy: Policy
) -> BlockLabels:
    shape = project.entry(image_id).spatial_shape
    mask = read_mask(path, table, project.classes, shape)
    return BlockLabels.from_mask(mask, project.block, len(project.classes), policy)
