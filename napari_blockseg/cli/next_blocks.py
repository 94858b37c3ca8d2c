"""From a model and a project to the blocks that should be labelled next; for command and worker."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_blockseg.core.chances import PlaneChances
from napari_blockseg.core.errors import BlockSegError, LabelError
from napari_blockseg.core.reports import Method, Notice, PredictProgress, Suggestion
from napari_blockseg.core.suggest import METHODS, suggest_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.config import PredictConfig
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.checkpoint import Model

Reports = Generator[PredictProgress | Notice, None, list[Suggestion]]
#: Planes that a warning lists, where some of a stack cannot be used.
_NAMED = 5


@dataclass(frozen=True)
class _SoFar:
    """How many planes of all are done; where no image is a stack, they are called images."""

    done: int
    total: int
    what: str

    def and_more(self, planes: int) -> _SoFar:
        return replace(self, done=self.done + planes)

    def report(self) -> PredictProgress:
        return PredictProgress(done=self.done, total=self.total, what=self.what)


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
        Open. Images and planes with a problem are left out.
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
        Progress in images, in planes where there are stacks; a Notice for each image that is left
        out, or some of whose planes are.

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
    problems = dict(project.problems)
    for image_id, problem in project.problems.items():
        yield _left_out(f"Image {image_id!r} is", problem)
    n_planes = [math.prod(project.grid(one).leading_shape) for one in usable]
    so_far = _SoFar(0, sum(n_planes), "images" if set(n_planes) <= {1} else "planes")
    for image_id, n in zip(usable, n_planes, strict=True):
        try:
            labels = project.load_labels(image_id)
            counts += labels.counts(len(project.classes))
            if METHODS[method] == METHODS["random"]:
                planes += _unseen(image_id, labels, len(classes))
            else:
                planes += yield from _predicted(model, project, image_id, labels, config, so_far)
        except BlockSegError as error:
            problems[image_id] = str(error)
            yield _left_out(f"Image {image_id!r} is", problems[image_id])
        so_far = so_far.and_more(n)
        yield so_far.report()
    if not planes:
        raise LabelError(_none_usable(project, problems))
    value = {one.name: one.value for one in project.classes}
    names = [one.name if one.name in value else None for one in classes]
    # A class that the project no longer has is not rare: no block of it is wanted.
    most = counts[1:].max()
    labelled = np.array([most if name is None else counts[value[name]] for name in names])
    return suggest_blocks(planes, names, labelled, count, METHODS[method], seed)


def _left_out(what: str, problem: str) -> Notice:
    return Notice(level="warning", message=f"{what} left out: {problem}")


def _none_usable(project: Project, problems: Mapping[str, str]) -> str:
    said = f"No image of {project.root} can be used."
    for image_id, problem in problems.items():
        return f"{said} Image {image_id!r}, for instance: {problem}"
    return f"{said} Add one."


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
    so_far: _SoFar,
) -> Generator[PredictProgress | Notice, None, list[PlaneChances]]:
    from napari_blockseg.learn.uncertainty import block_chances

    pixels = project.load_image(image_id).pixels
    planes: list[PlaneChances] = []
    failed: dict[tuple[int, ...], BlockSegError] = {}
    for number, index in enumerate(np.ndindex(labels.grid.leading_shape)):
        plane = labels.plane(index)
        steps = block_chances(model, image_id, pixels[index], plane, config, index)
        try:
            planes.append((yield from _in_all(steps, so_far.and_more(number))))
        except BlockSegError as error:
            failed[index] = error
    reason = next(iter(failed.values()), None)
    if reason is not None and not planes:
        raise reason
    if reason is not None:
        # One for all of them: a stack has hundreds of planes.
        listed = ", ".join(f"[{','.join(map(str, one))}]" for one in list(failed)[:_NAMED])
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        yield _left_out(f"Of image {image_id!r}, planes {listed}{more} are", str(reason))
    return planes


def _in_all(
    steps: Generator[PredictProgress | Notice, None, Any], so_far: _SoFar
) -> Generator[PredictProgress | Notice, None, Any]:
    """Pass on what a prediction says; its tiles count as parts of one plane where there are more.

    Progress comes after every tile all the same, so that the work can be stopped there.
    """
    while True:
        try:
            report = next(steps)
        except StopIteration as stop:
            return stop.value
        if isinstance(report, PredictProgress) and so_far.total > 1:
            report = so_far.report()
        yield report
