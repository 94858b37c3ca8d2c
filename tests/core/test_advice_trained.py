"""From ceilings to trained networks, and the words of the advice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.advice import (
    TRAINED_GOAL,
    EstimatedCeiling,
    predict_trained,
    recommend,
    trained_ratio,
)

SHARES = st.floats(0, 1)


def row(block: int, iou: list[float], owned: list[float], error: float = 0.03) -> EstimatedCeiling:
    values = np.array(iou)
    return EstimatedCeiling(block, float(np.nanmean(values)), values, np.array(owned), error)


def test_perfect_labels_train_like_dense_masks() -> None:
    assert trained_ratio(1.0) == 1.0
    assert trained_ratio(0.7, loss=1.0, power=3.0) == pytest.approx(1 - 0.027)


@given(SHARES, SHARES)
def test_better_labels_never_train_worse(a: float, b: float) -> None:
    low, high = sorted((trained_ratio(a), trained_ratio(b)))
    assert (trained_ratio(min(a, b)), trained_ratio(max(a, b))) == (low, high)
    assert 0 <= low <= high <= 1


@given(SHARES, SHARES)
def test_predictions_lie_in_their_bands(ceiling: float, error: float) -> None:
    sure, unsure = predict_trained(8, ceiling), predict_trained(8, ceiling, error)
    for one in (sure, unsure):
        assert 0 <= one.low <= one.trained_ratio <= one.high <= 1
    assert unsure.low <= sure.low
    assert unsure.high >= sure.high


def test_the_coarsest_that_reaches_the_goal_is_recommended() -> None:
    rows = [
        row(4, [0.95, 0.9], [4000, 4000]),
        row(8, [0.85, 0.8], [1000, 1000]),
        row(16, [0.5, 0.4], [250, 250]),
    ]
    advice = recommend(rows, ("cell", "wall"))
    assert advice.recommended_block == 8
    ratios = [one.trained_ratio for one in advice.predictions]
    assert [one.block for one in advice.predictions] == [4, 8, 16]
    assert all(a > b for a, b in itertools.pairwise(ratios))
    assert ratios[1] >= TRAINED_GOAL > ratios[2]
    assert f"{100 * ratios[1]:.0f} %" in advice.reason
    assert "0.82 ± 0.03" in advice.reason
    assert "estimated" in advice.reason


def test_a_lost_class_is_named_with_the_block_it_needs() -> None:
    rows = [
        row(4, [0.9, 0.9, 0.6, np.nan], [4000, 4000, 300, 0]),
        row(8, [0.9, 0.9, 0.3, np.nan], [1000, 1000, 20, 0]),
    ]
    advice = recommend(rows, ("cell", "ground", "rim", "never painted"))
    assert advice.recommended_block == 8
    assert advice.unresolved == {"rim": 4}
    assert "rim (needs 4 pixels)" in advice.reason


def test_null_comes_with_its_reason() -> None:
    coarse = recommend([row(4, [0.3, 0.2], [500, 500])], ("a", "b"))
    assert coarse.recommended_block is None
    assert "too coarse" in coarse.reason
    assert len(coarse.predictions) == 1
    few = recommend([row(4, [0.9, 0.9], [20, 20])], ("a", "b"))
    assert few.recommended_block is None
    assert "Not enough paint" in few.reason
    assert few.predictions == ()
