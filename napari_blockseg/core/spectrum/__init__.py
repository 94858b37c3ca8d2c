"""Spectra of label maps and of the cross-entropy, in the square band that matches a block grid."""

from napari_blockseg.core.spectrum.band_limited import (
    LargestClass,
    band_limited_labels,
    class_spectra,
)
from napari_blockseg.core.spectrum.bands import (
    band_limit,
    both_sides,
    default_cutoffs,
    energy_below,
    low_pass,
    one_hot,
    square_frequency,
    sum_below,
)
from napari_blockseg.core.spectrum.labels import (
    MIN_BLOCKS,
    MIN_COVERAGE,
    LabelSpectrum,
    combine,
    label_spectrum,
)
from napari_blockseg.core.spectrum.live import LiveSpectrum
from napari_blockseg.core.spectrum.loss import (
    LossSpectrum,
    LossSpectrumSum,
    cross_entropy_by_frequency,
    gradient_by_frequency,
    truncated_cross_entropy,
)
from napari_blockseg.core.spectrum.overlap import OverlapSum, hard_iou, soft_iou
from napari_blockseg.core.spectrum.radial import (
    RadialProfile,
    radial_label_profile,
    radial_profile,
)

__all__ = [
    "MIN_BLOCKS",
    "MIN_COVERAGE",
    "LabelSpectrum",
    "LargestClass",
    "LiveSpectrum",
    "LossSpectrum",
    "LossSpectrumSum",
    "OverlapSum",
    "RadialProfile",
    "band_limit",
    "band_limited_labels",
    "both_sides",
    "class_spectra",
    "combine",
    "cross_entropy_by_frequency",
    "default_cutoffs",
    "energy_below",
    "gradient_by_frequency",
    "hard_iou",
    "label_spectrum",
    "low_pass",
    "one_hot",
    "radial_label_profile",
    "radial_profile",
    "soft_iou",
    "square_frequency",
    "sum_below",
    "truncated_cross_entropy",
]
