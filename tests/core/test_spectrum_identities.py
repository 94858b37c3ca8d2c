"""Every identity of the method, against the same thing computed pixel by pixel.

The references use numpy's full complex FFT and plain sums in float64: none of the code under test.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from napari_blockseg.core.spectrum import (
    OverlapSum,
    band_limit,
    cross_entropy_by_frequency,
    default_cutoffs,
    energy_below,
    gradient_by_frequency,
    hard_iou,
    one_hot,
    soft_iou,
    truncated_cross_entropy,
)

# Relative to the sum of the absolute terms, which is what rounding goes by.
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}
SHAPES = [(16, 16), (15, 17), (16, 15), (9, 1), (1, 1)]
CUTOFFS = np.array([0.0, 0.03, 0.0625, 0.125, 0.25, 0.37, 0.5])


def case(shape, n_classes, masked, dtype, seed=0):
    """Return logits in `dtype` and labels; masked: a third of the pixels unlabelled."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_classes, *shape), scale=4).astype(dtype)
    values = rng.integers(1, n_classes + 1, shape)
    if masked:
        values[rng.random(shape) < 1 / 3] = 0
        values.ravel()[0] = 1
    return logits, values


def surprise(logits):
    """-log softmax, (K, rows, cols), in float64."""
    logits = logits.astype(np.float64)
    top = logits.max(0)
    return top + np.log(np.exp(logits - top).sum(0)) - logits


def ideal_low_pass(maps, cutoff):
    rows, cols = (np.abs(np.fft.fftfreq(n)) for n in maps.shape[-2:])
    inside = np.maximum(rows[:, None], cols[None]) <= cutoff + 1e-12
    return np.fft.ifft2(np.fft.fft2(maps) * inside).real


def everything(test):
    """Run at float32 and float64, odd and even sizes, with and without mask, 1 and 21 classes."""
    test = pytest.mark.parametrize("dtype", [np.float64, np.float32])(test)
    test = pytest.mark.parametrize("shape", SHAPES, ids=str)(test)
    test = pytest.mark.parametrize("masked", [False, True], ids=["all labelled", "masked"])(test)
    return pytest.mark.parametrize("n_classes", [1, 3, 21])(test)


# -- 1, 2, 3: cross-entropy ----------------------------------------------------------------------


