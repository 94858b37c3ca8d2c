"""From a model and a project to the blocks that should be labelled next; for command and worker."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_blockseg.core.chances import PlaneChances
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.reports import Method, Notice, PredictProgress, Suggestion
from napari_blockseg.core.suggest import METHODS, suggest_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.config import PredictConfig
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.checkpoint import Model

Reports = Generator[PredictProgress | Notice, None, list[Suggestion]]


def next_blocks(
    model: Model,
    project: Project,
    count: int,
    method: Method = "diverse",
    seed: int = 0,
    config: PredictConfig | None = None,
) -> Reports:
    """Predict every plane of a project and choose the blocks to label next.

    Parameters
    ----------
    model : Model
        Its classes match the project's by NAME.
    project : Project
        Open. Images with a problem are left out.
    count : int
        How many blocks.
    method : {"diverse", "uncertainty", "random"}
        What to go by, see :data:`napari_blockseg.core.suggest.METHODS`; "random" predicts nothing.
    seed : int
        Of the order among equals.
    config : PredictConfig, optional
        Tile, halo, batch.

    Yields
    ------
    PredictProgress or Notice
        Progress in images; a Notice for each image that is left out.

    Returns
    -------
    list of Suggestion
        The most promising first.

    Raises
    ------
    LabelError
        If model and project share no class, or no image can be used.
    """
    classes = model.spec.classes
    _check_classes(classes, project.classes)
    planes: list[PlaneChances] = []
    counts = np.zeros(len(project.classes) + 1, np.int64)
    usable = [one for one in project.image_ids if one not in project.problems]
    for image_id, problem in project.problems.items():
        yield Notice(level="warning", message=f"Image {image_id!r} is left out: {problem}")
    for done, image_id in enumerate(usable):
        labels = project.load_labels(image_id)
        counts += labels.counts(len(project.classes))
        if METHODS[method] == METHODS["random"]:
            planes += _unseen(image_id, labels, len(classes))
        else:
            steps = _predicted(model, project, image_id, labels, config)
            planes += yield from _in_images(steps, done, len(usable))
        yield PredictProgress(done=done + 1, total=len(usable), what="images")
    if not planes:
        raise LabelError(f"No image of {project.root} can be used. Check the paths of its images.")
    value = {one.name: one.value for one in project.classes}
    labelled = np.array([counts[value[one.name]] if one.name in value else 0 for one in classes])
    names = [one.name for one in classes]
    return suggest_blocks(planes, names, labelled, count, METHODS[method], seed)


def _check_classes(model: Sequence[ClassInfo], project: Sequence[ClassInfo]) -> None:
    if not {one.name for one in model} & {one.name for one in project}:
        raise LabelError(
            f"The model knows the classes {', '.join(one.name for one in model)}; the project has "
            f"{', '.join(one.name for one in project)}. Classes match by name: use a model that "
            "was trained on this project."
        )


def _unseen(image_id: str, labels: BlockLabels, n_classes: int) -> list[PlaneChances]:
    even = np.full((labels.grid.rows, labels.grid.cols, n_classes), 1 / n_classes, np.float32)
    return [
        PlaneChances(image_id, labels.plane(index), even, index=index)
        for index in np.ndindex(labels.grid.leading_shape)
    ]


def _predicted(
    model: Model,
    project: Project,
    image_id: str,
    labels: BlockLabels,
    config: PredictConfig | None,
) -> Generator[PredictProgress | Notice, None, list[PlaneChances]]:
    from napari_blockseg.learn.uncertainty import block_chances

    pixels = project.load_image(image_id).pixels
    planes = []
    for index in np.ndindex(labels.grid.leading_shape):
        plane = labels.plane(index)
        found = yield from block_chances(model, image_id, pixels[index], plane, config, index)
        planes.append(found)
    return planes


def _in_images(
    steps: Generator[PredictProgress | Notice, None, Any], done: int, total: int
) -> Generator[PredictProgress | Notice, None, Any]:
    """Pass on what a prediction says; its tiles count as parts of one image where there are more.

    Progress comes after every tile all the same, so that the work can be stopped there.
    """
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value
        if isinstance(report, PredictProgress) and total > 1:
            report = PredictProgress(done=done, total=total, what="images")
        yield report
