"""``blockseg spectrum``: label spectra and ceilings, measured on masks or estimated from blocks."""

from napari_blockseg.cli.spectrum.command import spectrum
from napari_blockseg.cli.spectrum.findings import Findings, LabelCurve
from napari_blockseg.cli.spectrum.numbers import to_json
from napari_blockseg.cli.spectrum.study import estimate, study, study_masks, study_project
from napari_blockseg.cli.spectrum.text import describe

__all__ = [
    "Findings",
    "LabelCurve",
    "describe",
    "estimate",
    "spectrum",
    "study",
    "study_masks",
    "study_project",
    "to_json",
]
