"""Advice on the block size: ceilings estimated from block labels, and what to paint at."""

from napari_blockseg.core.advice.counts import PairCounts, count_pairs
from napari_blockseg.core.advice.estimate import (
    BAND_COVERS,
    ESTIMATE_ERROR,
    EstimatedCeiling,
    estimate_ceilings,
    estimate_from_counts,
)
from napari_blockseg.core.advice.recommend import (
    MIN_CEILING,
    MIN_OWNED_BLOCKS,
    Advice,
    recommend,
)

__all__ = [
    "BAND_COVERS",
    "ESTIMATE_ERROR",
    "MIN_CEILING",
    "MIN_OWNED_BLOCKS",
    "Advice",
    "EstimatedCeiling",
    "PairCounts",
    "count_pairs",
    "estimate_ceilings",
    "estimate_from_counts",
    "recommend",
]
