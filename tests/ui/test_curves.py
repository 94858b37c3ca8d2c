"""Plot geometry: pure functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.classes import default_color, make_classes
from napari_blockseg.ui.curves import (
    TrainingHistory,
    contrast,
    iou_curves,
    loss_curves,
    readable,
    smoothed,
    thinned,
)

DARK, LIGHT = (38, 41, 48), (235, 231, 230)
colors = st.tuples(*[st.integers(0, 255)] * 3)


def test_contrast_of_black_and_white():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((9, 9, 9), (9, 9, 9)) == pytest.approx(1)


@given(colors, st.sampled_from([DARK, LIGHT, (0, 0, 0), (255, 255, 255)]))
def test_every_color_is_readable_on_every_theme(color, background):
    assert contrast(readable(color, background), background) >= 2.6


@pytest.mark.parametrize("index", range(7))
def test_colors_that_are_readable_stay_as_they_are(index):
    color = default_color(index)
    if contrast(color, DARK) >= 2.6:
        assert readable(color, DARK) == color


@given(st.integers(1, 5000), st.integers(2, 300))
def test_thinning_keeps_the_ends_of_time_and_the_mean(n, points):
    x, y = thinned(range(n), [1.0] * n, points)
    assert len(x) <= points
    assert np.all(np.diff(x) > 0)
    np.testing.assert_allclose(y, 1.0)


def test_thinning_passes_over_lost_values():
    _, y = thinned(range(4), [1.0, math.nan, math.nan, math.nan], points=2)
    assert y[0] == 1.0
    assert math.isnan(y[1])


def test_smoothing_is_a_running_mean():
    y = np.array([0.0, 0.0, 3.0, 0.0, 0.0])
    np.testing.assert_allclose(smoothed(y, 0.4), [0, 1, 1, 1, 0])
    assert smoothed(y, 0.0) is y


def test_history_keeps_classes_that_come_later_in_step():
    history = TrainingHistory()
    history.add_step(1, None)
    history.add_validation(10, 0.5, {"sky": 0.5})
    history.add_validation(20, 0.4, {"sky": 0.6, "road": 0.2})
    history.add_validation(30, None, {})
    assert history.ious["road"][1] == 0.2
    assert math.isnan(history.ious["road"][0])
    assert len(history.ious["sky"]) == len(history.val_steps) == 3
    assert math.isnan(history.losses[0])


def test_training_curves_have_the_class_colors_and_a_mean():
    history = TrainingHistory()
    history.add_step(1, 2.0)
    history.add_validation(1, 0.5, {"sky": 0.5, "gone": 0.1})
    classes = make_classes(["sky", "road"])
    found = iou_curves(history, classes, (255, 255, 255), DARK)
    assert [curve.name for curve in found] == ["sky", "mean"]
    assert found[0].color == classes[0].color
    assert [curve.name for curve in loss_curves(history, (0, 0, 0), DARK)] == ["loss", "mean loss"]


def test_steps_that_begin_anew_take_the_place_of_those_before():
    """An interactive session begins anew with other classes; lines do not run back."""
    history = TrainingHistory()
    for step in range(1, 7):
        history.add_step(step, 1.0)
        history.add_validation(step, 0.5, {"a": 0.5})
    history.add_step(3, 2.0)
    assert history.steps == [*history.val_steps, 3] == [1, 2, 3]
    assert history.losses == [1.0, 1.0, 2.0]
    history.add_validation(3, 0.7, {"a": 0.7, "b": 0.7})
    history.add_validation(3, 0.8, {"a": 0.8})  # scored again before the next step
    assert history.mious == [0.5, 0.5, 0.7, 0.8]
    assert history.ious["a"] == [0.5, 0.5, 0.7, 0.8]
    assert [math.isnan(value) for value in history.ious["b"]] == [True, True, False, True]
