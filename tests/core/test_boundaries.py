"""Boundary pixels and their neighbourhoods, against dilations and distance transforms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from napari_blockseg.core.boundaries import Boundaries, boundary
from napari_blockseg.core.metrics import BoundaryF, boundary_scores

masks = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.integers(0, 3)
)


@given(mask=masks)
def test_boundary_pixels_have_a_neighbour_of_another_class(mask):
    edges = Boundaries(mask, 1.0)
    for value in (1, 2, 3):
        other = (mask != value) & (mask > 0)
        expected = (mask == value) & ndimage.binary_dilation(other)
        assert edges.points(value).tolist() == np.flatnonzero(expected).tolist()
        assert edges.has(value) == (mask == value).any()
        assert np.array_equal(boundary(mask) & (mask == value), expected)


@pytest.mark.parametrize("shape", [(40, 50), (400, 380)])
@given(radius=st.floats(0.5, 12), density=st.floats(0.0005, 0.5), seed=st.integers(0, 9))
def test_near_is_within_the_radius_however_it_is_found(shape, radius, density, seed):
    # Few points are stamped with disks, many take a distance transform: the same pixels.
    mask = (np.random.default_rng(seed).random(shape) < density).astype(np.uint8) + 1
    edges = Boundaries(mask, radius)
    points = edges.points(2)
    if points.size:
        away = np.ones(shape, bool)
        away.ravel()[points] = False
        expected = ndimage.distance_transform_edt(away) <= radius
        assert np.array_equal(edges.near(2), expected.ravel())


@given(
    truth=hnp.arrays(np.uint8, (14, 17), elements=st.integers(0, 3)),
    others=hnp.arrays(np.uint8, (3, 14, 17), elements=st.integers(0, 3)),
)
def test_several_predictions_score_as_they_do_one_by_one(truth, others):
    together = boundary_scores(truth, list(others), 3, 0.1)
    for scores, one in zip(together, others, strict=True):
        alone = BoundaryF(3, 0.1)
        alone.add(truth, one)
        assert np.allclose(scores, alone.scores(), equal_nan=True)
        assert np.array_equal(np.isnan(scores), [not (truth == c).any() for c in (1, 2, 3)])
