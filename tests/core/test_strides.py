"""The decoder stride that labels need: their energy as drawn, the prediction, the choice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_blockseg.core.advice import (
    LabelEnergy,
    choose_candidate,
    choose_stride,
    known_costs,
    label_energy,
    measured_losses,
    stride_candidates,
)
from napari_blockseg.core.advice.label_energy import _WINDOW
from napari_blockseg.core.advice.stride_constants import COSTS, LOSS_PER_ENERGY
from napari_blockseg.core.advice.strides import loss_per_energy
from napari_blockseg.core.analysis import Analysis, TruncationTrial
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum import label_spectrum
from napari_blockseg.core.stride_choice import StrideCandidate, StrideChoice

STRIDES = (4, 8, 16)


def smooth(rows: int = 128, cols: int = 160) -> np.ndarray:
    """Return two large regions with a gentle border, 1 and 2."""
    row, col = np.mgrid[:rows, :cols]
    return np.where(row < rows / 2 + 6 * np.sin(2 * np.pi * col / cols), 1, 2)


def stripes(width: int, shape: tuple[int, int] = (128, 160)) -> np.ndarray:
    return 1 + np.indices(shape)[1] // width % 2


def energy_of(cut: dict[int, float], error: float = 0.0) -> LabelEnergy:
    """Return what 200 wholly painted blocks of 8 working pixels say, with these cuts."""
    strides = (4, *cut)
    shares = (0.99, *(0.99 - lost for lost in cut.values()))
    errors = (0.0, *(error for _ in cut))
    return LabelEnergy(strides, shares, errors, 8.0, 200, 1.0)


# -- the energy of labels as drawn -----------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 2, 3, 8])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_energy_is_that_of_the_blocks_drawn_as_squares(block, n_classes):
    values = np.random.default_rng(block).integers(1, n_classes + 1, (15, 24))
    pixels = values.repeat(block, 0).repeat(block, 1)
    found = label_energy([values], n_classes, block, 1.0, STRIDES)
    # Of what lies exactly on the edge of the band, half counts.
    beside = [0.5 / np.array(STRIDES[::-1]) * factor for factor in (1 - 1e-6, 1 + 1e-6)]
    drawn = [label_spectrum(pixels, n_classes, 1, cutoffs).mean[::-1] for cutoffs in beside]
    assert found.energy == pytest.approx(tuple(np.mean(drawn, axis=0)), abs=1e-12)
    assert found.error == (0.0, 0.0, 0.0), "with everything painted nothing is left open"


def test_working_pixels_are_what_a_stride_counts():
    mask = np.random.default_rng(0).integers(1, 3, (32, 32)).repeat(4, 0).repeat(4, 1)
    # Strides 4 and 8 at half scale are cells of 8 and 16 pixels of the image.
    half = label_energy([mask], 2, 1, 0.5, (4, 8))
    whole = label_energy([mask], 2, 1, 1.0, (8, 16))
    assert half.energy == pytest.approx(whole.energy, abs=1e-12)
    assert half.block == 0.5


def test_a_stride_of_a_whole_block_is_not_free():
    # On the grid of the blocks all energy lies below its own Nyquist; as drawn it does not.
    values = smooth()
    on_the_grid = label_spectrum(values, 2, 16, np.array([0.5 / 16])).mean[0]
    found = label_energy([values], 2, 16, 0.5)
    assert on_the_grid == pytest.approx(1.0)
    assert 0.001 < found.cut(8) < 0.05


def test_images_add_up_and_empty_ones_do_not_count():
    first, second = smooth(), stripes(2)
    both = label_energy([first, second, np.zeros((50, 50), int)], 2, 4, 1.0)
    alone = [label_energy([one], 2, 4, 1.0) for one in (first, second)]
    assert (
        min(one.energy[1] for one in alone) < both.energy[1] < max(one.energy[1] for one in alone)
    )
    assert both.coverage == 1.0
    assert both.cells == first.size + second.size


def test_large_images_are_looked_at_in_windows():
    values = stripes(8, (2 * _WINDOW, 48))
    assert label_energy([values], 2, 4, 1.0).energy == pytest.approx(
        label_energy([values[:_WINDOW]], 2, 4, 1.0).energy, abs=1e-12
    )


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_with_holes_the_cut_lies_within_its_error(share):
    values = stripes(7, (96, 120))
    values[20:60, 30:80] = 3
    whole = label_energy([values], 3, 8, 1.0)
    inside = []
    for seed in range(12):
        seen = np.random.default_rng(seed).random(values.shape) < share
        part = label_energy([np.where(seen, values, 0)], 3, 8, 1.0)
        off = [abs(part.cut(s) - whole.cut(s)) / part.cut_error(s) for s in (8, 16, 32)]
        inside += [one < 2 for one in off]
        assert max(part.error) < 0.1
    assert np.mean(inside) > 0.8


def test_more_paint_is_surer():
    values = stripes(6, (64, 64))
    errors = []
    for share in (0.2, 0.5, 1.0):
        seen = np.random.default_rng(1).random(values.shape) < share
        errors.append(label_energy([np.where(seen, values, 0)], 2, 8, 1.0).cut_error(16))
    assert errors[0] > errors[1] > errors[2] == 0


def test_wrong_use_is_said():
    with pytest.raises(LabelError, match="label value 3"):
        label_energy([stripes(3), np.full((4, 4), 3)], 2, 8, 1.0)
    with pytest.raises(LabelError, match="block 0"):
        label_energy([stripes(3)], 2, 0, 1.0)


# -- the prediction --------------------------------------------------------------------------------


def test_the_loss_is_the_constant_times_the_energy_cut():
    rows = stride_candidates(energy_of({8: 0.02, 16: 0.1}))
    assert [one.loss for one in rows] == pytest.approx(
        [0, 0.02 * LOSS_PER_ENERGY["area"], 0.1 * LOSS_PER_ENERGY["area"]]
    )
    assert (rows[0].low, rows[0].high) == (1, 1), "the full grid is what ratios are over"
    assert all(one.low < one.ratio < one.high for one in rows[1:])


def test_a_coarser_grid_never_loses_less():
    noise = np.random.default_rng(0).integers(1, 3, (64, 64))
    for values in (smooth(), stripes(1), stripes(3), noise):
        rows = stride_candidates(label_energy([values], 2, 16, 0.5))
        losses = [one.loss for one in rows]
        assert losses == sorted(losses)
        assert losses[0] == 0 < losses[-1]


def test_the_studies_networks_lie_where_predicted():
    # Mean IoU kept at a stride, and the energy cut there: spectral_study/summary.json, dense.
    trained = [(0.0508, 0.955), (0.1258, 0.920), (0.2197, 0.893), (0.0752, 0.964), (0.228, 0.887)]
    for cut, ratio in trained:
        one = stride_candidates(energy_of({8: cut}))[1]
        assert one.low <= ratio <= one.high


def test_thin_structures_lose_more_than_large_regions():
    thin, thick = (label_energy([one], 2, 16, 0.5) for one in (stripes(1), smooth()))
    for stride in (8, 16, 32):
        assert thin.cut(stride) > 4 * thick.cut(stride)


# -- a model's analysis ----------------------------------------------------------------------------


def analysis_of(miou: dict[int, float], trained: int = 4, cell: float = 16, scale: float = 0.5):
    """Return what a model lost when cut, seen on labels of `cell` image pixels."""
    cutoffs = tuple(0.5 / size for size in (64, 32, cell, cell / 2))
    trials = tuple(
        TruncationTrial(
            decoder_stride=stride,
            cross_entropy=0.1,
            miou=value,
            pixel_accuracy=None,
            predicted_loss_of_energy=None,
        )
        for stride, value in miou.items()
    )
    return Analysis(
        model="run-1",
        network="deeplabv3plus",
        encoder="e",
        decoder_stride=trained,
        scale=scale,
        block=16,
        classes=("a", "b"),
        images=1,
        pixels=1,
        truth="",
        tolerance=0.05,
        label_cutoffs=cutoffs,
        label_energy=(0.8, 0.9, 1.0, None),
        checkpoints=(),
        trials=trials,
        recommended_stride=None,
        reason="",
    )


def test_what_a_cut_model_kept_bounds_the_loss():
    energy = energy_of({8: 0.01, 16: 0.2})
    found = measured_losses(analysis_of({4: 0.8, 8: 0.8, 16: 0.796}), energy)
    # Blocks are 8 working pixels: up to there labels predict, from there on the model tells.
    assert set(found) == {16}
    assert found[16] == pytest.approx(0.01 * LOSS_PER_ENERGY["area"] + 0.005)
    rows = stride_candidates(energy, measured=found)
    assert rows[2].loss == pytest.approx(found[16])
    assert rows[2].measured
    assert not rows[1].measured


def test_a_model_that_loses_more_than_predicted_says_nothing():
    # Training at the coarser grid can only do better than cutting afterwards.
    energy = energy_of({8: 0.01, 16: 0.02})
    found = measured_losses(analysis_of({4: 0.8, 8: 0.7, 16: 0.3}), energy)
    coarsest = stride_candidates(energy, measured=found)[2]
    assert coarsest.loss == pytest.approx(0.02 * LOSS_PER_ENERGY["area"])
    assert not coarsest.measured


def test_dense_truth_and_coarse_models_are_taken_for_what_they_show():
    energy = energy_of({8: 0.1, 16: 0.2})
    dense = analysis_of({4: 0.8, 8: 0.8, 16: 0.8}, cell=2)
    assert measured_losses(dense, energy) == {8: 0.0, 16: 0.0}
    # One class everywhere: a network that has learned nothing has nothing to lose.
    assert measured_losses(analysis_of({4: 0.5, 8: 0.5, 16: 0.5}, cell=2), energy) == {}
    trained_at_8 = analysis_of({4: 0.1, 8: 0.8, 16: 0.8}, trained=8, cell=2)
    assert measured_losses(trained_at_8, energy) == {16: pytest.approx(0.062)}
    assert measured_losses(analysis_of({4: 0.0, 8: 0.0}), energy) == {}


# -- the choice ------------------------------------------------------------------------------------


def choose(values: np.ndarray, tolerance: float = 0.01, block: int = 16, **more) -> StrideChoice:
    scale = min(1.0, 8 / block)
    energy = label_energy([values], 3, block, scale, STRIDES)
    return choose_stride(energy, tolerance, block=block, scale=scale, **more)


def test_large_smooth_regions_get_a_coarse_decoder():
    chosen = choose(smooth(512, 640))
    assert chosen.stride == 16
    assert chosen.grounds == "labels"
    assert "coarsest there is" in chosen.reason


def test_thin_stripes_keep_the_full_grid_and_say_what_they_would_lose():
    chosen = choose(stripes(2))
    assert chosen.stride == 4
    assert "full grid" in chosen.summary
    assert "Cells of 16 pixels (stride 8) would cost about" in chosen.reason
    assert "more than the 1.0% that the stride tolerance allows" in chosen.reason
    assert "Your blocks of 16 pixels cannot show finer detail" in chosen.reason


@pytest.mark.parametrize(
    "values", [np.zeros((64, 64), int), np.ones((64, 64), int), np.eye(200, dtype=int)]
)
def test_without_enough_paint_the_full_grid_is_kept_with_that_reason(values):
    chosen = choose(values)
    assert (chosen.stride, chosen.grounds, chosen.candidates) == (4, "paint", ())
    assert "not enough paint" in chosen.reason


def test_little_paint_is_not_trusted():
    values = smooth(48, 48)
    assert choose(values, 0.04).stride > 4
    seen = np.random.default_rng(0).random(values.shape) < 0.06
    chosen = choose(np.where(seen, values, 0), 0.04)
    assert chosen.stride == 4


@settings(max_examples=15)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=2), st.integers(1, 9), st.integers(0, 3))
def test_a_larger_tolerance_never_chooses_a_finer_grid(tolerances, width, seed):
    values = stripes(width, (40, 48))
    values[np.random.default_rng(seed).random(values.shape) < 0.3] = 0
    strides = [choose(values, one).stride for one in sorted(tolerances)]
    assert strides == sorted(strides)


def test_all_is_allowed_at_tolerance_one_and_nothing_at_zero():
    assert choose(stripes(1), 1.0).stride == 16
    assert choose(smooth(), 0.0).stride == 4


def candidate(stride: int, loss: float, cost: float | None = None, way: str = "area"):
    return StrideCandidate(
        stride=stride, way=way, loss=loss, low=0.9, high=1.0, cost=cost, unsure=0.0
    )


def test_of_what_is_allowed_the_cheapest_is_taken_whatever_its_way():
    rows = [
        candidate(4, 0.0, 1.0),
        candidate(8, 0.004, 0.6),
        candidate(16, 0.009, 0.5, "polyphase"),
        candidate(16, 0.03, 0.4),
    ]
    assert choose_candidate(rows, 0.01) is rows[2]
    assert choose_candidate(rows, 0.05) is rows[3]
    assert choose_candidate(rows, 0.005) is rows[1]
    # Without costs: the largest stride, and of two ways the one that loses less.
    plain = [one.model_copy(update={"cost": None}) for one in rows]
    assert choose_candidate(plain, 0.05).way == "polyphase"
    assert choose_candidate([candidate(8, 0.3), candidate(16, 0.2)], 0.01).stride == 16


def test_a_loss_for_next_to_no_saving_is_refused_and_said():
    costs = {"area": {4: 1.0, 8: 0.98, 16: 0.96}}
    values = smooth()
    assert choose(values, costs={"area": {4: 1.0, 8: 0.7, 16: 0.6}}).stride == 16
    refused = choose(values, costs=costs)
    assert refused.stride == 4
    assert "too little computing to be worth it" in refused.reason


def test_detail_in_channels_counts_up_to_the_stride_that_keeps_it():
    """Measured: next to nothing is lost at 8, as much as without detail at 32."""
    assert loss_per_energy("polyphase", 16) == LOSS_PER_ENERGY["polyphase"]
    assert loss_per_energy("polyphase", 32) == loss_per_energy("area", 32)
    assert loss_per_energy("unheard of", 8) == LOSS_PER_ENERGY["area"]
    kept = (1.0, 0.99, 0.97, 0.9)
    energy = LabelEnergy((4, 8, 16, 32), kept, (0.0,) * 4, block=1, cells=10_000, coverage=1.0)
    by_stride = {one.stride: one.loss for one in stride_candidates(energy, "polyphase")}
    assert by_stride[16] == pytest.approx(0.03 * LOSS_PER_ENERGY["polyphase"])
    assert by_stride[32] == pytest.approx(0.1 * LOSS_PER_ENERGY["area"])


def test_a_way_that_loses_less_can_be_taken_once_it_is_known(monkeypatch):
    monkeypatch.setitem(LOSS_PER_ENERGY, "polyphase", LOSS_PER_ENERGY["area"] / 20)
    values = stripes(5)
    assert choose(values).stride == 4
    costs = {"area": {4: 1.0, 8: 0.9, 16: 0.8}, "polyphase": {4: 1.0, 8: 0.95, 16: 0.93}}
    chosen = choose(values, ways=("area", "polyphase"), costs=costs)
    assert chosen.stride > 4
    assert chosen.way == "polyphase"
    assert "finer detail kept in channels" in chosen.reason
    names = [(one.stride, one.way) for one in chosen.candidates]
    assert names == [(4, "area"), (8, "area"), (16, "area"), (8, "polyphase"), (16, "polyphase")]
    # Allowed to lose anything, the cheapest of all is taken.
    assert choose(values, 1.0, ways=("area", "polyphase"), costs=costs).way == "area"


def test_known_costs_fall_with_the_stride():
    for (network, form), by_way in COSTS.items():
        for output_stride in by_way["area"]:
            costs = known_costs(network, form, output_stride)
            assert list(costs.values()) == sorted(costs.values(), reverse=True)
            assert list(costs) == sorted(costs)
            assert costs[4] == 1
    assert known_costs("unheard-of", "light", 16) == {}
    assert known_costs("dan", "light", 16, "unheard-of") == {}


def test_the_costs_are_those_that_were_counted():
    path = Path(__file__).parents[2] / "benchmarks" / "results" / "stride_cost.json"
    counted = json.loads(path.read_text("utf-8"))["costs"]
    for (network, form), by_way in COSTS.items():
        written = json.loads(json.dumps(by_way))
        assert written == counted[f"{network} {form}"]


def test_a_choice_survives_json_and_takes_unknown_keys():
    chosen = choose(stripes(5), costs={"area": {4: 1.0, 8: 0.9, 16: 0.8}})
    values = json.loads(json.dumps(chosen.model_dump(mode="json"))) | {"newer": 1}
    assert StrideChoice.model_validate(values) == chosen
