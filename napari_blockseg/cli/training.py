"""``blockseg train``: train a network on a project's block labels."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import Advance, number, progress, save_json, say, warn
from napari_blockseg.cli.following import check_folder_is_free, stopped_report
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import JsonFile, OptionGroup, takes_configs
from napari_blockseg.cli.outputs import folder_to_write
from napari_blockseg.cli.stride_table import describe_choice
from napari_blockseg.core.config import NetworkConfig, TrainConfig, checked
from napari_blockseg.core.errors import ProjectError
from napari_blockseg.core.reports import Notice, TrainDone, TrainStarted, TrainStep, Validation

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.data import TrainingImage


@takes_configs(
    network_config=OptionGroup(
        NetworkConfig,
        ("network", "encoder", "weights", "decoder_stride"),
        ("form", "output_stride", "truncation", "truncate_aspp", "image_pooling", "shortcut"),
    ),
    train_config=OptionGroup(
        TrainConfig,
        ("steps", "minutes", "seed", "device"),
        (
            *("stride_tolerance", "auto_grids", "batch_size", "crop", "scale", "learning_rate"),
            *("weight_decay", "loss", "gated_crf", "pseudo_labels", "class_balance", "augment"),
            *("orientation", "validation", "validate_every", "keep_checkpoints"),
        ),
        more={"steps": "1000 by default."},
    ),
)
def train(
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="The project whose block labels to learn.")
    ],
    *,
    network_config: NetworkConfig,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="MODEL", help="Start from the weights of this model."),
    ] = None,
    train_config: TrainConfig,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, or with the newest one.")
    ] = False,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="MODEL",
            help="Folder of the model; by default a new run.",
            callback=folder_to_write,
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Train a network on a project's block labels."""
    from napari_blockseg.cli.loading import ProjectImages, model_folders
    from napari_blockseg.files.project import Project

    with Project.open(Path(project)) as opened:
        folder = _choose_folder(opened, out, resume)
        images = ProjectImages(opened)
        known_models = model_folders(opened)
    for notice in images.notices:
        warn(notice.message)
    images.require_one()
    if resume:
        network_config, train_config = _as_before(folder, network_config, train_config)
    elif init is not None:
        network_config = _as_of(Path(init), network_config)
    begun: list[TrainStarted] = []

    def note(report: object) -> None:
        if isinstance(report, TrainStarted):
            begun.append(report)

    done = run_training(
        images,
        opened.classes,
        network_config,
        train_config,
        folder=folder,
        init=None if init is None else Path(init),
        resume=resume,
        known_models=known_models,
        listener=note,
    )
    save_json(None if json is None else Path(json), result_of(done, *begun))
    if done.stopped:
        raise typer.Exit(1)


def _choose_folder(project: Project, out: str | None, resume: bool) -> Path:
    """Return the model's folder: as given, the newest run to resume, or a new one."""
    if out is not None:
        folder = Path(out)
    elif not resume:
        folder = project.models_dir / project.new_run_name()
    elif project.runs():
        folder = project.models_dir / project.runs()[-1]
    else:
        raise ProjectError(
            f"There is no run to resume in {project.models_dir}. Train without --resume first."
        )
    if not resume:
        check_folder_is_free(folder)
    return folder


def _as_before(
    folder: Path, network: NetworkConfig, train: TrainConfig
) -> tuple[NetworkConfig, TrainConfig]:
    """Return the configs of the run to resume, changed by the options that were given."""
    from napari_blockseg.learn.checkpoint import load_spec, model_folder

    spec = load_spec(model_folder(folder))
    before = spec.train.model_dump()
    given = train.model_dump(exclude_unset=True)
    if {"steps", "minutes"} & given.keys():
        before |= {"steps": None, "minutes": None}
    return (
        checked(NetworkConfig, spec.network.model_dump() | network.model_dump(exclude_unset=True)),
        checked(TrainConfig, before | given),
    )


def _as_of(model: Path, network: NetworkConfig) -> NetworkConfig:
    """Return the network of a model to start from, changed by the options that were given.

    Its decoder stride is left to the training, which keeps it and says so.
    """
    from napari_blockseg.learn.checkpoint import load_spec, model_folder

    before = load_spec(model_folder(model)).network.model_dump(exclude={"decoder_stride"})
    return checked(NetworkConfig, before | network.model_dump(exclude_unset=True))


def run_training(
    images: Sequence[TrainingImage],
    classes: Sequence[ClassInfo],
    network: NetworkConfig,
    train: TrainConfig,
    *,
    folder: Path,
    init: Path | None = None,
    resume: bool = False,
    listener: Callable[[Any], None] | None = None,
    most_seconds: float = math.inf,
    known_models: Sequence[Path] = (),
) -> TrainDone:
    """Train to the end, or until Ctrl-C, and say what is reported.

    Parameters
    ----------
    images, classes, network, train, init, resume, known_models
        As in `learn.train`.
    folder : Path
        Of the model.
    listener : callable, optional
        Gets every report.
    most_seconds : float
        Stop after this time at the latest.
    """
    from napari_blockseg.learn.train import Training

    training = Training(
        *(images, classes, network, train),
        out=folder,
        init=init,
        resume=resume,
        known_models=known_models,
    )
    done: TrainDone | None = None
    deadline = time.monotonic() + most_seconds
    with interrupt_flag() as asked, progress("training") as advance:
        with closing(training.turns()) as turns:
            for report in turns:
                if report is not None:
                    tell(report, advance)
                if report is not None and listener is not None:
                    listener(report)
                if isinstance(report, TrainDone):
                    done = report
                elif asked.is_set() or time.monotonic() > deadline:
                    break
        # Only now is what there is to save on disk.
        done = done or stopped_report(training.live_model().spec, folder)
    miou = "" if done.val_miou is None else f", held-out mIoU {done.val_miou:.3f}"
    verb = "Stopped" if done.stopped else "Trained"
    say(f"{verb} after {done.steps} steps, {done.seconds:.0f} s{miou}.")
    say(f"Model: {folder}" + ("  (--resume goes on)" if done.stopped else ""))
    return done


def result_of(done: TrainDone, begun: TrainStarted | None = None) -> dict[str, Any]:
    """Return what ``--json`` writes."""
    chosen = begun.stride_choice if begun is not None else None
    return {
        "steps": done.steps,
        "seconds": done.seconds,
        "val_miou": done.val_miou,
        "model": done.model,
        "decoder_stride": None if begun is None else begun.decoder_stride,
        "stride_choice": None if chosen is None else chosen.model_dump(mode="json"),
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
        if report.stride_choice is not None:
            say(describe_choice(report.stride_choice))
