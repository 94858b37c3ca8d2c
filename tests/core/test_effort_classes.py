"""Work on classes that have other values now, or are gone, against tables worked out by hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_blockseg.core.effort import DELETED, Action
from napari_blockseg.core.effort_classes import ClassChange, in_present_classes

SKY_GONE = ClassChange("x", {1: 0, 2: 1, 3: 2})
SKY_BACK = ClassChange("y", {1: 2, 2: 3}, restored=1)


def painted(blocks, time=0.0):
    return Action("a", time, "stroke", "paint", blocks)


def now(*histories):
    return [dict(one.blocks) for one in in_present_classes(histories)]


def seen(token, moved):
    """Return a change of an older journal: only what became of painted blocks."""
    return ClassChange(token, moved, whole=False)


def test_values_go_through_the_changes_that_came_later():
    before, after = painted({0: 4, 1: 9, 2: 17, 3: 5}), painted({1: 2})
    assert now([before, SKY_GONE, after]) == [{0: 4, DELETED: 9, 1: 17, 2: 5}, {1: 2}]
    assert now([before, SKY_GONE, after, ClassChange("z", {1: 0, 2: 1})]) == [
        {0: 4, DELETED: 26, 1: 5},
        {DELETED: 2},
    ]
    assert now([painted({1: 2, 2: 3}), ClassChange("z", {2: 1})]) == [{1: 5}], "two became one"
    assert now([painted({0: 2}), ClassChange("z", {0: 1})]) == [{0: 2}], "erasing stays erasing"


def test_a_class_that_is_back_has_its_work_again():
    before, between = painted({1: 9, 2: 17}), painted({1: 3})
    assert now([before, SKY_GONE, between, SKY_BACK]) == [{1: 9, 2: 17}, {2: 3}]
    last = ClassChange("z", {}, restored=3)
    assert now([painted({3: 5}), ClassChange("x", {3: 0}), last]) == [{3: 5}]


def test_of_two_deleted_classes_the_last_one_comes_back_first():
    road_gone = ClassChange("z", {1: 0, 2: 1})
    back = ClassChange("zz", {1: 2}, restored=1)
    both = [painted({1: 9, 2: 17, 3: 5}), SKY_GONE, road_gone]
    assert now([*both, back]) == [{DELETED: 9, 1: 17, 2: 5}]
    assert now([*both, back, SKY_BACK]) == [{1: 9, 2: 17, 3: 5}]


def test_older_journals_tell_by_what_became_of_blocks_in_all_images():
    work = painted({1: 9, 2: 17, 3: 5})
    gone = [{DELETED: 9, 1: 17, 2: 5}]
    assert now([work, seen("x", {1: 0, 2: 1, 3: 2})]) == gone
    assert now([work, seen("x", {3: 2})], [seen("x", {1: 0})]) == gone, "the other image tells"
    assert now([work, seen("x", {})], [SKY_GONE]) == gone, "finished by a later version"
    assert now([work, seen("x", {1: 0})]) == gone, "later classes without a block move too"
    assert now([work, seen("x", {2: 1, 3: 2})]) == gone, "no block of it: road took its place"
    back = [work, seen("x", {1: 0, 3: 2}), painted({1: 3}), seen("y", {2: 3})]
    assert now(back) == [{1: 9, 2: 17, 3: 5}, {2: 3}]
    assert now([work, seen("x", {})]) == [{1: 9, 2: 17, 3: 5}], "nothing tells"
    assert now([work, seen("x", {1: 3, 3: 1})]) == [{3: 9, 2: 17, 1: 5}], "a script's change"


@settings(max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.booleans())
def test_deleting_and_taking_back_leaves_all_as_it_was(values, whole):
    k, deletions, returns, blocks = 6, [], [], {value: value for value in range(7)}
    for number, value in enumerate(values):
        value = min(value, k)
        down = {value: 0, **{v: v - 1 for v in range(value + 1, k + 1)}}
        up = {v: v + 1 for v in range(value, k)}
        deletions.append(ClassChange(f"d{number}", down, whole))
        # Of a last class that comes back, older journals say nothing.
        returns.insert(0, ClassChange(f"u{number}", up, whole or not up, restored=value))
        k -= 1
    (gone,) = now([painted(blocks), *deletions])
    assert gone[0] == 0
    assert gone[DELETED] + sum(gone[v] for v in range(1, k + 1)) == sum(range(7))
    assert now([painted(blocks), *deletions, *returns]) == [blocks]
