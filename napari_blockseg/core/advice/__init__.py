"""Advice from block labels: what to paint at, and how coarse a network's decoder may be."""

from napari_blockseg.core.advice.counts import PairCounts, count_pairs
from napari_blockseg.core.advice.estimate import (
    BAND_COVERS,
    EstimatedCeiling,
    estimate_ceilings,
    estimate_from_counts,
)
from napari_blockseg.core.advice.grids import (
    Grids,
    energy_strides,
    grid_candidates,
    possible_grids,
)
from napari_blockseg.core.advice.label_energy import LabelEnergy, label_energy
from napari_blockseg.core.advice.recommend import (
    MIN_OWNED_BLOCKS,
    TRAINED_GOAL,
    Advice,
    recommend,
)
from napari_blockseg.core.advice.stride_words import (
    choose_grids,
    choose_stride,
    kept_choice,
    only_choice,
)
from napari_blockseg.core.advice.strides import (
    MIN_STEPS,
    choose_candidate,
    known_costs,
    measured_losses,
    stride_candidates,
)
from napari_blockseg.core.advice.trained import Prediction, predict_trained, trained_ratio

__all__ = [
    "BAND_COVERS",
    "MIN_OWNED_BLOCKS",
    "MIN_STEPS",
    "TRAINED_GOAL",
    "Advice",
    "EstimatedCeiling",
    "Grids",
    "LabelEnergy",
    "PairCounts",
    "Prediction",
    "choose_candidate",
    "choose_grids",
    "choose_stride",
    "count_pairs",
    "energy_strides",
    "estimate_ceilings",
    "estimate_from_counts",
    "grid_candidates",
    "kept_choice",
    "known_costs",
    "label_energy",
    "measured_losses",
    "only_choice",
    "possible_grids",
    "predict_trained",
    "recommend",
    "stride_candidates",
    "trained_ratio",
]
