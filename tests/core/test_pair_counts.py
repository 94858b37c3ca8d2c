"""Spectra from pair counts: every identity against a plain way to say the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_blockseg.core.spectrum import energy_below, label_spectrum, one_hot
from napari_blockseg.core.spectrum.pairs import (
    _MIN_PAIRS,
    Lattice,
    Mask,
    class_energy,
    even_dft,
    power,
    waves,
)

SHAPES = [(1, 1), (1, 6), (7, 1), (2, 2), (8, 12), (9, 13), (8, 13), (31, 16)]
CUTOFFS = np.array([0.01, 0.1, 0.125, 0.3, 0.5])


def labels(shape: tuple[int, int], n_classes: int, coverage: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, n_classes + 1, shape)
    return np.where(rng.random(shape) < coverage, values, 0)


def whole(quarter: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, cols = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    return quarter[np.ix_(rows, cols)]


def plain_covariance(values: np.ndarray, value: int) -> np.ndarray:
    # Pair by pair, as one would explain it: lags (r, c) and (-r, c) together.
    known = values > 0
    n, size = known.sum(), values.size
    centred = np.where(known, (values == value) - (values == value).sum() / n, 0.0)
    found = np.zeros(values.shape)
    for lag in np.ndindex(values.shape):
        sums, pairs = 0.0, 0.0
        for sign in (1, -1):
            away = (-lag[0] * sign, -lag[1])
            sums += (centred * np.roll(centred, away, (0, 1))).sum() / 2
            pairs += (known & np.roll(known, away, (0, 1))).sum() / 2
        if pairs >= max(0.5, _MIN_PAIRS * n * n / size):
            found[lag] = sums / pairs
    return found


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 10])
@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_even_dft_is_the_dft(n: int, dtype: type, close: float) -> None:
    half = np.random.default_rng(n).random((3, n // 2 + 1)).astype(dtype)
    full = half[:, np.minimum(np.arange(n), n - np.arange(n))]
    found = even_dft(half, n, 1)
    assert found.dtype == dtype
    assert np.allclose(found, np.fft.fft(full).real[:, : n // 2 + 1], rtol=close, atol=close)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "close"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_real_waves_hold_the_power_of_the_complex_dft(shape, dtype: type, close: float) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, *shape)).astype(dtype)
    found = power(waves(first), waves(second), 0.3)
    both = np.abs(np.fft.fft2(first - 0.3 * second)) ** 2
    folded = (both + both[-np.arange(shape[0])]) / 2
    assert found.dtype == dtype
    expected = folded[: shape[0] // 2 + 1, : shape[1] // 2 + 1]
    assert np.allclose(found, expected, rtol=close, atol=close * expected.max())


@pytest.mark.parametrize("shape", SHAPES)
def test_waves_are_cosine_and_sine_sums(shape) -> None:
    values = np.random.default_rng(0).random(shape)
    tables = []
    for n in shape:
        turns = 2 * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n
        tables.append(np.vstack([np.cos(turns), np.sin(turns)]))
    assert np.allclose(waves(values), tables[0] @ values @ tables[1].T, rtol=1e-12, atol=1e-11)
    out = np.empty_like(waves(values))
    assert waves(values, out) is out


@pytest.mark.parametrize("shape", SHAPES)
def test_energy_from_lags_is_energy_from_frequencies(shape) -> None:
    lattice = Lattice.of(shape, CUTOFFS)
    found = power(waves(np.random.default_rng(1).random(shape)))
    band, total = lattice.of_frequencies(found)
    of_lags = lattice.of_lags(lattice.dft(found) / lattice.size)
    assert np.allclose(of_lags[0], band, rtol=1e-12, atol=1e-10)
    assert np.isclose(of_lags[1], total, rtol=1e-12, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    coverage=st.sampled_from([0.3, 0.7, 1.0]),
    seed=st.integers(0, 99),
)
def test_covariance_is_that_of_the_pairs(shape, coverage: float, seed: int) -> None:
    values = labels(shape, 3, coverage, seed)
    n, count = int((values > 0).sum()), int((values == 1).sum())
    if n == 0:
        return
    lattice = Lattice.of(shape, CUTOFFS)
    mask = Mask.of(waves((values > 0).astype(float)), n, lattice)
    found = class_energy(waves((values == 1).astype(float)), count, mask)
    covariance = plain_covariance(values, 1)
    spectrum = np.fft.rfft2(covariance).real * values.size
    expected = energy_below(spectrum[None], shape, np.append(CUTOFFS, 1.0))[0]
    expected *= n / values.size**2
    assert np.allclose(np.append(found.band, found.total), expected, rtol=1e-11, atol=1e-11)
    if found.covariance is not None:
        assert np.allclose(whole(found.covariance, shape), covariance, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_classes", [1, 21])
def test_without_holes_it_is_the_power_of_the_one_hot_maps(shape, n_classes: int) -> None:
    values = labels(shape, n_classes, 1.0, 3)
    found = label_spectrum(values, n_classes, block=2, cutoffs=CUTOFFS / 2)
    both = np.abs(np.fft.rfft2(one_hot(values, n_classes))) ** 2
    expected = energy_below(both, shape, np.append(CUTOFFS, 1.0)) * 4 / values.size
    assert np.allclose(found.band, expected[:, :-1], rtol=1e-12, atol=1e-10)
    assert np.allclose(found.total, expected[:, -1], rtol=1e-12, atol=1e-10)
    assert (found.error == 0).all()


def test_total_is_the_variance_of_the_labelled_pixels() -> None:
    values = labels((12, 15), 4, 1.0, 0)
    found = label_spectrum(values, 4, block=8)
    share = np.bincount(values.ravel(), minlength=5)[1:] / values.size
    assert np.allclose(found.total, values.size * 64 * share * (1 - share), rtol=1e-12)
    assert np.isclose(found.mean[-1], 1)
