"""Metrics against small tables made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_blockseg.core.boundaries import Boundaries
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.metrics import BoundaryF, Confusion


def test_confusion_by_hand() -> None:
    truth = np.array([[1, 1, 2, 0], [2, 2, 2, 0]])
    predicted = np.array([[1, 2, 2, 1], [2, 2, 0, 2]])
    confusion = Confusion(3)
    confusion.add(truth, predicted)
    assert confusion.matrix.tolist() == [[1, 1, 0], [0, 3, 0], [0, 0, 0]]
    # class 1: 1 / (2 + 1 - 1); class 2: 3 / (4 + 4 - 3); class 3 is absent.
    assert confusion.iou()[:2] == pytest.approx([1 / 2, 3 / 5])
    assert np.isnan(confusion.iou()[2])
    assert confusion.miou() == pytest.approx(0.55)
    assert confusion.pixel_accuracy() == pytest.approx(4 / 6)


def test_a_class_that_is_only_predicted_is_not_averaged() -> None:
    confusion = Confusion(2)
    confusion.add(np.array([[1, 1]]), np.array([[1, 2]]))
    assert confusion.miou() == pytest.approx(0.5)


def test_nothing_seen_gives_none() -> None:
    confusion = Confusion(2)
    confusion.add(np.zeros((2, 2), int), np.ones((2, 2), int))
    assert confusion.miou() is None
    assert confusion.pixel_accuracy() is None
    assert BoundaryF(2).mean() is None


@given(
    masks=hnp.arrays(np.uint8, (2, 6, 7), elements=st.integers(0, 3)),
    split=st.integers(1, 5),
)
def test_confusion_is_a_sum_over_images(masks: np.ndarray, split: int) -> None:
    whole, parts = Confusion(3), Confusion(3)
    whole.add(*masks)
    parts.add(masks[0, :split], masks[1, :split])
    parts.add(masks[0, split:], masks[1, split:])
    assert np.array_equal(whole.matrix, parts.matrix)


def test_boundary_is_one_pixel_on_each_side_and_void_is_no_class() -> None:
    mask = np.array([[1, 1, 2, 2, 0, 1]] * 3)
    edges = Boundaries(mask, 1.0)
    assert edges.points(1).tolist() == [1, 7, 13]
    assert edges.points(2).tolist() == [2, 8, 14]
    assert edges.points(3).tolist() == []


def test_boundary_f_forgives_a_shift_within_tolerance_only() -> None:
    # Diagonal 200 px: tolerance 1.5 px.
    truth = np.ones((120, 160), int)
    truth[:, 80:] = 2
    for shift, expected in ((0, 1.0), (1, 1.0), (2, 0.0)):
        predicted = np.ones_like(truth)
        predicted[:, 80 + shift :] = 2
        score = BoundaryF(2)
        score.add(truth, predicted)
        assert score.mean() == pytest.approx(expected)


def test_boundary_f_of_a_missed_class_is_zero_and_averages_over_images_that_have_it() -> None:
    first = np.ones((20, 20), int)
    first[5:9, 5:9] = 2
    score = BoundaryF(3)
    score.add(first, np.ones_like(first))
    assert score.scores()[1] == 0
    score.add(np.ones_like(first), np.ones_like(first))
    assert score.scores()[:2] == pytest.approx([0.5, 0.0])
    assert np.isnan(score.scores()[2])


def test_masks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(LabelError, match="must be equal"):
        Confusion(2).add(np.ones((2, 2), int), np.ones((2, 3), int))
    with pytest.raises(LabelError, match="expected 0 to 2"):
        BoundaryF(2).add(np.ones((2, 2), int), np.full((2, 2), 3))
