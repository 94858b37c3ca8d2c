"""The command itself: study, say, write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_blockseg.cli.console import save_json, say
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.cli.outputs import folder_to_write
from napari_blockseg.cli.spectrum.numbers import to_json
from napari_blockseg.cli.spectrum.study import study
from napari_blockseg.cli.spectrum.text import describe


def spectrum(
    target: Annotated[
        str,
        typer.Argument(metavar="PROJECT|MASKS_DIR", help="A project, or a folder of dense masks."),
    ],
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Write a page with curves and pictures there (index.html, works offline).",
            callback=folder_to_write,
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Say which block size the labels need."""
    findings = study(Path(target))
    say(describe(findings))
    if report is not None:
        from napari_blockseg.cli.report import write_spectrum_report

        say(f"Wrote {write_spectrum_report(findings, Path(report))}.")
    save_json(None if json is None else Path(json), to_json(findings))
