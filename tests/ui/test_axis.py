"""The frequency axis: places, ticks, and the block sizes one can stop at."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.ui.axis import Axis, next_block, snapped_block

axes = st.builds(
    lambda block, octaves, log: Axis(0.5 / block / 2**octaves, block, log),
    st.integers(1, 64),
    st.integers(2, 7),
    st.booleans(),
)


@given(axes, st.floats(0, 1))
def test_a_place_and_its_cutoff_are_one_another(axis, share):
    cutoff = axis.low + share * (axis.nyquist - axis.low)
    assert axis.cutoff(float(axis.place(cutoff))) == pytest.approx(cutoff)


@given(axes)
def test_the_grid_lies_inside_and_the_axis_goes_a_little_beyond(axis):
    left, right = axis.range()
    assert left <= float(axis.place(axis.low)) < float(axis.place(axis.nyquist)) < right


def test_halves_of_the_block_take_the_same_room_on_the_log_axis_only():
    log, linear = Axis(0.5 / 256, 8), Axis(0.5 / 256, 8, log=False)
    places = [float(log.place(0.5 / b)) for b in (32, 16, 8)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    places = [float(linear.place(0.5 / b)) for b in (32, 16, 8)]
    assert places[2] - places[1] == pytest.approx(2 * (places[1] - places[0]))


@given(axes)
def test_ticks_name_the_grid_first_and_leave_one_another_room(axis):
    ticks = axis.ticks()
    assert ticks[0][1] == str(axis.block)
    left, right = axis.range()
    gaps = [a[0] - b[0] for a, b in pairwise(ticks)]
    assert all(gap >= 0.109 * (right - left) for gap in gaps)
    assert len(ticks) <= 10


def test_ticks_of_a_log_axis_are_powers_of_two():
    assert [text for _, text in Axis(0.5 / 256, 16).ticks()] == ["16", "32", "64", "128", "256"]
    wide = Axis(0.5 / 12 / 64, 12).ticks()
    assert [text for _, text in wide][:2] == ["12", "32"], "16 has no room beside 12"


@pytest.mark.parametrize(
    ("size", "block"), [(16.7, 16), (15.3, 16), (12.2, 12), (8.3, 8), (3.0, 8), (900, 256)]
)
def test_a_dragged_cutoff_snaps_near_powers_of_two_and_stays_on_the_axis(size, block):
    assert snapped_block(0.5 / size, Axis(0.5 / 256, 8)) == block


def test_it_snaps_to_a_grid_that_is_no_power_of_two():
    assert snapped_block(0.5 / 12.4, Axis(0.5 / 96, 12)) == 12


def test_keys_go_from_power_to_power_and_end_at_the_ends():
    axis, seen = Axis(0.5 / 100, 12), [12]
    for _ in range(5):
        seen.append(next_block(seen[-1], coarser=True, fine=False, axis=axis))
    assert seen == [12, 16, 32, 64, 100, 100]
    back = [next_block(b, coarser=False, fine=False, axis=axis) for b in (100, 40, 16, 12)]
    assert back == [64, 32, 12, 12]


@given(axes, st.integers(1, 4096), st.booleans())
def test_a_fine_step_is_small_but_a_step(axis, block, coarser):
    block = min(max(block, axis.block), axis.coarsest)
    after = next_block(block, coarser, fine=True, axis=axis)
    at_the_end = block == (axis.coarsest if coarser else axis.block)
    assert (after == block) == at_the_end
    assert abs(after - block) <= max(block / 16, 1)
