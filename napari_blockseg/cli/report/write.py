"""Writes a report's folder: index.html, the pictures as PNG, the numbers as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum import Findings
    from napari_blockseg.core.analysis import Analysis

PAGE = "index.html"


def write_spectrum_report(findings: Findings, folder: Path) -> Path:
    """Write what `blockseg spectrum` found for someone who has not read the paper.

    Parameters
    ----------
    findings : Findings
        What was found.
    folder : Path
        Is created; gets index.html, spectrum.json, spectrum.png (the curves), ceilings.png and,
        where there is a plane to show, strip.png.

    Returns
    -------
    Path
        The page.
    """
    from napari_blockseg.cli.pictures import draw_ceilings, draw_curves, draw_strip
    from napari_blockseg.cli.report.spectrum_page import spectrum_page
    from napari_blockseg.cli.spectrum import to_json
    from napari_blockseg.core.atomic import write_json, write_text

    write_json(folder / "spectrum.json", to_json(findings))
    draw_curves(findings, folder / "spectrum.png")
    draw_ceilings(findings, folder / "ceilings.png")
    if findings.examples:
        best = findings.advice.recommended_block
        draw_strip(findings.examples, findings.classes, folder / "strip.png", best)
    write_text(folder / PAGE, spectrum_page(findings))
    return folder / PAGE


def write_analysis_report(analysis: Analysis, folder: Path) -> Path:
    """Write what the analysis of a trained network found.

    Parameters
    ----------
    analysis : Analysis
        What was found.
    folder : Path
        Is created; gets index.html, analysis.json, loss.png and, where they were looked at,
        layers.png and trials.png.

    Returns
    -------
    Path
        The page.
    """
    from napari_blockseg.cli.pictures import draw_layers, draw_loss, draw_trials
    from napari_blockseg.cli.report.analysis_page import analysis_page
    from napari_blockseg.core.analysis import save_analysis
    from napari_blockseg.core.atomic import write_text

    save_analysis(folder, analysis)
    draw_loss(analysis, folder / "loss.png")
    if analysis.end.layers:
        draw_layers(analysis, folder / "layers.png")
    if analysis.trials:
        draw_trials(analysis, folder / "trials.png")
    write_text(folder / PAGE, analysis_page(analysis))
    return folder / PAGE
