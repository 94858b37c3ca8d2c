"""``blockseg analyse``: spectra of a trained network, and how coarse its decoder may be."""

from __future__ import annotations

import textwrap
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_blockseg.cli.console import number, progress, save_json, say, table, warn
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.cli.outputs import folder_to_write
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.reports import AnalysisProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.analysis import Analysis, LayerSpectrum


_WIDTH = 88


def analyse(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="Images with block labels of its classes.")
    ],
    masks: Annotated[
        str | None,
        typer.Option("--masks", metavar="DIR", help="Compare with these dense masks instead."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write a page with curves there.",
            callback=folder_to_write,
        ),
    ] = None,
    json: JsonFile = None,
    images: Annotated[
        int,
        typer.Option("--images", metavar="N", min=1, help="Look at N images, evenly spread."),
    ] = 20,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance",
            metavar="X",
            min=0.0001,
            max=0.9999,
            help="Share of energy that truncating a layer may lose.",
        ),
    ] = 0.05,
    layers: Annotated[
        bool,
        typer.Option("--layers/--no-layers", help="Look into the layers too: most of the time."),
    ] = True,
    device: Annotated[str | None, config_option(PredictConfig, "device")] = None,
) -> None:
    """Say what a network's loss and layers are made of, and how coarse its decoder may be."""
    config = config_from_options(PredictConfig, device=device)
    folder = Path(model)
    found = run_analysis(
        folder,
        Path(project),
        None if masks is None else Path(masks),
        max_images=images,
        tolerance=tolerance,
        layers=layers,
        device=config.device,
    )
    if found is None:
        say("Stopped; nothing was written.")
        raise typer.Exit(1)
    say(describe(found))
    _keep(folder, found)
    save_json(None if json is None else Path(json), found.model_dump(mode="json"))
    if report is not None:
        from napari_blockseg.cli.report import write_analysis_report

        write_analysis_report(found, Path(report))
        say(f"Report: {Path(report) / 'index.html'}")


def run_analysis(
    model: Path,
    project: Path,
    masks: Path | None = None,
    *,
    max_images: int = 20,
    tolerance: float = 0.05,
    layers: bool = True,
    device: str = "auto",
) -> Analysis | None:
    """Analyse a model, and say how far it is; None when Ctrl-C ended it.

    Parameters
    ----------
    model, project : Path
        Their folders.
    masks : Path, optional
        Folder of dense masks to compare with; by default the project's block labels.
    max_images, tolerance, layers, device
        As in `learn.analysis.analyse`.
    """
    from napari_blockseg.cli.truth import MaskedImages, PaintedImages
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.analysis import analyse as analyse_model
    from napari_blockseg.learn.checkpoint import load_spec, model_folder

    classes = load_spec(model_folder(model)).classes
    with Project.open(project) as opened:
        images = (
            PaintedImages(opened, classes)
            if masks is None
            else MaskedImages(opened, masks, classes)
        )
    for notice in images.notices:
        warn(notice.message)
    steps = analyse_model(
        *(model, images),
        max_images=max_images,
        tolerance=tolerance,
        layers=layers,
        device=device,
    )
    with interrupt_flag() as asked, progress("analysing") as advance, closing(steps):
        while not asked.is_set():
            try:
                said = next(steps)
            except StopIteration as stop:
                found: Analysis = stop.value
                return found
            if isinstance(said, AnalysisProgress):
                advance(said.done / said.total, said.what)
            else:
                warn(said.message)
    return None


def _keep(folder: Path, found: Analysis) -> None:
    """Write the analysis beside the model, where that is allowed."""
    from napari_blockseg.core.analysis import save_analysis

    try:
        say(f"Kept in {save_analysis(folder if folder.is_dir() else folder.parent, found)}.")
    except OSError as error:
        warn(f"could not be kept beside the model: {error}")


# -- what is said --------------------------------------------------------------------------------


