"""Band-limited labels, the pruned inverse FFT, and the radial profile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_blockseg.core.spectrum import (
    LargestClass,
    band_limit,
    band_limited_labels,
    class_spectra,
    low_pass,
    one_hot,
    radial_label_profile,
    radial_profile,
)

label_maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 4)
)


@given(values=label_maps, cutoff=st.floats(0, 0.5))
def test_low_pass_is_that_of_the_full_complex_fft(values, cutoff):
    maps = one_hot(values, 4)
    rows, cols = (np.abs(np.fft.fftfreq(n)) for n in values.shape)
    inside = np.maximum(rows[:, None], cols[None]) <= cutoff + 1e-12
    expected = np.fft.ifft2(np.fft.fft2(maps) * inside)
    assert np.abs(expected.imag).max() < 1e-12
    assert np.allclose(band_limit(maps, cutoff), expected.real, rtol=0, atol=1e-12)
    assert np.allclose(
        low_pass(np.fft.rfft2(maps), values.shape, cutoff), expected.real, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_of_the_input_is_kept(dtype):
    maps = one_hot(np.arange(42).reshape(6, 7) % 3 + 1, 3, dtype)
    assert band_limit(maps, 0.2).dtype == dtype
    spectra = dict(class_spectra(np.ones((4, 4), int), 2, dtype))
    assert list(spectra) == [1]
    assert spectra[1].dtype == np.result_type(dtype, np.complex64)


def test_low_passed_labels_keep_their_negative_lobes():
    step = np.ones((64, 64), int)
    step[:, 32:] = 2
    low = band_limit(one_hot(step, 2), 0.5 / 8)
    assert low.min() < -0.05
    assert np.allclose(low.sum(0), 1)


@given(
    maps=hnp.arrays(np.int8, (5, 3, 4), elements=st.integers(-2, 2)),
    there=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_largest_class_is_the_argmax_with_zeros_for_those_that_are_missing(maps, there):
    filled = np.where(np.array(there)[:, None, None], maps, 0).astype(float)
    largest = LargestClass()
    for c in np.flatnonzero(there):
        largest.add(int(c) + 1, filled[c])
    if any(there):
        assert np.array_equal(largest.values(5), filled.argmax(0) + 1)


@given(values=label_maps, cutoff=st.sampled_from([0.05, 0.13, 0.31]))
def test_band_limited_labels_are_the_argmax_of_the_low_passed_maps(values, cutoff):
    found = band_limited_labels(values, 4, cutoff)
    if not values.any():
        assert not found.any()
        return
    low = band_limit(one_hot(values, 4), cutoff)
    # Where two maps are equal up to rounding, either may win.
    chosen = np.take_along_axis(low, found[None] - 1, 0)[0]
    assert np.abs(chosen - low.max(0)).max() < 1e-12


def test_labels_below_the_cutoff_come_back_unchanged():
    values = np.random.default_rng(0).integers(1, 4, (12, 15))
    assert np.array_equal(band_limited_labels(values, 3, 0.5), values)


# -- radial profile ------------------------------------------------------------------------------


@given(values=label_maps, rings=st.integers(1, 20))
def test_rings_add_up_to_all_energy_and_all_bins(values, rings):
    profile = radial_label_profile(values, 4, rings)
    variance = one_hot(values, 4).var((1, 2)) * values.size**2
    assert np.allclose(profile.energy.sum(1), variance, rtol=1e-5, atol=1e-3)
    assert profile.bins.sum() == values.size - 1


@pytest.mark.parametrize(("rows", "cols"), [(64, 64), (63, 64), (64, 63)])
def test_a_slanted_wave_lies_in_the_ring_of_its_length(rows, cols):
    i, j = np.indices((rows, cols))
    wave = np.cos(2 * np.pi * (6 * i / rows + 8 * j / cols))
    profile = radial_profile(np.abs(np.fft.rfft2(wave[None])) ** 2, (rows, cols), rings=20, block=2)
    ring = int(np.hypot(6 / rows, 8 / cols) / 0.025 + 1e-9)
    assert profile.energy[0].argmax() == ring
    assert profile.energy[0, ring] == pytest.approx(wave.var() * wave.size**2)
    assert profile.frequencies[ring] == pytest.approx((ring + 0.5) * 0.025 / 2)


def test_white_noise_has_a_flat_profile():
    noise = np.random.default_rng(0).normal(size=(1, 256, 250))
    profile = radial_profile(np.abs(np.fft.rfft2(noise)) ** 2, (256, 250), rings=8)
    assert np.allclose(profile.mean_power[0], 256 * 250, rtol=0.08)


def test_a_constant_map_and_a_single_pixel_have_no_energy_but_their_mean():
    assert radial_label_profile(np.full((9, 8), 2), 2).energy.sum() == pytest.approx(0, abs=1e-6)
    one = radial_label_profile(np.ones((1, 1), int), 1)
    assert one.energy.sum() == 0
    assert np.isnan(one.mean_power).all()
