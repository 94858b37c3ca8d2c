"""The loss spectrum over a data set: sums, both discrepancies, memory, and what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from napari_blockseg.core.errors import BlockSegError, LabelError
from napari_blockseg.core.spectrum import (
    LossSpectrumSum,
    band_limit,
    cross_entropy_by_frequency,
    one_hot,
    truncated_cross_entropy,
)

CUTOFFS = np.array([0.0, 0.05, 0.125, 0.25, 0.5])


def scene(shape=(48, 64), n_classes=4, seed=0, gain=3.0):
    """Return smooth labels and the logits of a network that knows them roughly."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(n_classes, *shape)), (0, 5, 5))
    values = noise.argmax(0) + 1
    blurred = ndimage.gaussian_filter(one_hot(values, n_classes), (0, 2, 2))
    return gain * (4 * blurred + rng.normal(size=blurred.shape, scale=0.2)), values


def loss_of(logits, values):
    top = logits.max(0)
    surprise = top + np.log(np.exp(logits - top).sum(0)) - logits
    return float((one_hot(values, len(logits)) * surprise).sum())


def test_images_of_different_sizes_are_summed_before_they_are_divided():
    total = LossSpectrumSum(CUTOFFS)
    inside, loss, labelled = np.zeros(len(CUTOFFS)), 0.0, 0
    for seed, shape in enumerate([(48, 64), (31, 20), (5, 7)]):
        logits, values = scene(shape, seed=seed)
        values[: 2 * seed] = 0
        total.add(logits, values)
        n = np.count_nonzero(values)
        inside += truncated_cross_entropy(logits, values, CUTOFFS) * n
        loss += loss_of(logits, values)
        labelled += n
    found = total.result()
    assert found.n_labelled == labelled
    assert found.cross_entropy == pytest.approx(loss / labelled, rel=1e-12)
    assert np.allclose(found.truncated, inside / labelled, rtol=1e-12)
    assert found.truncated[-1] == pytest.approx(found.cross_entropy, rel=1e-12)


def test_an_image_without_labels_changes_nothing():
    total = LossSpectrumSum(CUTOFFS)
    total.add(*scene())
    before = total.result()
    total.add(scene()[0], np.zeros((48, 64), np.uint8))
    after = total.result()
    assert np.array_equal(after.truncated, before.truncated)
    assert (after.cross_entropy, after.n_labelled) == (before.cross_entropy, before.n_labelled)


def test_nothing_seen_is_not_a_number():
    found = LossSpectrumSum(CUTOFFS).result()
    assert found.n_labelled == 0
    assert np.isnan([found.cross_entropy, found.mean_term]).all()
    assert np.isnan(found.truncated).all()
    assert np.isnan(found.discrepancy).all()


def test_both_discrepancies_by_their_definition():
    logits, values = scene()
    total = LossSpectrumSum(CUTOFFS)
    total.add(logits, values)
    found = total.result()
    loss = loss_of(logits, values) / values.size
    mean = cross_entropy_by_frequency(logits, values)[0, 0] / values.size
    assert found.mean_term == pytest.approx(mean, rel=1e-12)
    assert found.truncated[0] == pytest.approx(mean, rel=1e-12)
    assert np.allclose(found.discrepancy, np.abs(found.truncated - loss) / loss, atol=1e-12)
    assert np.allclose(found.discrepancy_of_mean, (found.truncated - loss) / mean, atol=1e-12)
    assert found.discrepancy[-1] == pytest.approx(0, abs=1e-12)
    assert found.discrepancy_of_mean[0] == pytest.approx(1 - loss / mean, rel=1e-12)