def describe(found: Analysis) -> str:
    """Return an analysis as text: loss, layers, truncation, recommendation."""
    best = found.recommended_stride
    parts = [
        f"{found.network} on {found.encoder}, decoder stride {found.decoder_stride}, trained on "
        f"{_labels(found.block)} at working scale {found.scale:g}",
        f"{found.images} images, {found.pixels:,} labelled pixels: {found.truth}",
        *found.notes,
        "",
        *_loss_parts(found),
        "",
        *(_layer_parts(found) if found.end.layers else ()),
        *_trial_parts(found),
        "",
        f"Recommended decoder stride: {'none' if best is None else best}.",
        found.reason,
    ]
    # Tables hold line breaks; prose does not.
    return "\n".join(one if "\n" in one else textwrap.fill(one, _WIDTH) for one in parts)


def _labels(block: int) -> str:
    return "dense masks" if block == 1 else f"blocks of {block} pixels"


def _loss_parts(found: Analysis) -> list[str]:
    # Of dense masks, what the decoder's grid can show is of interest.
    block = found.block if found.block > 1 else round(found.decoder_stride / found.scale)
    nyquist = 0.5 / block
    rows = [
        [
            one.moment,
            str(one.step),
            number(one.loss.cross_entropy),
            number(value_at(one.loss.cutoffs, one.loss.discrepancy, nyquist)),
            number(value_at(one.loss.cutoffs, one.loss.discrepancy_of_mean, nyquist)),
            number(one.miou),
            number(one.pixel_accuracy),
        ]
        for one in found.checkpoints
    ]
    header = ["training", "step", "cross-entropy L", "R", "of mean", "mIoU", "accuracy"]
    return [
        f"The loss, and how little of it needs more than blocks of {block} pixels show "
        f"(frequencies up to {nyquist:.4g} cycles per pixel):",
        table(header, rows),
        "R = |L' - L| / L; of mean = (L' - L) / L'(0). L' is the loss against labels without "
        "the higher frequencies, L'(0) against their mean. Read R beside L: it grows as L falls.",
    ]


def _layer_parts(found: Analysis) -> list[str]:
    header = ["layer", "stride", "activations", "gradients", "could be cut to"]
    return [
        "Layers at the end of training: share of energy (without the mean) that a grid twice as "
        f"coarse would keep, and the coarsest stride that loses at most {found.tolerance:.1%} of "
        "the activations' (strides in working pixels):",
        table(header, [_layer_row(one, found.scale) for one in found.end.layers]),
        "",
    ]


def _layer_row(layer: LayerSpectrum, scale: float) -> list[str]:
    coarser = 0.5 / (2 * layer.stride)
    cut = layer.truncatable_to
    return [
        layer.name,
        f"{layer.stride * scale:g}",
        number(value_at(layer.cutoffs, layer.activations, coarser)),
        number(value_at(layer.cutoffs, layer.gradients, coarser)),
        "-" if cut is None else str(cut),
    ]


def _trial_parts(found: Analysis) -> list[str]:
    rows = [
        [
            f"{one.decoder_stride}{' (trained)' * (one.decoder_stride == found.decoder_stride)}",
            number(one.cross_entropy),
            number(one.miou),
            number(one.pixel_accuracy),
            number(one.predicted_loss_of_energy),
        ]
        for one in found.trials
    ]
    header = ["decoder stride", "cross-entropy", "mIoU", "accuracy", "energy thrown away"]
    title = "The trained weights with other decoder strides, not trained again:"
    return [title, table(header, rows)]


def value_at(
    cutoffs: Sequence[float], values: Sequence[float | None], wanted: float
) -> float | None:
    """Return the value at the highest cutoff that is not above the wanted one; None below all.

    Parameters
    ----------
    cutoffs : sequence of float
        Rising, cycles per pixel.
    values : sequence of float or None
        One a cutoff.
    wanted : float
        Cycles per pixel; a cutoff that differs by rounding counts as equal.
    """
    found = None
    for cutoff, value in zip(cutoffs, values, strict=True):
        if cutoff <= wanted * (1 + 1e-9):
            found = value
    return found
