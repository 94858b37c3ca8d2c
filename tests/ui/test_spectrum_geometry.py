"""What the spectrum plot draws: pure functions."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.analysis import Checkpoint, LossCurve
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.spectrum import label_spectrum
from napari_blockseg.ui.axis import Axis
from napari_blockseg.ui.curves import Curve
from napari_blockseg.ui.spectrum_geometry import (
    energy_at,
    error_at,
    loss_at,
    loss_overlay,
    nearest_curve,
    panel_cutoffs,
    spectrum_curves,
    with_one_raised,
)

DARK = (38, 41, 48)
AXIS = Axis(0.5 / 64, 4)


def values(shape=(16, 16), n_classes=3, seed=0):
    return np.random.default_rng(seed).integers(1, n_classes + 1, shape)


def loss_curve(truncated, cutoffs=(0.01, 0.05, 0.1, 0.5)):
    nothing = (None,) * len(cutoffs)
    return LossCurve(
        cutoffs=cutoffs,
        truncated=truncated,
        cross_entropy=truncated[-1],
        mean_term=truncated[0],
        discrepancy=nothing,
        discrepancy_of_mean=nothing,
    )


def analysis(**truncated):
    moments = [
        Checkpoint(moment=m, step=1, loss=loss_curve(t), miou=None, pixel_accuracy=None)
        for m, t in truncated.items()
    ]
    return SimpleNamespace(checkpoints=moments, end=moments[-1])


@pytest.mark.parametrize("block", [1, 4, 12])
def test_block_sizes_of_power_two_times_the_grid_lie_on_the_cutoffs(block):
    cutoffs = panel_cutoffs(block)
    assert cutoffs[-1] == 0.5 / block
    for times in (2, 4, 32):
        assert np.isclose(cutoffs, 0.5 / block / times, rtol=1e-12).any()


def test_energy_at_a_cutoff_is_that_of_the_band_that_includes_it():
    spectrum = SimpleNamespace(
        cutoffs=np.array([0.1, 0.2, 0.4]),
        energy=np.array([[0.3, 0.6, 1.0], [np.nan, np.nan, np.nan]]),
        error=np.array([[0.1, 0.05, 0.0], [np.nan, np.nan, np.nan]]),
    )
    assert energy_at(spectrum, 0.2)[0] == 0.6
    assert energy_at(spectrum, 0.39)[0] == 0.6
    assert energy_at(spectrum, 0.05)[0] == 0
    assert np.isnan(energy_at(spectrum, 0.05)[1])
    assert error_at(spectrum, 0.2)[0] == 0.05


def test_absent_classes_have_no_curve():
    painted = np.where(np.arange(256).reshape(16, 16) % 3 > 1, 1, 3)
    spectrum = label_spectrum(painted, 3, 4, panel_cutoffs(4))
    found = spectrum_curves(spectrum, make_classes(["a", "b", "c"]), DARK, AXIS)
    assert [curve.name for curve in found] == ["a", "c"]
    assert found[0].x[-1] == pytest.approx(math.log2(0.5 / 4))
    assert found[0].x[0] >= math.log2(AXIS.low) - 1e-6


def test_of_two_classes_that_mirror_each_other_the_second_is_dashed():
    two = label_spectrum(values(n_classes=2), 2, 4, panel_cutoffs(4))
    three = label_spectrum(values(n_classes=3), 3, 4, panel_cutoffs(4))
    drawn = spectrum_curves(two, make_classes(["a", "b"]), DARK, AXIS)
    assert [curve.dash is None for curve in drawn] == [True, False]
    drawn = spectrum_curves(three, make_classes(["a", "b", "c"]), DARK, AXIS)
    assert all(curve.dash is None for curve in drawn)


def test_there_is_an_error_band_where_there_are_holes_and_none_elsewhere():
    painted = values((32, 32))
    classes = make_classes(["a", "b", "c"])
    whole = spectrum_curves(label_spectrum(painted, 3, 4, panel_cutoffs(4)), classes, DARK, AXIS)
    assert all(curve.band is None for curve in whole)
    holes = np.where(np.random.default_rng(1).random(painted.shape) < 0.3, painted, 0)
    spectrum = label_spectrum(holes, 3, 4, panel_cutoffs(4))
    low, high = spectrum_curves(spectrum, classes, DARK, AXIS)[0].band
    curve = spectrum_curves(spectrum, classes, DARK, AXIS)[0].y
    assert np.all((low <= curve) & (curve <= high))
    assert np.all((low >= 0) & (high <= 1))


def lines(*heights):
    x = np.array([0.0, 1.0, 2.0])
    return [Curve(f"c{i}", x, np.full(3, h), (10 * i, 200, 90)) for i, h in enumerate(heights)]


def test_the_nearest_curve_is_meant_if_it_is_near():
    curves = lines(0.2, 0.5, 0.6)
    assert nearest_curve(curves, 1.5, 0.53, 0.1) == "c1"
    assert nearest_curve(curves, 1.5, 0.57, 0.1) == "c2"
    assert nearest_curve(curves, 1.5, 0.35, 0.1) == ""
    assert nearest_curve(curves, 2.5, 0.5, 0.1) == "", "beside its ends it is not there"


def test_a_raised_curve_is_last_and_thick_the_others_are_faint():
    curves = lines(0.2, 0.5, 0.6)
    raised = with_one_raised(curves, "c0", DARK)
    assert [curve.name for curve in raised] == ["c1", "c2", "c0"]
    assert raised[-1].width > 2
    assert raised[-1].color == curves[0].color
    assert raised[0].color != curves[1].color
    assert with_one_raised(curves, "", DARK) == curves
    assert with_one_raised(curves, "gone", DARK) == curves


def test_the_loss_is_drawn_to_one_scale_for_all_moments_and_its_ticks_say_it():
    found = loss_overlay(
        analysis(start=(2.0, 2.0, 2.0, 2.0), end=(1.5, 1.0, 0.8, 0.5)),
        AXIS,
        (250, 250, 250),
        DARK,
    )
    start, end = found.curves
    assert (start.name, end.name) == ("loss, untrained", "loss")
    assert end.color == (250, 250, 250) != start.color
    np.testing.assert_allclose(end.x, np.log2([0.01, 0.05, 0.1]))
    np.testing.assert_allclose(end.y / start.y, [0.75, 0.5, 0.4])
    assert start.y.max() < 1
    scale = start.y[0] / 2.0
    *numbers, (top, name) = found.ticks
    assert (top, name) == (1.0, "loss")
    for place, text in numbers:
        assert place == pytest.approx(float(text) * scale)
    assert len(numbers) >= 2


@given(st.floats(1e-3, 50))
def test_every_loss_gets_a_few_ticks(largest):
    found = loss_overlay(analysis(end=(largest,) * 4), AXIS, (0, 0, 0), DARK)
    places = [place for place, _ in found.ticks]
    assert 3 <= len(places) <= 6
    assert places == sorted(places)
    texts = [text for _, text in found.ticks]
    assert len(set(texts)) == len(texts)


def test_a_loss_outside_of_the_axis_is_not_drawn():
    fine = Axis(0.5 / 4096, 1024)
    assert loss_overlay(analysis(end=(1.0, 1.0, 1.0, 1.0)), fine, (0, 0, 0), DARK).curves == ()


def test_the_loss_at_a_cutoff():
    curve = loss_curve((3.0, 2.0, 1.0, 0.5))
    assert loss_at(curve, 0.05) == 2.0
    assert loss_at(curve, 0.09) == 2.0
    assert loss_at(curve, 0.5) == 0.5
    assert loss_at(curve, 0.005) is None
