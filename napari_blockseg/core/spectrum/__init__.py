"""Spectra of label maps and of the cross-entropy, in the square band that matches a block grid."""

from napari_blockseg.core.spectrum.bands import (
    band_limit,
    default_cutoffs,
    energy_below,
    one_hot,
    square_frequency,
)
from napari_blockseg.core.spectrum.labels import (
    MIN_BLOCKS,
    MIN_COVERAGE,
    LabelSpectrum,
    label_spectrum,
)

__all__ = [
    "MIN_BLOCKS",
    "MIN_COVERAGE",
    "LabelSpectrum",
    "band_limit",
    "default_cutoffs",
    "energy_below",
    "label_spectrum",
    "one_hot",
    "square_frequency",
]
