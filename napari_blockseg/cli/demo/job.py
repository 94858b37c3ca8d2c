"""One sample from painted blocks to scored masks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_blockseg.cli.console import number, say, sparkline, table
from napari_blockseg.cli.loading import ProjectImages
from napari_blockseg.cli.pictures import draw_overlay, draw_spectrum
from napari_blockseg.cli.pictures.overlay import Strip
from napari_blockseg.cli.prediction import Source, predict_files, predict_planes
from napari_blockseg.cli.scoring import score_folders
from napari_blockseg.cli.spectrum import describe, study_project
from napari_blockseg.cli.training import run_training
from napari_blockseg.core.config import NetworkConfig, PredictConfig, TrainConfig
from napari_blockseg.core.reports import TrainStep, Validation
from napari_blockseg.files.images import read_image
from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask
from napari_blockseg.files.samples import Sample, sample_project

if TYPE_CHECKING:
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.checkpoint import Model

_POINTS = 60
_TRAINING_ROWS, _TEST_ROWS = 1, 2


def run_sample(
    sample: Sample,
    out: Path,
    config: TrainConfig,
    shuffle_labels: bool = False,
    most_seconds: float = math.inf,
) -> dict[str, Any]:
    """Do the whole job on one sample, say what happens, and return the scores.

    Parameters
    ----------
    sample : Sample
        With painted block labels on its training images.
    out : Path
        Gets the project, the predictions and the pictures.
    config : TrainConfig
        How long to train.
    shuffle_labels : bool
        Whether the painted labels change places among the painted blocks: a control.
    most_seconds : float
        Training stops after this time at the latest.

    Returns
    -------
    dict
        As `evaluate` gives it, of the test images, with ``blocks`` (painted) and ``pictures``.
    """
    say(f"\n== {sample.title}")
    with sample_project(_free(out / f"{sample.name}.blockseg"), sample.name) as project:
        if shuffle_labels:
            shuffle(project, config.seed)
        blocks = _say_blocks(project)
        say("\n-- What the painted blocks say about the grid")
        findings = study_project(project)
        say(describe(findings))
        spectrum = draw_spectrum(findings, out / f"{sample.name}_spectrum.png")
        folder = _train(project, config, most_seconds)
        scores, overlay = _predict(project, sample, folder, out)
    return {**scores, "blocks": blocks, "pictures": [str(overlay), str(spectrum)]}


def shuffle(project: Project, seed: int) -> None:
    """Let the painted labels of a project change places: as many of each class, but anywhere."""
    labels = {image_id: project.load_labels(image_id) for image_id in project.image_ids}
    painted = np.concatenate([one.values[one.values > 0] for one in labels.values()])
    mixed = np.random.default_rng(seed).permutation(painted)
    start = 0
    for image_id, one in labels.items():
        values = one.values.copy()
        stop = start + one.n_labelled
        values[values > 0] = mixed[start:stop]
        project.save_labels(image_id, one.with_values(values), op="shuffle")
        start = stop


@dataclass
class Curve:
    """What training reports, as numbers to draw."""

    losses: list[float] = field(default_factory=list)
    mious: list[float] = field(default_factory=list)

    def add(self, report: Any) -> None:
        """Take note of a report."""
        if isinstance(report, TrainStep) and report.loss is not None:
            self.losses.append(report.loss)
        elif isinstance(report, Validation) and report.miou is not None:
            self.mious.append(report.miou)

    def lines(self) -> list[str]:
        """Return the curves as text."""
        found = []
        for name, values in (("loss", _thinned(self.losses)), ("held-out mIoU", self.mious)):
            if values:
                ends = f"{number(values[0])} -> {number(values[-1])}"
                found.append(f"{name:>14}  {sparkline(values)}  {ends}")
        return found


def _thinned(values: Sequence[float]) -> list[float]:
    """Return at most `_POINTS` means over equal parts."""
    size = max(1, -(-len(values) // _POINTS))
    parts = [values[i : i + size] for i in range(0, len(values), size)]
    return [sum(part) / len(part) for part in parts]


def _say_blocks(project: Project) -> int:
    """Say what is painted, and return how many blocks that is."""
    counts = np.zeros(len(project.classes) + 1, np.int64)
    for image_id in project.image_ids:
        counts += project.load_labels(image_id).counts(len(project.classes))
    painted, total = int(counts[1:].sum()), int(counts.sum())
    say("\n-- What was painted")
    say(table(["class", "blocks"], [[c.name, str(counts[c.value])] for c in project.classes]))
    say(
        f"{painted} of {total} blocks ({painted / total:.0%}) of {project.block} x "
        f"{project.block} pixels, in {len(project.image_ids)} images."
    )
    return painted


def _train(project: Project, config: TrainConfig, most_seconds: float) -> Path:
    say("\n-- Training on these blocks")
    folder = project.models_dir / project.new_run_name()
    curve = Curve()
    images = ProjectImages(project)
    run_training(
        images,
        project.classes,
        NetworkConfig(),
        config,
        folder=folder,
        listener=curve.add,
        most_seconds=most_seconds,
    )
    for line in curve.lines():
        say(line)
    return folder


def _predict(
    project: Project, sample: Sample, folder: Path, out: Path
) -> tuple[dict[str, Any], Path]:
    """Predict and score the test images; draw them with a training image."""
    from napari_blockseg.learn.checkpoint import load_model

    say("\n-- Predicting images that were never painted and never trained on")
    model = load_model(folder)
    sources = [Source(path.stem, path) for path in sample.test_images]
    masks = out / f"{sample.name}_predictions"
    predict_files(model, sources, masks, PredictConfig(), probabilities=False)
    scores = score_folders(masks, sample.test_masks_dir)
    for name, iou in scores["classes"].items():
        say(f"  IoU of {name}: {number(iou)}")
    say(f"  mIoU {number(scores['miou'])}, pixel accuracy {number(scores['pixel_accuracy'])}")
    return scores, _draw(project, sample, model, masks, scores, out)


def _draw(
    project: Project,
    sample: Sample,
    model: Model,
    predictions: Path,
    scores: dict[str, Any],
    out: Path,
) -> Path:
    strips = []
    for image_id in project.image_ids[:_TRAINING_ROWS]:
        pixels = project.load_image(image_id).pixels
        guess, _ = predict_planes(model, pixels, PredictConfig(), _silent, probabilities=False)
        truth = _mask(sample.train_masks_dir, image_id)
        title = f"{image_id}: painted, trained on"
        strips.append(Strip(title, pixels, project.load_labels(image_id), guess, truth))
    for path in sample.test_images[:_TEST_ROWS]:
        guess = _mask(predictions, path.stem)
        truth = _mask(sample.test_masks_dir, path.stem)
        title = f"{path.stem}: never painted, never trained on"
        strips.append(Strip(title, read_image(path).pixels, None, guess, truth))
    text = (
        f"The network learned from the painted blocks alone. On all {len(sample.test_images)} test "
        f"images together: mIoU {number(scores['miou'])}, pixel accuracy "
        f"{number(scores['pixel_accuracy'])}."
    )
    path = out / f"{sample.name}_overlay.png"
    return draw_overlay(
        strips, project.classes, path, f"Blocks in, pixels out: {sample.title}", text
    )


def _mask(folder: Path, stem: str) -> Any:
    matched, _ = match_masks([stem], folder)
    return read_mask(matched[stem], find_classes_json(folder))


def _silent(share: float | None, text: str) -> None:
    """Take progress that nobody needs to see."""


def _free(path: Path) -> Path:
    """Return the path, numbered if it is taken: an earlier demo's project may hold paint."""
    candidate, count = path, 2
    while candidate.exists():
        candidate = path.with_name(f"{path.stem}_{count}{path.suffix}")
        count += 1
    return candidate
