"""Label spectra: exact where they are exact, and close where they are estimated."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import ndimage

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.spectrum import (
    LiveSpectrum,
    band_limit,
    combine,
    energy_below,
    label_spectrum,
    one_hot,
    square_frequency,
)

maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(1, 3)
)


def smooth_labels(shape: tuple[int, int], n_classes: int, sigma: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(n_classes, *shape)), (0, sigma, sigma))
    return noise.argmax(0) + 1


@given(values=maps, cutoff=st.floats(0, 0.5))
def test_energy_of_the_half_spectrum_is_that_of_the_whole(values, cutoff: float) -> None:
    hot = one_hot(values, 3)
    half = energy_below(np.abs(np.fft.rfft2(hot)) ** 2, values.shape, np.array([cutoff]))[:, 0]
    power = np.abs(np.fft.fft2(hot)) ** 2
    rows, cols = (np.abs(np.fft.fftfreq(n)) for n in values.shape)
    inside = np.maximum(rows[:, None], cols[None]) <= cutoff + 1e-12
    inside[0, 0] = False
    assert np.allclose(half, (power * inside).sum((1, 2)), rtol=1e-12, atol=1e-9)


@given(values=maps)
def test_parseval_without_the_mean(values) -> None:
    hot = one_hot(values, 3)
    total = energy_below(np.abs(np.fft.rfft2(hot)) ** 2, values.shape, np.array([1.0]))[:, 0]
    variance = hot.var((1, 2)) * values.size**2
    assert np.allclose(total, variance, rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("size", [64, 63])
@pytest.mark.parametrize("frequency", [3, 8])
def test_band_limit_keeps_waves_inside_and_removes_those_outside(size: int, frequency: int) -> None:
    wave = np.cos(2 * np.pi * frequency * np.arange(size) / size)[None, :].repeat(size, 0)
    kept = band_limit(wave[None], frequency / size)[0]
    assert np.allclose(kept, wave, atol=1e-12)
    removed = band_limit(wave[None], (frequency - 0.5) / size)[0]
    assert np.allclose(removed, 0, atol=1e-12)


def test_band_limit_keeps_the_mean() -> None:
    values = np.random.default_rng(0).random((1, 9, 14))
    assert np.allclose(band_limit(values, 0.0), values.mean())


def test_band_is_square_and_inclusive() -> None:
    # The inclusive band <= 0.5 / b holds N / b + 1 frequencies an axis.
    inside = square_frequency((64, 64)) <= 0.5 / 8 + 1e-12
    assert inside.any(1).sum() == 64 // 8 + 1
    assert inside[:, 0].sum() == 64 // 8 + 1


def test_spectrum_of_a_checkerboard_is_all_at_nyquist() -> None:
    values = np.indices((16, 16)).sum(0) % 2 + 1
    spectrum = label_spectrum(values, 2, block=4, cutoffs=np.array([0.1, 0.125]))
    assert np.allclose(spectrum.energy, [[0, 1], [0, 1]])
    assert spectrum.coverage == 1
    assert (spectrum.error == 0).all()


def test_absent_and_constant_classes_are_not_a_number() -> None:
    spectrum = label_spectrum(np.full((20, 20), 2), 3)
    assert np.isnan(spectrum.energy).all()
    assert spectrum.enough


def test_nothing_painted() -> None:
    spectrum = label_spectrum(np.zeros((20, 20), int), 3)
    assert not spectrum.enough
    assert np.isnan(spectrum.energy).all()
    assert spectrum.coverage == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_curve_from_30_percent_lies_close_to_the_full_one(seed: int) -> None:
    values = smooth_labels((160, 200), 4, 6.0, seed)
    full = label_spectrum(values, 4)
    rng = np.random.default_rng(seed)
    holes = np.where(rng.random(values.shape) < 0.3, values, 0)
    seen = label_spectrum(holes, 4)
    assert np.abs(seen.mean - full.mean).max() < 0.05
    # The naive spectrum of B * W is far off: most of its energy is that of the holes.
    naive = one_hot(holes, 4)
    power = np.abs(np.fft.rfft2(naive)) ** 2
    below = energy_below(power, values.shape, np.append(full.cutoffs, 1.0)).sum(0)
    assert np.abs(below[:-1] / below[-1] - full.mean).max() > 0.3


def test_error_grows_as_paint_gets_scarce() -> None:
    values = smooth_labels((96, 96), 3, 5.0, 1)
    rng = np.random.default_rng(0).random(values.shape)
    errors = [
        np.nanmean(label_spectrum(np.where(rng < share, values, 0), 3).error)
        for share in (1.0, 0.5, 0.1)
    ]
    assert errors[0] == 0
    assert errors[0] < errors[1] < errors[2]


def test_block_labels_know_the_low_frequencies_of_the_mask() -> None:
    mask = smooth_labels((256, 256), 3, 20.0, 0)
    cutoffs = np.linspace(0.002, 0.5 / 16, 12)
    fine = label_spectrum(mask, 3, 1, cutoffs)
    blocks = label_spectrum(BlockLabels.from_mask(mask, 8, 3).values, 3, 8, cutoffs)
    assert np.abs(fine.mean - blocks.mean).max() < 0.06


def seen_at_random(values: np.ndarray, coverage: float, seed: int) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(values.shape) < coverage, values, 0)


@pytest.mark.parametrize("values", [[[0, 4]], [[-1, 1]], [[[1]]], [[]]])
def test_labels_that_are_none_are_refused(values) -> None:
    with pytest.raises(LabelError, match="expected"):
        label_spectrum(np.array(values, int), 3)


def test_filling_the_last_hole_makes_no_jump() -> None:
    values = smooth_labels((60, 81), 4, 4.0, 0)
    full = label_spectrum(values, 4)
    holes = values.copy()
    holes[30, 40] = 0
    assert np.abs(label_spectrum(holes, 4).energy - full.energy).max() < 1e-3


def test_shares_never_fall_with_the_cutoff() -> None:
    found = label_spectrum(seen_at_random(smooth_labels((40, 40), 3, 2.0, 0), 0.1, 0), 3)
    assert (np.diff(found.energy, axis=1) >= 0).all()
    assert (np.diff(found.mean) >= 0).all()
    # The energies stay as they were estimated, so that sums over planes are not biased.
    assert (np.diff(found.band, axis=1) < 0).any()


def strokes_over(shape: tuple[int, int], coverage: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    return noise > np.quantile(noise, 1 - coverage)


@pytest.mark.parametrize("in_strokes", [False, True])
def test_two_of_three_curves_lie_within_the_error(in_strokes: bool) -> None:
    inside, wide = [], []
    for seed in range(12):
        values = smooth_labels((64, 72), 3, 4.0, seed)
        full = label_spectrum(values, 3).energy
        seen = seen_at_random(values, 0.2, seed)
        if in_strokes:
            seen = np.where(strokes_over(values.shape, 0.3, seed), values, 0)
        found = label_spectrum(seen, 3)
        # Where something is left to know: not at the far ends of the curve.
        open_ = (full > 0.02) & (full < 0.98)
        inside.append((np.abs(found.energy - full) <= found.error)[open_].mean())
        wide.append(found.error[open_].mean())
    assert 0.55 < np.mean(inside) < 0.9
    assert np.mean(wide) < 0.15


def test_combined_energies_are_sums() -> None:
    planes = [smooth_labels((40, 50), 3, 4.0, 0), seen_at_random(np.full((30, 30), 2), 0.5, 0)]
    planes[1][3:9, 3:9] = 1
    one, other = (label_spectrum(plane, 3, block=8) for plane in planes)
    both = combine([one, other])
    assert np.allclose(both.total, one.total + other.total)
    expected = (one.band[0, 9] + other.band[0, 9]) / (one.total[0] + other.total[0])
    assert np.isclose(both.energy[0, 9], expected)
    # Class 3 is in the first plane only.
    assert np.allclose(both.energy[2], one.energy[2])
    assert np.isclose(both.coverage, (2000 + other.cells) / 2900)
    assert np.allclose(both.error[0], other.error[0] * other.total[0] / both.total[0])


def test_combining_one_changes_nothing() -> None:
    one = label_spectrum(seen_at_random(smooth_labels((30, 31), 3, 4.0, 0), 0.5, 0), 4)
    same = combine([one])
    for name in ("energy", "mean", "error", "band", "total", "coverage", "enough"):
        assert np.allclose(getattr(same, name), getattr(one, name), equal_nan=True), name


def test_combined_planes_err_less() -> None:
    values = smooth_labels((40, 40), 3, 4.0, 0)
    planes = [label_spectrum(seen_at_random(values, 0.2, seed), 3) for seed in range(4)]
    alone = np.mean([plane.error.mean() for plane in planes])
    assert np.isclose(combine(planes).error.mean(), alone / 2, rtol=0.1)


def test_an_error_that_is_not_known_stays_unknown() -> None:
    values = seen_at_random(smooth_labels((40, 40), 3, 4.0, 0), 0.5, 0)
    live = LiveSpectrum(3)
    live.reset(values)
    both = combine([live.result(), label_spectrum(values, 3)])
    assert np.isnan(both.error).all()
    assert not both.settled
    live.settle()
    assert np.isfinite(combine([live.result(), label_spectrum(values, 3)]).error).all()


def test_an_empty_plane_counts_for_coverage_only() -> None:
    one = label_spectrum(smooth_labels((30, 30), 3, 4.0, 0), 3)
    both = combine([one, label_spectrum(np.zeros((30, 30), int), 3)])
    assert both.coverage == 0.5
    assert np.allclose(both.energy, one.energy)
    assert both.enough


def test_spectra_that_do_not_fit_are_not_combined() -> None:
    values = smooth_labels((20, 20), 2, 3.0, 0)
    with pytest.raises(LabelError, match="different"):
        combine([label_spectrum(values, 2), label_spectrum(values, 3)])
    with pytest.raises(LabelError, match="different"):
        combine([label_spectrum(values, 2, 1), label_spectrum(values, 2, 2)])
    with pytest.raises(LabelError, match="no spectrum"):
        combine([])


@pytest.mark.skipif("BLOCKSEG_DATA" not in os.environ, reason="BLOCKSEG_DATA is not set")
@pytest.mark.parametrize("block", [8, 16])
def test_camvid_from_30_percent_lies_within_0_05(block: int) -> None:
    folder = Path(os.environ["BLOCKSEG_DATA"]) / "camvid" / "labels" / "test"
    full, seen = [], []
    for seed, path in enumerate(sorted(folder.glob("*.png"))[::6]):
        ids = np.array(Image.open(path)).astype(int)
        values = BlockLabels.from_mask(np.where(ids == 255, 0, ids + 1), block, 11).values
        full.append(label_spectrum(values, 11, block))
        seen.append(label_spectrum(seen_at_random(values, 0.3, seed), 11, block))
    assert np.abs(combine(seen).mean - combine(full).mean).max() < 0.05
