"""Advice on the block size: ceilings estimated from block labels, and what to paint at."""

from napari_blockseg.core.advice.counts import PairCounts, count_pairs
from napari_blockseg.core.advice.estimate import (
    BAND_COVERS,
    EstimatedCeiling,
    estimate_ceilings,
    estimate_from_counts,
)
from napari_blockseg.core.advice.recommend import (
    MIN_OWNED_BLOCKS,
    TRAINED_GOAL,
    Advice,
    recommend,
)
from napari_blockseg.core.advice.trained import Prediction, predict_trained, trained_ratio

__all__ = [
    "BAND_COVERS",
    "MIN_OWNED_BLOCKS",
    "TRAINED_GOAL",
    "Advice",
    "EstimatedCeiling",
    "PairCounts",
    "Prediction",
    "count_pairs",
    "estimate_ceilings",
    "estimate_from_counts",
    "predict_trained",
    "recommend",
    "trained_ratio",
]
