"""``blockseg truncate``: cut a trained model's decoder to a coarser grid, without training."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_blockseg.cli.console import number, progress, save_json, say, table, warn
from napari_blockseg.cli.following import check_folder_is_free
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.cli.outputs import folder_to_write
from napari_blockseg.core.config import NetworkConfig, PredictConfig
from napari_blockseg.core.reports import AnalysisProgress

if TYPE_CHECKING:
    from napari_blockseg.learn.checkpoint import Model
    from napari_blockseg.learn.truncate import Score


def truncate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    project: Annotated[
        str | None,
        typer.Argument(metavar="PROJECT", help="Say what it costs on these labelled images."),
    ] = None,
    *,
    decoder_stride: Annotated[
        int, typer.Option("--decoder-stride", metavar="8|16|32", help="Pixels per cell, coarser.")
    ],
    out: Annotated[
        str,
        typer.Option(
            "--out", metavar="MODEL2", help="Folder of the new model.", callback=folder_to_write
        ),
    ],
    truncation: Annotated[str | None, config_option(NetworkConfig, "truncation")] = None,
    masks: Annotated[
        str | None,
        typer.Option("--masks", metavar="DIR", help="Compare with these dense masks instead."),
    ] = None,
    images: Annotated[
        int, typer.Option("--images", metavar="N", min=1, help="Look at N images, evenly spread.")
    ] = 20,
    device: Annotated[str | None, config_option(PredictConfig, "device")] = None,
    json: JsonFile = None,
) -> None:
    """Cut a trained model's decoder to a coarser grid, without training."""
    # Wrong values are wrong use, whatever the model is.
    asked = {"decoder_stride": decoder_stride, "truncation": truncation}
    config_from_options(NetworkConfig, **asked)
    config = config_from_options(PredictConfig, device=device)
    from napari_blockseg.learn.checkpoint import load_model
    from napari_blockseg.learn.truncate import save_truncated, truncate_model

    folder = Path(out)
    check_folder_is_free(folder)
    before = load_model(model, config.device)
    after = truncate_model(before, decoder_stride, truncation)
    scores: tuple[Score, ...] | None = ()
    if project is not None:
        scores = _measure([before, after], Path(project), masks, images)
    if scores is None:
        say("Stopped; nothing was written.")
        raise typer.Exit(1)
    save_truncated(folder, after)
    say(_describe(before, after, scores))
    say(f"Model: {folder}")
    where = project or "PROJECT"
    say(f"A short fine-tune may win some back: blockseg train {where} --init {folder} --steps 200")
    save_json(None if json is None else Path(json), _result(folder, before, after, scores))


def _measure(
    models: list[Model], project: Path, masks: str | None, most: int
) -> tuple[Score, ...] | None:
    """Score the models on a project's labels, or on masks; None when Ctrl-C ended it."""
    from napari_blockseg.cli.truth import MaskedImages, PaintedImages
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.truncate import measure_models

    classes = models[0].spec.classes
    with Project.open(project) as opened:
        images = (
            PaintedImages(opened, classes)
            if masks is None
            else MaskedImages(opened, Path(masks), classes)
        )
    for notice in images.notices:
        warn(notice.message)
    steps = measure_models(models, images, most)
    with interrupt_flag() as asked, progress("scoring") as advance, closing(steps):
        while not asked.is_set():
            try:
                said = next(steps)
            except StopIteration as stop:
                found: tuple[Score, ...] = stop.value
                return found
            if isinstance(said, AnalysisProgress):
                advance(said.done / said.total, said.what)
            else:
                warn(said.message)
    return None


def _describe(before: Model, after: Model, scores: tuple[Score, ...]) -> str:
    was, now = (one.network.decoder_stride for one in (before, after))
    lines = [
        f"Decoder stride {was} became {now} ({after.spec.network.truncation}); the weights are "
        "what they were."
    ]
    if scores:
        rows = [
            [
                f"{one.decoder_stride} ({when})",
                number(one.cross_entropy),
                number(one.miou),
                number(one.pixel_accuracy),
            ]
            for one, when in zip(scores, ("before", "after"), strict=True)
        ]
        lines.append(table(["decoder stride", "cross-entropy", "mIoU", "accuracy"], rows))
    return "\n".join(lines)


def _result(
    folder: Path, before: Model, after: Model, scores: tuple[Score, ...]
) -> dict[str, object]:
    return {
        "model": str(folder),
        "decoder_stride": after.network.decoder_stride,
        "trained_decoder_stride": before.network.decoder_stride,
        "truncation": after.spec.network.truncation,
        "before": asdict(scores[0]) if scores else None,
        "after": asdict(scores[1]) if scores else None,
    }
