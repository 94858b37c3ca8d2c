"""``blockseg train``: train a network on a project's block labels."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import Advance, number, progress, save_json, say, warn
from napari_blockseg.cli.following import TrainingLog
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import ProjectError
from napari_blockseg.core.reports import Notice, TrainDone, TrainStarted, TrainStep, Validation

if TYPE_CHECKING:
    from napari_blockseg.files.project import Project


def train(
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="The project whose block labels to learn.")
    ],
    network: Annotated[str | None, config_option(NetworkConfig, "network")] = None,
    encoder: Annotated[str | None, config_option(NetworkConfig, "encoder")] = None,
    weights: Annotated[str | None, config_option(NetworkConfig, "weights")] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="MODEL", help="Start from the weights of this model."),
    ] = None,
    decoder_stride: Annotated[str | None, config_option(NetworkConfig, "decoder_stride")] = None,
    steps: Annotated[int | None, config_option(TrainConfig, "steps", "1000 by default.")] = None,
    minutes: Annotated[float | None, config_option(TrainConfig, "minutes")] = None,
    seed: Annotated[int | None, config_option(TrainConfig, "seed")] = None,
    device: Annotated[str | None, config_option(TrainConfig, "device")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, or with the newest one.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="MODEL", help="Folder of the model; by default a new run."),
    ] = None,
    json: JsonFile = None,
    form: Annotated[str | None, config_option(NetworkConfig, "form", advanced=True)] = None,
    output_stride: Annotated[
        int | None, config_option(NetworkConfig, "output_stride", advanced=True)
    ] = None,
    image_pooling: Annotated[
        bool | None, config_option(NetworkConfig, "image_pooling", advanced=True)
    ] = None,
    batch_size: Annotated[
        int | None, config_option(TrainConfig, "batch_size", advanced=True)
    ] = None,
    crop: Annotated[int | None, config_option(TrainConfig, "crop", advanced=True)] = None,
    scale: Annotated[str | None, config_option(TrainConfig, "scale", advanced=True)] = None,
    learning_rate: Annotated[
        float | None, config_option(TrainConfig, "learning_rate", advanced=True)
    ] = None,
    weight_decay: Annotated[
        float | None, config_option(TrainConfig, "weight_decay", advanced=True)
    ] = None,
    loss: Annotated[str | None, config_option(TrainConfig, "loss", advanced=True)] = None,
    class_balance: Annotated[
        float | None, config_option(TrainConfig, "class_balance", advanced=True)
    ] = None,
    augment: Annotated[bool | None, config_option(TrainConfig, "augment", advanced=True)] = None,
    validation: Annotated[
        bool | None, config_option(TrainConfig, "validation", advanced=True)
    ] = None,
    validate_every: Annotated[
        int | None, config_option(TrainConfig, "validate_every", advanced=True)
    ] = None,
) -> None:
    """Train a network on a project's block labels."""
    network_config = config_from_options(
        NetworkConfig,
        network=network,
        form=form,
        encoder=encoder,
        weights=weights,
        decoder_stride=decoder_stride,
        output_stride=output_stride,
        image_pooling=image_pooling,
    )
    train_config = config_from_options(
        TrainConfig,
        steps=steps,
        minutes=minutes,
        seed=seed,
        device=device,
        batch_size=batch_size,
        crop=crop,
        scale=scale if scale in (None, "auto") else _as_number(scale),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        loss=loss,
        class_balance=class_balance,
        augment=augment,
        validation=validation,
        validate_every=validate_every,
    )
    from napari_blockseg.cli.loading import ProjectImages
    from napari_blockseg.files.project import Project

    with Project.open(Path(project)) as opened:
        folder = _choose_folder(opened, out, resume)
        classes, images = opened.classes, ProjectImages(opened)
    for notice in images.notices:
        warn(notice.message)
    from napari_blockseg.learn.train import train as train_steps

    reports = train_steps(
        images,
        classes,
        network_config,
        train_config,
        out=folder,
        init=None if init is None else Path(init),
        resume=resume,
    )
    done = follow(reports, folder)
    save_json(None if json is None else Path(json), result_of(done))
    if done.stopped:
        raise typer.Exit(1)


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"--scale is 'auto' or a number, got {text!r}") from error


def _choose_folder(project: Project, out: str | None, resume: bool) -> Path:
    """Return the model's folder: as given, the newest run to resume, or a new one."""
    if out is not None:
        return Path(out)
    if not resume:
        return Path(project.models_dir) / project.new_run_name()
    runs = [path.parent for path in Path(project.models_dir).glob("*/metrics.jsonl")]
    if not runs:
        raise ProjectError(
            f"There is no run to resume in {project.models_dir}. Train without --resume first."
        )
    return max(runs, key=lambda run: (run / "metrics.jsonl").stat().st_mtime)


def follow(reports: Generator[Any, None, None], folder: Path) -> TrainDone:
    """Run a training to its end, or until Ctrl-C; say what it reports."""
    log = TrainingLog(folder)
    with interrupt_flag() as asked, closing(reports), progress("training") as advance:
        for report in reports:
            log.add(report)
            tell(report, advance)
            if asked.is_set() and log.done is None:
                break
    # The generator is closed: what there is to save is saved.
    done = log.done or log.stopped()
    miou = "" if done.val_miou is None else f", held-out mIoU {done.val_miou:.3f}"
    say(
        f"{'Stopped' if done.stopped else 'Trained'} after {done.steps} steps, "
        f"{done.seconds:.0f} s{miou}."
    )
    say(f"Model: {folder}" + ("  (--resume goes on)" if done.stopped else ""))
    return done


def result_of(done: TrainDone) -> dict[str, Any]:
    """Return what ``--json`` writes."""
    return {
        "steps": done.steps,
        "seconds": done.seconds,
        "val_miou": done.val_miou,
        "model": done.model,
    }


def tell(report: Any, advance: Advance) -> None:
    """Say one report."""
    if isinstance(report, TrainStep):
        of = "" if report.steps is None else f" of {report.steps}"
        advance(report.progress, f"step {report.step}{of}, loss {number(report.loss)}")
    elif isinstance(report, Validation):
        say(
            f"step {report.step}: held-out mIoU {number(report.miou)}, "
            f"pixel accuracy {number(report.pixel_accuracy)}"
        )
    elif isinstance(report, Notice):
        (warn if report.level == "warning" else say)(report.message)
    elif isinstance(report, TrainStarted):
        say(
            f"Training on {report.n_labelled_blocks} blocks of {report.n_images} images "
            f"({report.n_val_blocks} held out: {report.validation}), {report.device}, "
            f"working scale {report.scale:g}, decoder stride {report.decoder_stride}."
        )
