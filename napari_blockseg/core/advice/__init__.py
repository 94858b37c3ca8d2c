"""Advice on the block size: ceilings estimated from block labels, and what to paint at."""

from napari_blockseg.core.advice.estimate import (
    ESTIMATE_ERROR,
    EstimatedCeiling,
    estimate_ceilings,
)
from napari_blockseg.core.advice.recommend import (
    MIN_CEILING,
    MIN_OWNED_BLOCKS,
    Advice,
    recommend,
)

__all__ = [
    "ESTIMATE_ERROR",
    "MIN_CEILING",
    "MIN_OWNED_BLOCKS",
    "Advice",
    "EstimatedCeiling",
    "estimate_ceilings",
    "recommend",
]
