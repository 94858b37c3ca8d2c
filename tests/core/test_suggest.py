"""Blocks to label next: what the selection promises, whatever the network says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_blockseg.core.chances import PlaneChances, block_means, mixture, uncertainty
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.suggest import METHODS, Parts, rarity, suggest_blocks

NAMES = ["sky", "road", "pole"]
EVEN = np.array([10, 10, 10])
# what a network is unsure of is given block by block
GIVEN = Parts(rare=False, measure="entropy", pure=False)


def plane(probabilities, values=None, name="a", block=4, edge=0, **more):
    """Return a plane; its image ends `edge` pixels before its last blocks do."""
    rows, cols = probabilities.shape[:2]
    grid = BlockGrid((rows * block - edge, cols * block - edge), block)
    values = np.zeros((rows, cols), np.uint8) if values is None else values
    return PlaneChances(name, BlockLabels(grid, values), np.asarray(probabilities), **more)


def flat(rows=12, cols=12, chances=(0.4, 0.35, 0.25)):
    return np.tile(np.array(chances), (rows, cols, 1))


@st.composite
def all_planes(draw):
    """Return one to three planes of any size with any labels and any probabilities."""
    made = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
        logits = draw(arrays(np.float32, (*shape, 3), elements=st.floats(-20, 20, width=32)))
        chances = np.exp(logits - logits.max(-1, keepdims=True))
        values = draw(arrays(np.uint8, shape, elements=st.integers(0, 3)))
        made.append(plane(chances / chances.sum(-1, keepdims=True), values, name))
    return made


any_parts = st.builds(
    Parts,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["margin", "entropy"]),
    st.booleans(),
)


@settings(max_examples=30)
@given(all_planes(), any_parts, st.integers(1, 60), st.integers(0, 3))
def test_no_labelled_block_no_block_twice_as_many_as_asked_for_always_the_same(
    planes, parts, count, seed
):
    labelled = sum(p.labels.counts(3) for p in planes)[1:]
    found = suggest_blocks(planes, NAMES, labelled, count, parts, seed)
    values = {p.image_id: p.labels.values for p in planes}
    assert all(values[one.image_id][one.row, one.col] == 0 for one in found)
    assert len({(one.image_id, one.row, one.col) for one in found}) == len(found)
    assert len(found) == min(count, sum(int((v == 0).sum()) for v in values.values()))
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert found == suggest_blocks(planes, NAMES, labelled, count, parts, seed)
    fewer = suggest_blocks(planes, NAMES, labelled, 10**6, Parts(True, False, False), seed)
    assert len(fewer) == sum(int((v == 0).sum()) for v in values.values())


@settings(max_examples=20)
@given(all_planes(), st.integers(1, 20), st.sampled_from(["margin", "entropy"]))
def test_plain_uncertainty_takes_the_most_unsure(planes, count, measure):
    parts = Parts(diversity=False, rare=False, measure=measure, pure=False)
    found = suggest_blocks(planes, NAMES, EVEN, count, parts)
    unsure = {p.image_id: uncertainty(p.probabilities, measure) for p in planes}
    free = np.concatenate([unsure[p.image_id][p.labels.values == 0] for p in planes])
    expected = np.maximum(np.sort(free)[::-1][: len(found)], 1e-6)
    np.testing.assert_allclose([one.score for one in found], expected, rtol=1e-6)


def test_two_classes_that_are_alike_come_before_many_that_a_little_is_known_of():
    """What entropy finds most unsure has a clear favorite; the other one is even."""
    chances = flat(1, 2)
    chances[0] = (0.6, 0.2, 0.2), (0.5, 0.5, 0.0)
    assert uncertainty(chances[0, 0]) > uncertainty(chances[0, 1])
    for parts, first in ((Parts(pure=False), 1), (METHODS["uncertainty"], 0)):
        assert suggest_blocks([plane(chances)], NAMES, EVEN, 1, parts)[0].col == first


def test_a_doubt_inside_a_class_comes_before_one_on_a_border():
    chances = flat(5, 30, (1.0, 0.0, 0.0))
    chances[:, 10:] = (0.0, 1.0, 0.0)
    chances[:, 9:11] = (0.5, 0.5, 0.0)  # a border: sure of both sides
    chances[1:4, 20:23] = (0.0, 0.55, 0.45)
    found = suggest_blocks([plane(chances)], NAMES, EVEN, 1, Parts(rare=False))
    assert (found[0].row, found[0].col) == (2, 21)
    found = suggest_blocks([plane(chances)], NAMES, EVEN, 1, Parts(rare=False, pure=False))
    assert found[0].col in (9, 10)


def test_mixture_is_zero_where_all_are_alike_and_one_between_two_classes():
    assert mixture(flat(4, 4)) == pytest.approx(0, abs=1e-12)
    halves = flat(1, 3, (1.0, 0.0, 0.0))
    halves[0, 1:] = (0.5, 0.5, 0.0), (0.0, 1.0, 0.0)
    assert mixture(halves)[0, 1] == pytest.approx(1 - 1 / 3)  # of the three one is unsure itself
    assert mixture(flat(2, 2, (1.0,))).tolist() == [[0, 0], [0, 0]]


def nearest(found):
    at = np.array([(one.row, one.col) for one in found], float)
    apart = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))
    return apart[np.triu_indices(len(at), 1)].min()


def test_diversity_spreads_what_uncertainty_alone_would_heap_up():
    """The most unsure blocks are one heap; next to nothing is lost by going elsewhere."""
    row, col = np.mgrid[:16, :16]
    heap = 0.5 + 0.1 * np.exp(-((row - 4) ** 2 + (col - 4) ** 2) / 8)
    unsure = np.asarray(heap)
    one = plane(flat(16, 16), unsure=unsure)
    plain = suggest_blocks([one], NAMES, EVEN, 8, METHODS["uncertainty"])
    spread = suggest_blocks([one], NAMES, EVEN, 8, GIVEN)
    assert nearest(plain) == 1
    assert nearest(spread) > 4
    assert (spread[0].row, spread[0].col) == (4, 4), "the most unsure one comes first all the same"


def test_diversity_keeps_away_from_what_is_labelled():
    values = np.zeros((12, 12), np.uint8)
    values[6, 6] = 1
    found = suggest_blocks([plane(flat(), values)], NAMES, EVEN, 5, Parts(rare=False))
    assert min(math.hypot(one.row - 6, one.col - 6) for one in found) > 3


def test_diversity_tells_blocks_apart_that_look_different():
    """Far apart in space, so only looks decide: one of each kind comes before a second."""
    chances = flat(1, 40, (0.5, 0.5, 0.0))
    chances[0, ::10] = (0.0, 0.5, 0.5)
    unsure = np.zeros((1, 40))
    unsure[0, ::5] = 1.0
    found = suggest_blocks([plane(chances, unsure=unsure)], NAMES, EVEN, 2, GIVEN)
    assert {one.col % 10 for one in found} == {0, 5}


def test_features_are_looked_at_where_there_are_some():
    features = np.zeros((1, 40, 2), np.float32)
    features[0, 20] = 5.0
    unsure = np.zeros((1, 40))
    unsure[0, ::5] = 0.9
    unsure[0, 0] = 1.0
    given = plane(flat(1, 40), unsure=unsure, features=features)
    found = suggest_blocks([given], NAMES, EVEN, 2, GIVEN)
    assert [one.col for one in found] == [0, 20]


def test_a_rare_class_comes_first_and_is_named():
    chances = flat(4, 4, (0.5, 0.45, 0.05))
    chances[2, 1] = (0.05, 0.45, 0.5)
    labelled = np.array([400, 400, 3])
    one = plane(chances)
    found = suggest_blocks([one], NAMES, labelled, 1)
    assert (found[0].row, found[0].col) == (2, 1)
    assert found[0].reason == "pole or road?, few blocks of pole so far"
    off = suggest_blocks([one], NAMES, labelled, 16, Parts(rare=False))
    assert not any("few blocks" in other.reason for other in off)


def test_a_class_that_the_labels_do_not_have_is_in_no_reason():
    one = plane(flat(1, 1, (0.5, 0.05, 0.45)))
    labelled = np.array([40, 3, 40])
    (found,) = suggest_blocks([one], [None, "pole", "road"], labelled, 1)
    assert found.reason == "road?"
    (found,) = suggest_blocks([one], [None, None, "road"], labelled, 1)
    assert found.reason == "road?"
    one = plane(flat(1, 1, (0.2, 0.4, 0.4)))
    (found,) = suggest_blocks([one], [None, "pole", "road"], np.array([900, 20, 30]), 1)
    assert found.reason == "pole or road?", "few among those that are there"


def test_rarity_is_bounded_and_one_for_the_rarest():
    np.testing.assert_allclose(rarity(np.array([8, 0, 3, 10**6])), [1 / 3, 1, 1 / 2, 1 / 4])


def test_a_sliver_of_a_block_counts_less():
    unsure = np.full((3, 3), 0.5)
    unsure[2, 2] = 0.9  # one pixel of sixteen lies in the image
    one = plane(flat(3, 3), edge=3, unsure=unsure)
    found = suggest_blocks([one], NAMES, EVEN, 9, METHODS["uncertainty"])
    assert max(found[0].row, found[0].col) < 2
    assert found[-1].score == pytest.approx(0.9 / 16)


def test_random_is_uniform_and_goes_by_the_seed():
    one = plane(flat(10, 10))
    drawn = [suggest_blocks([one], NAMES, EVEN, 10, METHODS["random"], seed) for seed in range(100)]
    hits = np.zeros((10, 10))
    for found in drawn:
        assert {f.reason for f in found} == {"drawn at random"}
        np.add.at(hits, ([f.row for f in found], [f.col for f in found]), 1)
    assert hits.sum() == 1000
    assert hits.max() < 30, "ten times each is expected"
    assert drawn[0] != drawn[1]


def test_planes_of_a_stack_are_told_apart():
    planes = [plane(flat(2, 2), index=(i,)) for i in range(3)]
    found = suggest_blocks(planes, NAMES, EVEN, 12)
    assert len({(one.index, one.row, one.col) for one in found}) == 12


@pytest.mark.parametrize(
    ("chances", "entropy", "margin"),
    [
        ((1.0, 0.0, 0.0), 0.0, 0.0),
        ((1 / 3, 1 / 3, 1 / 3), 1.0, 1.0),
        ((0.5, 0.5, 0.0), math.log(2) / math.log(3), 1.0),
        ((0.7, 0.2, 0.1), 0.801819 / math.log(3), 0.5),
        ((1.0,), 0.0, 0.0),
    ],
)
def test_uncertainty_by_hand(chances, entropy, margin):
    assert uncertainty(np.array(chances)) == pytest.approx(entropy, abs=1e-6)
    assert uncertainty(np.array(chances), "margin") == pytest.approx(margin, abs=1e-12)


@settings(max_examples=30)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9))
def test_block_means_are_those_of_the_pixels(rows, cols, block):
    values = np.arange(2.0 * rows * cols).reshape(2, rows, cols)
    grid = BlockGrid((rows, cols), block)
    found = block_means(values, grid)
    for row in range(grid.rows):
        for col in range(grid.cols):
            inside = values[(slice(None), *grid.pixel_slices(row, col))]
            np.testing.assert_allclose(found[:, row, col], inside.mean((1, 2)), rtol=1e-5)


def test_values_of_another_grid_are_refused():
    with pytest.raises(LabelError, match="block size"):
        PlaneChances("a", BlockLabels.empty(BlockGrid((8, 8), 4)), flat(3, 3))
    with pytest.raises(LabelError, match="8 x 9 pixels"):
        block_means(np.zeros((8, 9)), BlockGrid((8, 8), 4))
