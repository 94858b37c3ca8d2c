"""Effort from journal records, against tables worked out by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_blockseg.core.effort import UNDONE, Action, Effort, measure_effort, sum_effort


def stroke(image, time, value, n, op="paint", plane=()):
    return Action(image, float(time), "stroke", op, {value: n}, plane)


def undo(image, time, blocks):
    return Action(image, float(time), "undo", "undo", blocks)


def test_a_session_worked_out_by_hand():
    """Two images, a drag in three pieces, a coffee break, an eraser, an undo."""
    actions = [
        stroke("a", 100.0, 1, 3),  # the first: no pause before it
        stroke("a", 100.2, 1, 2),  # the same drag
        stroke("a", 100.5, 1, 1),  # and still
        stroke("a", 105.5, 1, 4),  # a second stroke, 5 s later
        stroke("a", 107.5, 2, 6),  # 2 s
        stroke("b", 110.5, 2, 1),  # 3 s
        stroke("b", 4000.0, 2, 1),  # a break: 20 s
        stroke("b", 4001.0, 0, 1, op="erase"),  # 1 s
        undo("b", 4003.0, {2: 1}),  # 2 s
    ]
    assert measure_effort(actions) == [
        Effort("a", 1, strokes=2, blocks=10, seconds=pytest.approx(5.5)),
        Effort("a", 2, strokes=1, blocks=6, seconds=pytest.approx(2.0)),
        Effort("b", UNDONE, strokes=0, blocks=0, seconds=pytest.approx(2.0)),
        Effort("b", 0, strokes=1, blocks=1, seconds=pytest.approx(1.0)),
        Effort("b", 2, strokes=2, blocks=2, seconds=pytest.approx(23.0)),
    ]


@pytest.mark.parametrize(
    ("second", "strokes"),
    [
        (stroke("a", 0.3, 1, 1), 1),
        (stroke("a", 0.5, 1, 1), 2),
        (stroke("a", 0.3, 1, 1, op="fill"), 2),
        (stroke("a", 0.3, 1, 1, plane=(1,)), 2),
        (stroke("a", 0.3, 2, 1), 2),
        (stroke("b", 0.3, 1, 1), 2),
    ],
)
def test_what_is_one_stroke_and_what_are_two(second, strokes):
    found = measure_effort([stroke("a", 0.0, 1, 1), second])
    assert sum_effort(found).strokes == strokes


@pytest.mark.parametrize(
    ("second", "strokes"),
    [
        (Action("a", 9.0, "stroke", "paint", {1: 1}, goes_on=True), 1),
        (Action("a", 9.0, "stroke", "paint", {1: 1}, plane=(1,), goes_on=True), 1),
        (Action("a", 9.0, "stroke", "paint", {2: 1}, goes_on=True), 2),
        (Action("b", 9.0, "stroke", "paint", {1: 1}, goes_on=True), 2),
        (Action("a", 0.1, "stroke", "paint", {1: 1}, goes_on=False), 2),
    ],
)
def test_a_journal_that_knows_its_strokes_is_believed(second, strokes):
    first = Action("a", 0.0, "stroke", "paint", {1: 1}, goes_on=False)
    found = measure_effort([first, second])
    assert sum_effort(found).strokes == strokes
    assert sum_effort(found).seconds == second.time


def test_a_record_of_two_classes_divides_its_time_by_blocks():
    both = Action("a", 8.0, "stroke", "paint", {1: 3, 2: 1})
    found = {one.value: one for one in measure_effort([stroke("a", 0, 1, 1), both])}
    assert (found[1].seconds, found[2].seconds) == (6.0, 2.0)
    assert (found[1].blocks, found[2].blocks) == (4, 1)


def test_nothing_takes_no_effort():
    assert measure_effort([]) == []
    assert sum_effort([]) == Effort("", 0)


@settings(max_examples=30)
@given(
    st.lists(
        st.builds(
            Action,
            image_id=st.sampled_from("ab"),
            time=st.floats(0, 1e4),
            kind=st.sampled_from(["stroke", "undo"]),
            op=st.just("paint"),
            blocks=st.dictionaries(st.integers(0, 3), st.integers(1, 9), min_size=1),
        )
    )
)
def test_order_does_not_matter_and_nothing_is_lost(actions):
    found = sum_effort(measure_effort(actions))
    painted = [one for one in actions if one.kind == "stroke"]
    assert found.blocks == sum(sum(one.blocks.values()) for one in painted)
    times = sorted(one.time for one in actions)
    pauses = [min(b - a, 20.0) for a, b in pairwise(times)]
    assert found.seconds == pytest.approx(sum(pauses))
    assert found.seconds == pytest.approx(sum_effort(measure_effort(actions[::-1])).seconds)
