"""All grids of a network chosen together: what each loses, what is fastest within the tolerance."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from napari_blockseg.core.advice import (
    Grids,
    LabelEnergy,
    choose_grids,
    energy_strides,
    grid_candidates,
    label_energy,
    possible_grids,
    stride_candidates,
)
from napari_blockseg.core.advice.grids import judged
from napari_blockseg.core.advice.stride_constants import (
    HALVED_LOSS,
    LOSS_PER_ENERGY,
    NO_DECODER_LOSS,
    OUTPUT_STRIDE_LOSS,
)
from napari_blockseg.core.stride_choice import StrideChoice

GRIDS = possible_grids(16)
#: Energy that cells of these working pixels hold.
HELD = {4: 0.99, 8: 0.98, 16: 0.95, 32: 0.9, 64: 0.8}
#: As the light form is, roughly: the halved input is by far the fastest.
SHARES = {
    one: one.input_scale**2 * {16: 1.0, 32: 0.64}[one.output_stride] * (0.9 + 0.4 / one.cell)
    for one in GRIDS
}


def energy_of(held: dict[int, float]) -> LabelEnergy:
    return LabelEnergy(
        tuple(held), tuple(held.values()), tuple(0.0 for _ in held), 8.0, 200, coverage=1.0
    )


def scaled(factor: float) -> LabelEnergy:
    """Return labels of which this share of what HELD cuts away is cut away."""
    return energy_of({stride: 0.99 - factor * (0.99 - share) for stride, share in HELD.items()})


def rows(way: str = "area") -> dict[Grids, float]:
    found = grid_candidates(energy_of(HELD), GRIDS, way, SHARES)
    return {grids: one.loss for grids, one in zip(GRIDS, found, strict=True)}


def choose(tolerance: float, energy: LabelEnergy | None = None, **more) -> StrideChoice:
    about = {"block": 8, "scale": 1.0, "way": "polyphase"} | more
    return choose_grids(energy or energy_of(HELD), tolerance, GRIDS, SHARES, **about)


def test_the_full_grids_come_first_and_nothing_unmeasured_is_offered():
    assert GRIDS[0] == Grids(1.0, 16, 4)
    assert {one.output_stride for one in GRIDS} == {16, 32}
    assert {one.output_stride for one in possible_grids(8)} == {8}
    assert {one.output_stride for one in possible_grids(32)} == {32}
    assert all(one.decoder_stride <= one.output_stride for one in GRIDS)
    plain = possible_grids(16, may_halve=False, may_lack_decoder=False)
    assert all(one.input_scale == 1 and one.decoder for one in plain)
    assert energy_strides(GRIDS) == [4, 8, 16, 32, 64]


def test_the_decoders_stride_loses_what_it_does_alone():
    alone = {one.stride: one.loss for one in stride_candidates(energy_of(HELD))}
    found = rows()
    for stride in (4, 8, 16):
        assert found[Grids(1.0, 16, stride)] == pytest.approx(alone[stride], abs=1e-12)


def test_losses_of_several_grids_add_up():
    found, slope = rows(), LOSS_PER_ENERGY["area"]
    # From the full grid to an encoder's end of 32 pixels is 0.09; with the input halved, 0.18.
    assert found[Grids(1.0, 32, 4)] == pytest.approx(0.09 * OUTPUT_STRIDE_LOSS)
    assert found[Grids(1.0, 32, 8)] == pytest.approx(0.09 * OUTPUT_STRIDE_LOSS + 0.01 * slope)
    assert found[Grids(0.5, 16, 4)] == pytest.approx(0.01 * HALVED_LOSS)
    assert found[Grids(0.5, 32, 8)] == pytest.approx(
        0.01 * HALVED_LOSS + 0.18 * OUTPUT_STRIDE_LOSS + 0.03 * slope
    )
    assert found[Grids(1.0, 16, 16, decoder=False)] == pytest.approx(0.04 * NO_DECODER_LOSS)


def test_a_model_that_was_cut_bounds_only_what_differs_in_the_decoder():
    found = grid_candidates(energy_of(HELD), GRIDS, "area", SHARES, measured={16: 0.001})
    by_grids = dict(zip(GRIDS, found, strict=True))
    assert by_grids[Grids(1.0, 16, 16)].measured
    assert by_grids[Grids(1.0, 16, 16)].loss < 0.04 * LOSS_PER_ENERGY["area"]
    others = [one for grids, one in by_grids.items() if grids.output_stride == 32]
    assert not any(one.measured for one in others)
    assert by_grids[Grids(1.0, 32, 16)].loss > 0.04 * LOSS_PER_ENERGY["area"]


def test_the_fastest_within_the_tolerance_is_chosen_with_reasons():
    chosen = choose(0.01)
    assert (chosen.output_stride, chosen.input_scale, chosen.decoder) == (32, 1.0, True)
    (taken,) = [one for one in chosen.candidates if one.verdict == "chosen"]
    assert taken.loss <= 0.01
    for one in chosen.candidates:
        if one.loss <= 0.01:
            # Hardly anything is faster, and what is loses more.
            assert one.cost >= 0.95 * taken.cost
            assert one.cost > taken.cost or one.loss >= taken.loss
        else:
            assert one.verdict == "loses too much"
    assert "Output stride 32".lower() in chosen.summary.lower()
    assert "input x 0.5" in chosen.reason, "what is faster, and why it was left"


def test_labels_too_fine_for_any_encoders_end_do_not_get_the_coarse_one():
    fine = energy_of({4: 0.99, 8: 0.2, 16: 0.01, 32: 0.01, 64: 0.01})
    chosen = choose(0.01, fine)
    assert (chosen.stride, chosen.output_stride, chosen.input_scale) == (4, 16, 1.0)


def test_a_loss_for_next_to_no_saving_is_not_taken():
    half = [Grids(0.5, 32, stride) for stride in (4, 8, 16)]
    shares = SHARES | {one: 0.14 - 0.001 * place for place, one in enumerate(half)}
    found = grid_candidates(energy_of(HELD), GRIDS, "polyphase", shares)
    chosen, rows = judged(found, 0.5)
    assert (chosen.stride, chosen.output_stride, chosen.input_scale) == (4, 32, 0.5)
    verdicts = {(one.stride, one.input_scale): one.verdict for one in rows if one.decoder}
    assert verdicts[8, 0.5] == verdicts[16, 0.5] == "saves too little"


def test_the_input_is_halved_only_within_the_tolerance():
    # Nine tenths of what HELD loses by a halved input, 0.031, is more than a point.
    assert choose(0.01, scaled(0.9)).input_scale == 1.0
    smooth = choose(0.01, scaled(0.1))
    assert smooth.input_scale == 0.5
    assert all(one.loss <= 0.01 for one in smooth.candidates if one.verdict == "chosen")
    assert choose(0.2).input_scale == 0.5
    assert choose(0.0).stride == 4
    assert choose(0.0).output_stride == 16


def test_a_larger_tolerance_never_chooses_what_is_slower():
    costs = []
    for tolerance in np.linspace(0, 0.3, 31):
        chosen = choose(float(tolerance))
        costs += [one.cost for one in chosen.candidates if one.verdict == "chosen"]
    assert all(later <= earlier / 0.95 for earlier, later in itertools.pairwise(costs))
    assert len(set(costs)) > 2


def test_without_enough_paint_nothing_is_cut():
    nothing = label_energy([np.zeros((64, 64), int)], 2, 8, 1.0, energy_strides(GRIDS))
    chosen = choose_grids(nothing, 0.01, GRIDS, {}, block=8, scale=1.0)
    assert (chosen.grounds, chosen.stride, chosen.output_stride) == ("paint", 4, None)
    assert chosen.input_scale == 1.0


def test_little_paint_counts_as_lost():
    unsure = LabelEnergy(
        tuple(HELD), tuple(HELD.values()), (0.0, 0.02, 0.02, 0.02, 0.02), 8.0, 200, coverage=0.1
    )
    assert choose(0.01, unsure).stride == 4


def test_choices_survive_json_and_older_ones_can_be_read():
    chosen = choose(0.01)
    assert StrideChoice.model_validate(json.loads(chosen.model_dump_json())) == chosen
    old = {"stride": 8, "grounds": "labels", "reason": "Because.", "tolerance": 0.01}
    read = StrideChoice.model_validate(old)
    assert (read.output_stride, read.input_scale, read.decoder) == (None, 1.0, True)
