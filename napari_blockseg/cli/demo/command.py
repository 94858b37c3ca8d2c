"""``blockseg demo``: paint, look at the spectrum, train, predict, score; with pictures."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_blockseg.cli.console import number, save_json, say, table
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.cli.outputs import folder_to_write
from napari_blockseg.core.config import TrainConfig

#: What each sample is trained for unless the command line says otherwise.
DEMO_STEPS = 200
#: On a slow machine it is trained for this many minutes at most.
MOST_MINUTES = 3.5
#: The sample images are small: larger crops would be mostly margin.
DEMO_CROP = 128


def demo(
    out: Annotated[
        str,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where projects and pictures go.",
            callback=folder_to_write,
        ),
    ] = "blockseg_demo",
    sample: Annotated[
        str | None, typer.Option("--sample", metavar="NAME", help="Only this sample.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="M", help="Train each sample for this time instead."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", metavar="N", help=f"Train each sample this long; {DEMO_STEPS}."),
    ] = None,
    seed: Annotated[int | None, config_option(TrainConfig, "seed")] = None,
    shuffle_labels: Annotated[
        bool,
        typer.Option(
            "--shuffle-labels", help="The control: painted labels change places, scores must fall."
        ),
    ] = False,
    json: JsonFile = None,
) -> None:
    """Do the whole job on the bundled samples."""
    most_minutes = math.inf
    if minutes is None and steps is None:
        steps, most_minutes = DEMO_STEPS, MOST_MINUTES
    config = config_from_options(
        TrainConfig, minutes=minutes, steps=steps, seed=seed, crop=DEMO_CROP
    )
    from napari_blockseg.cli.demo.job import run_sample
    from napari_blockseg.files.samples import sample as find_sample
    from napari_blockseg.files.samples import samples

    start = time.monotonic()
    chosen = samples() if sample is None else (find_sample(sample),)
    results = {
        one.name: run_sample(one, Path(out), config, shuffle_labels, 60 * most_minutes)
        for one in chosen
    }
    say(_summary(results, time.monotonic() - start))
    save_json(None if json is None else Path(json), {"samples": results})


def _summary(results: dict[str, dict[str, Any]], seconds: float) -> str:
    rows = [
        [name, str(one["blocks"]), number(one["miou"]), number(one["pixel_accuracy"])]
        for name, one in results.items()
    ]
    header = ["sample", "blocks painted", "test mIoU", "test pixel accuracy"]
    pictures = [path for one in results.values() for path in one["pictures"]]
    return "\n".join(
        [
            "",
            f"== Done in {seconds / 60:.1f} minutes. On images never painted and never trained on:",
            table(header, rows),
            "Look at " + ", ".join(pictures),
        ]
    )