def test_the_discrepancy_follows_the_scale_of_the_logits_and_the_other_does_not():
    found = []
    for gain in (0.5, 2.0, 8.0):
        logits, values = scene(gain=gain)
        total = LossSpectrumSum(np.array([0.05]))
        total.add(logits, values)
        found.append(total.result())
    ratios = [one.discrepancy[0] for one in found]
    of_mean = [abs(one.discrepancy_of_mean[0]) for one in found]
    assert found[0].cross_entropy > 3 * found[2].cross_entropy
    assert ratios[2] / ratios[0] > 10
    assert max(of_mean) / min(of_mean) < 0.4 * ratios[2] / ratios[0]


def test_a_single_class_costs_nothing_and_its_discrepancy_is_not_a_number():
    total = LossSpectrumSum(CUTOFFS)
    total.add(np.random.default_rng(0).normal(size=(1, 9, 8)), np.ones((9, 8), int))
    found = total.result()
    assert found.cross_entropy == 0
    assert (found.truncated == 0).all()
    assert np.isnan(found.discrepancy).all()
    assert np.isnan(found.discrepancy_of_mean).all()


def test_block_averaged_labels_are_given_as_soft_labels():
    logits, values = scene()
    values[:8] = 0
    maps = one_hot(values, 4)
    soft = maps.reshape(4, 12, 4, 16, 4).mean((2, 4)).repeat(4, 1).repeat(4, 2)
    total = LossSpectrumSum(CUTOFFS)
    total.add(logits, soft_labels=soft)
    found = total.result()
    assert found.n_labelled == np.count_nonzero(values)
    top = logits.max(0)
    surprise = top + np.log(np.exp(logits - top).sum(0)) - logits
    expected = [(band_limit(soft, c) * surprise).sum() / soft.sum() for c in CUTOFFS]
    assert np.allclose(found.truncated, expected, rtol=1e-12)


def test_large_logits_do_not_overflow():
    logits, values = scene(gain=500.0)
    found = truncated_cross_entropy(logits.astype(np.float32), values, CUTOFFS)
    assert np.isfinite(found).all()
    assert found[-1] == pytest.approx(loss_of(logits, values) / values.size, rel=1e-4)


def test_half_precision_logits_are_computed_in_single():
    logits, values = scene()
    half = logits.astype(np.float16)
    found = truncated_cross_entropy(half, values, CUTOFFS)
    same = truncated_cross_entropy(half.astype(np.float64), values, CUTOFFS)
    assert np.allclose(found, same, rtol=1e-4, atol=1e-5)


def test_memory_does_not_grow_with_the_classes():
    peaks = []
    for n_classes in (3, 40):
        logits, values = scene((160, 160), n_classes)
        logits = logits.astype(np.float32)
        tracemalloc.start()
        LossSpectrumSum(CUTOFFS).add(logits, values)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[1] < 20 * 160 * 160 * 4


@pytest.mark.parametrize(
    ("logits", "values", "says"),
    [
        (np.zeros((2, 4, 4)), np.zeros((4, 5), int), "same rows and cols"),
        (np.zeros((4, 4)), np.zeros((4, 4), int), "K, rows, cols"),
        (np.zeros((2, 4, 4)), np.full((4, 4), 3), "expected 0"),
        (np.zeros((2, 4, 4)), np.full((4, 4), -1), "expected 0"),
        (np.full((2, 4, 4), np.nan), np.ones((4, 4), int), "not finite"),
        (np.full((2, 4, 4), -np.inf), np.ones((4, 4), int), "not finite"),
        (np.zeros((2, 4, 4)), None, "no labels"),
    ],
)
def test_what_does_not_fit_is_refused(logits, values, says):
    with pytest.raises(LabelError, match=says):
        LossSpectrumSum(CUTOFFS).add(logits, values)


@pytest.mark.parametrize("cutoffs", [[0.2, 0.1], [-0.1, 0.2], [np.nan], [[0.1]]])
def test_cutoffs_have_to_rise_from_zero(cutoffs):
    with pytest.raises(BlockSegError, match="expected a list that rises"):
        LossSpectrumSum(np.array(cutoffs))