@everything
def test_1_the_terms_add_up_to_the_cross_entropy(dtype, shape, masked, n_classes):
    logits, values = case(shape, n_classes, masked, dtype)
    terms = cross_entropy_by_frequency(logits, values)
    assert terms.shape == (shape[0], shape[1] // 2 + 1)
    expected = (one_hot(values, n_classes) * surprise(logits)).sum()
    assert abs(terms.sum() - expected) <= TOLERANCE[dtype] * max(np.abs(terms).sum(), 1e-300)


@everything
def test_1_every_term_is_that_of_the_full_complex_fft(dtype, shape, masked, n_classes):
    logits, values = case(shape, n_classes, masked, dtype)
    terms = cross_entropy_by_frequency(logits, values)
    # The formula as it is written, with b, y and yp apart.
    b = np.fft.fft2(one_hot(values, n_classes))
    y = np.fft.fft2(logits.astype(float))
    yp = np.fft.fft2(np.log(np.exp(logits.astype(float)).sum(0)))
    full = (b.conj() * (yp - y)).sum(0) / values.size
    folded = full[:, : shape[1] // 2 + 1].real.copy()
    twins = -np.arange(shape[1] // 2 + 1) % shape[1]
    has_twin = twins != np.arange(shape[1] // 2 + 1)
    folded[:, has_twin] += full[-np.arange(shape[0]) % shape[0]][:, twins[has_twin]].real
    scale = np.abs(full).sum() + np.abs(yp).max()
    assert np.abs(terms - folded).max() <= TOLERANCE[dtype] * scale


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_2_one_hot_maps_cancel_away_from_dc_only_when_all_is_labelled(shape):
    _, values = case(shape, 21, False, np.float64)
    together = np.fft.rfft2(one_hot(values, 21)).sum(0)
    assert together[0, 0] == pytest.approx(values.size, rel=1e-12)
    together[0, 0] = 0
    assert np.abs(together).max() <= 1e-12 * values.size


@pytest.mark.parametrize("masked", [False, True], ids=["all labelled", "masked"])
def test_2_yp_matters_away_from_dc_only_with_unlabelled_pixels(masked):
    logits, values = case((16, 15), 3, masked, np.float64)
    # The same number added to every class moves Yp and no loss.
    shifted = logits + np.random.default_rng(1).normal(size=(1, 16, 15), scale=10)
    terms, moved = (cross_entropy_by_frequency(y, values) for y in (logits, shifted))
    assert np.allclose(terms, moved, rtol=0, atol=1e-11)
    # The terms as they would be if Yp were dropped; all columns but the first stand for two.
    b, y = np.fft.rfft2(one_hot(values, 3)), np.fft.rfft2(shifted)
    without = -(b.conj() * y).sum(0).real / values.size * np.array([1.0] + [2.0] * 7)
    lost = np.abs(without - moved)
    lost[0, 0] = 0
    assert lost.max() > 1 if masked else lost.max() < 1e-11


@everything
def test_3_truncated_is_the_cross_entropy_of_low_passed_labels(dtype, shape, masked, n_classes):
    logits, values = case(shape, n_classes, masked, dtype)
    found = truncated_cross_entropy(logits, values, CUTOFFS)
    losses, maps = surprise(logits), one_hot(values, n_classes)
    weight = np.count_nonzero(values)
    expected = [(ideal_low_pass(maps, cutoff) * losses).sum() / weight for cutoff in CUTOFFS]
    scale = max(np.abs(losses).max(), 1e-300)
    assert np.abs(found - expected).max() <= TOLERANCE[dtype] * scale
    assert found[-1] == pytest.approx((maps * losses).sum() / weight, rel=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_3_low_passed_labels_can_be_given_as_they_are(dtype):
    logits, values = case((24, 20), 3, True, dtype)
    low = ideal_low_pass(one_hot(values, 3), 0.125).astype(dtype)
    assert low.min() < -0.05  # negative lobes, not clamped
    soft = cross_entropy_by_frequency(logits, soft_labels=low).sum() / np.count_nonzero(values)
    hard = truncated_cross_entropy(logits, values, np.array([0.125]))[0]
    assert soft == pytest.approx(hard, rel=TOLERANCE[dtype])


@given(
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    n_classes=st.integers(1, 5),
    cutoff=st.floats(0, 0.5),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_1_and_3_at_any_size(rows, cols, n_classes, cutoff, seed):
    logits, values = case((rows, cols), n_classes, bool(seed % 2), np.float64, seed)
    losses, maps = surprise(logits), one_hot(values, n_classes)
    weight = np.count_nonzero(values)
    found = truncated_cross_entropy(logits, values, np.array([cutoff, 0.5]))
    low = (ideal_low_pass(maps, cutoff) * losses).sum() / weight
    assert found == pytest.approx([low, (maps * losses).sum() / weight], rel=1e-11, abs=1e-11)


def test_constant_labels_are_all_in_the_mean_term():
    logits, _ = case((12, 15), 4, False, np.float64)
    values = np.full((12, 15), 3)
    terms = cross_entropy_by_frequency(logits, values)
    assert terms[0, 0] == pytest.approx(surprise(logits)[2].sum(), rel=1e-13)
    terms[0, 0] = 0
    assert np.abs(terms).max() < 1e-12


def test_constant_logits_leave_the_share_of_classes_alone():
    # The loss is the same at every pixel of a class: no term away from DC without a mask.
    logits = np.broadcast_to(np.array([1.0, -2.0, 0.5])[:, None, None], (3, 10, 13))
    values = case((10, 13), 3, False, np.float64)[1]
    terms = cross_entropy_by_frequency(logits, values)
    counts = np.bincount(values.ravel(), minlength=4)[1:]
    assert terms[0, 0] == pytest.approx(counts @ surprise(logits)[:, 0, 0], rel=1e-13)
    assert np.abs(terms).sum() == pytest.approx(terms[0, 0], rel=1e-12)


# -- 5: overlap ----------------------------------------------------------------------------------


def softmax(logits):
    return np.exp(-surprise(logits))


@everything
def test_5_soft_iou_is_that_of_the_pixels(dtype, shape, masked, n_classes):
    logits, values = case(shape, n_classes, masked, dtype)
    probabilities = softmax(logits).astype(dtype)
    maps = one_hot(values, n_classes)
    seen = probabilities.astype(float) * (values > 0)
    shared = (seen * maps).sum((1, 2))
    with np.errstate(invalid="ignore"):
        expected = shared / (seen.sum((1, 2)) + maps.sum((1, 2)) - shared)
    expected[maps.sum((1, 2)) == 0] = np.nan
    found = soft_iou(probabilities, values)
    assert np.allclose(found, expected, rtol=0, atol=TOLERANCE[dtype], equal_nan=True)


@given(rows=st.integers(1, 12), cols=st.integers(1, 12), seed=st.integers(0, 99))
def test_5_hard_iou_is_that_of_the_confusion(rows, cols, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 4, (2, rows, cols))
    found = hard_iou(predicted, truth, 3)
    for c in (1, 2, 3):
        hits = ((truth == c) & (predicted == c)).sum()
        union = ((truth == c) | ((predicted == c) & (truth > 0))).sum()
        if (truth == c).any():
            assert found[c - 1] == pytest.approx(hits / union, abs=1e-12)
        else:
            assert np.isnan(found[c - 1])


def test_5_overlap_is_summed_over_images_before_it_is_divided():
    total = OverlapSum(3)
    seen, maps = [], []
    for seed, shape in enumerate([(8, 9), (12, 5)]):
        logits, values = case(shape, 3, True, np.float64, seed)
        total.add(softmax(logits), values)
        seen.append((softmax(logits) * (values > 0)).reshape(3, -1))
        maps.append(one_hot(values, 3).reshape(3, -1))
    s, b = np.hstack(seen), np.hstack(maps)
    shared = (s * b).sum(1)
    assert np.allclose(total.iou(), shared / (s.sum(1) + b.sum(1) - shared), rtol=1e-12)


def test_5_truncated_overlap_is_that_with_low_passed_labels():
    logits, values = case((14, 19), 3, True, np.float64)
    total = OverlapSum(3, CUTOFFS)
    total.add(softmax(logits), values)
    seen, maps = softmax(logits) * (values > 0), one_hot(values, 3)
    for i, cutoff in enumerate(CUTOFFS):
        shared = (seen * ideal_low_pass(maps, cutoff)).sum((1, 2))
        expected = shared / (seen.sum((1, 2)) + maps.sum((1, 2)) - shared)
        assert np.allclose(total.truncated_iou()[:, i], expected, rtol=1e-12)
    assert np.allclose(total.truncated_iou()[:, -1], total.iou(), rtol=1e-12)


def test_5_hard_iou_finds_the_number_of_classes_by_itself():
    assert hard_iou(np.array([[1, 2]]), np.array([[1, 1]])).tolist()[0] == pytest.approx(0.5)
    assert np.isnan(hard_iou(np.array([[1, 2]]), np.array([[1, 1]]))[1])


# -- 6: gradient of a circular convolution -------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 6), (5, 7), (1, 1)], ids=str)
@pytest.mark.parametrize("masked", [False, True], ids=["all labelled", "masked"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_6_gradient_spectrum_is_that_of_finite_differences(shape, masked, dtype):
    rng = np.random.default_rng(0)
    features, kernel = rng.normal(size=(2, *shape)), rng.normal(size=(3, 2, *shape))
    values = case(shape, 3, masked, np.float64)[1]
    maps = one_hot(values, 3)

    def logits_of(x):
        # y[c](r) = sum over d and shifts q of kernel[c,d](q) x[d](r - q), round the edges.
        y = np.zeros((3, *shape))
        for q in np.ndindex(shape):
            y += np.einsum("cd,dij->cij", kernel[:, :, *q], np.roll(x, q, (1, 2)))
        return y

    step = 1e-5
    gradient = np.zeros_like(features)
    for index in np.ndindex(features.shape):
        up, down = features.copy(), features.copy()
        up[index] += step
        down[index] -= step
        losses = [(maps * surprise(logits_of(x))).sum() for x in (up, down)]
        gradient[index] = (losses[0] - losses[1]) / (2 * step)

    probabilities = softmax(logits_of(features)) * (values > 0)
    spectrum = gradient_by_frequency(
        np.fft.rfft2(kernel).astype(np.result_type(dtype, np.complex64)),
        probabilities.astype(dtype),
        maps.astype(dtype),
    )
    assert np.abs(spectrum - np.fft.rfft2(gradient)).max() < (1e-7 if dtype is np.float64 else 2e-5)
    # Against the exact adjoint, correlation with the kernel, to machine precision.
    residual = probabilities - maps
    exact = np.zeros_like(features)
    for q in np.ndindex(shape):
        back = np.roll(residual, [-n for n in q], (1, 2))
        exact += np.einsum("cd,cij->dij", kernel[:, :, *q], back)
    scale = np.abs(np.fft.rfft2(exact)).max()
    assert np.abs(spectrum - np.fft.rfft2(exact)).max() <= TOLERANCE[dtype] * scale


# -- energy, with and without DC -----------------------------------------------------------------


@everything
def test_energy_with_and_without_the_mean(dtype, shape, masked, n_classes):
    _, values = case(shape, n_classes, masked, dtype)
    maps = one_hot(values, n_classes, dtype)
    power = np.abs(fft.rfft2(maps)) ** 2
    assert power.dtype == dtype
    with_dc = energy_below(power, shape, CUTOFFS, dc=True)
    without = energy_below(power, shape, CUTOFFS)
    assert with_dc.dtype == np.float64
    mean = maps.sum((1, 2), dtype=float) ** 2
    scale = mean.max()
    assert np.abs(with_dc - without - mean[:, None]).max() <= TOLERANCE[dtype] * scale
    full = np.abs(np.fft.fft2(maps.astype(float))) ** 2
    rows, cols = (np.abs(np.fft.fftfreq(n)) for n in shape)
    for i, cutoff in enumerate(CUTOFFS):
        inside = np.maximum(rows[:, None], cols[None]) <= cutoff + 1e-12
        assert np.abs(with_dc[:, i] - (full * inside).sum((1, 2))).max() <= TOLERANCE[dtype] * scale
    # Parseval.
    total = values.size * np.square(maps, dtype=float).sum((1, 2))
    assert np.abs(with_dc[:, -1] - total).max() <= TOLERANCE[dtype] * max(scale, total.max())


def test_energy_below_leaves_its_input_alone():
    power = np.ones((1, 4, 3))
    energy_below(power, (4, 4), np.array([0.5]))
    assert (power == 1).all()


@pytest.mark.parametrize(("n", "block"), [(64, 2), (64, 4), (64, 16), (96, 8), (96, 3), (90, 9)])
def test_the_inclusive_band_holds_n_over_b_plus_one_frequencies(n, block):
    # Both of the block grid's Nyquist pair lie on the edge.
    expected = n // block + 1
    point = np.zeros((1, n, n))
    point[0, 0, 0] = 1.0  # every bin of its spectrum is 1
    power = np.abs(np.fft.rfft2(point)) ** 2
    inside = energy_below(power, (n, n), np.array([0.5 / block]), dc=True)[0, 0]
    assert inside == pytest.approx(expected**2)
    kept = np.abs(np.fft.fft2(band_limit(point, 0.5 / block)[0])) > 1e-9
    assert np.count_nonzero(kept.any(1)) == np.count_nonzero(kept.any(0)) == expected


@pytest.mark.parametrize(("n", "block"), [(95, 19), (96, 32)])
def test_an_odd_number_of_blocks_has_no_nyquist_pair(n, block):
    point = np.zeros((1, n, n))
    point[0, 0, 0] = 1.0
    kept = np.abs(np.fft.fft2(band_limit(point, 0.5 / block)[0])) > 1e-9
    assert np.count_nonzero(kept.any(1)) == n // block


@given(block=st.integers(1, 64))
def test_default_cutoffs_rise_to_the_nyquist_of_the_block(block):
    cutoffs = default_cutoffs(block)
    assert (np.diff(cutoffs) > 0).all()
    assert cutoffs[-1] == pytest.approx(0.5 / block)
