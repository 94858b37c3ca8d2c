"""Live == full, whatever was painted, undone and regridded before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum import LabelSpectrum, LiveSpectrum, label_spectrum
from napari_blockseg.core.spectrum import live as live_module
from napari_blockseg.core.spectrum import waves as waves_module

K = 4
PARTS = ("energy", "mean", "error", "band", "total")


def assert_same(found: LabelSpectrum, full: LabelSpectrum, parts: tuple[str, ...] = PARTS) -> None:
    for name in parts:
        ours, theirs = getattr(found, name), getattr(full, name)
        assert np.allclose(ours, theirs, rtol=1e-9, atol=1e-9, equal_nan=True), name
    for name in ("coverage", "enough", "cells", "size"):
        assert getattr(found, name) == getattr(full, name)


class Painting(RuleBasedStateMachine):
    """Someone paints, erases, undoes, loads another grid; looks now and then."""

    @initialize(rows=st.integers(1, 24), cols=st.integers(1, 24), filled=st.booleans())
    def start(self, rows: int, cols: int, filled: bool) -> None:
        self.live = LiveSpectrum(K, block=4)
        self.rng = np.random.default_rng(rows * 100 + cols)
        self.values = self.rng.integers(1, K + 1, (rows, cols)) * filled
        self.undo: list[tuple[np.ndarray, np.ndarray]] = []
        self.generation = -1
        self.live.reset(self.values)

    def set(self, index: np.ndarray, new: np.ndarray) -> None:
        self.values[index[:, 0], index[:, 1]] = new
        self.live.change(index, new)

    @rule(value=st.integers(0, K), size=st.integers(1, 12), seed=st.integers(0, 10**6))
    def stroke(self, value: int, size: int, seed: int) -> None:
        rows, cols = self.values.shape
        row, col = seed % rows, seed // 1000 % cols
        index = np.argwhere(np.ones((min(size, rows - row), min(3, cols - col)))) + np.array(
            [row, col]
        )
        self.undo.append((index, self.values[index[:, 0], index[:, 1]].copy()))
        self.set(index, np.full(len(index), value))

    @rule(share=st.floats(0, 1))
    def scatter(self, share: float) -> None:
        index = np.argwhere(self.rng.random(self.values.shape) < share)
        self.undo.append((index, self.values[index[:, 0], index[:, 1]].copy()))
        self.set(index, self.rng.integers(0, K + 1, len(index)))

    @precondition(lambda self: self.undo)
    @rule()
    def undo_last(self) -> None:
        self.set(*self.undo.pop())

    @rule(value=st.integers(1, K))
    def fill_the_rest(self, value: int) -> None:
        self.values[self.values == 0] = value
        self.undo.clear()
        self.live.follow(self.values)

    @rule(factor=st.sampled_from([1, 2, 3]))
    def regrid(self, factor: int) -> None:
        self.values = self.values[::factor, ::factor].repeat(3 - factor or 1, 0)[:24, :24].copy()
        self.undo.clear()
        self.live.follow(self.values)

    @rule()
    def look(self) -> None:
        found, full = self.live.result(), label_spectrum(self.values, K, 4)
        assert_same(found, full, ("energy", "mean", "band", "total"))
        assert found.generation >= self.generation
        self.generation = found.generation
        if full.coverage == 1:
            assert found.settled
            assert_same(found, full)

    @rule()
    def settle(self) -> None:
        self.live.settle()
        assert self.live.result().settled
        assert_same(self.live.result(), label_spectrum(self.values, K, 4))


TestPainting = Painting.TestCase
TestPainting.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def painted(shape: tuple[int, int], coverage: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < coverage, rng.integers(1, K + 1, shape), 0)


def stroke(
    values: np.ndarray, rng: np.random.Generator, lowest: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    row, col = rng.integers(0, values.shape[0] - 3), rng.integers(0, values.shape[1] - 3)
    index = np.argwhere(np.ones((2, 3))) + np.array([row, col])
    new = np.full(len(index), rng.integers(lowest, K + 1))
    values[index[:, 0], index[:, 1]] = new
    return index, new


def test_classes_that_a_stroke_touches_follow_at_once_and_the_others_later(monkeypatch) -> None:
    monkeypatch.setattr(live_module, "_MORE_CELLS", 0)
    values = painted((40, 41), 0.5)
    values[:4, :4] = 0
    live = LiveSpectrum(K)
    live.reset(values)
    before = live.result()
    values[:3, :3] = 2
    live.follow(values)
    found, full = live.result(), label_spectrum(values, K)
    assert np.allclose(found.band[1], full.band[1], rtol=1e-10)
    assert np.array_equal(found.energy[[0, 2, 3]], before.energy[[0, 2, 3]])
    assert not np.allclose(full.energy[[0, 2, 3]], before.energy[[0, 2, 3]], atol=1e-9)
    assert not found.settled
    live.settle()
    assert_same(live.result(), full)


def test_those_that_waited_longest_come_first(monkeypatch) -> None:
    monkeypatch.setattr(live_module, "_MORE_CELLS", 40 * 41 * 2)
    values = painted((40, 41), 0.5)
    live = LiveSpectrum(K)
    live.reset(values)
    live.result()
    # Erasing class 1 bit by bit: each time it and one of the others, 2, 3, 4 by turns.
    for index in np.argwhere(values == 1)[:3]:
        values[tuple(index)] = 0
        live.change(index[None], np.zeros(1, int))
        last = live.result()
    errors = np.abs(last.band - label_spectrum(values, K).band).max(1)
    assert errors[0] < 1e-9
    assert errors[3] < 1e-9
    assert (errors[1:3] > 1e-6).all()


def test_what_was_settled_is_late_again_when_the_coverage_changes() -> None:
    values = painted((40, 41), 0.5)
    values[:4, :4] = 0
    live = LiveSpectrum(K)
    live.reset(values)
    live.settle()
    values[:3, :3] = 2
    live.follow(values)
    assert not live.result().settled
    live.settle()
    assert_same(live.result(), label_spectrum(values, K))


def test_settling_can_be_left_and_taken_up_again() -> None:
    values = painted((40, 41), 0.5)
    live = LiveSpectrum(K)
    live.reset(values)
    asked = iter([True, True, False])
    assert not live.settle(lambda: next(asked))
    assert not live.result().settled
    errors = live.result().error
    assert np.isfinite(errors[:2]).all()
    assert np.isnan(errors[2:]).all()
    assert live.settle(lambda: True)
    assert_same(live.result(), label_spectrum(values, K))


@pytest.mark.parametrize("coverage", [0.5, 1.0])
def test_large_grids_are_followed_in_float32_and_settle_exactly(monkeypatch, coverage) -> None:
    monkeypatch.setattr(live_module, "_FLOAT64_CELLS", 0)
    values = painted((65, 64), coverage)
    live = LiveSpectrum(K)
    live.reset(values)
    rng = np.random.default_rng(0)
    for _ in range(50):
        live.result()
        live.change(*stroke(values, rng, lowest=int(coverage)))
    found, full = live.result(), label_spectrum(values, K)
    assert np.allclose(found.energy, full.energy, atol=1e-5)
    assert not found.settled
    live.settle()
    assert np.array_equal(live.result().band, full.band)
    assert_same(live.result(), full)


def test_rounding_does_not_pile_up() -> None:
    values = painted((32, 30), 0.6)
    live = LiveSpectrum(K)
    live.reset(values)
    rng = np.random.default_rng(1)
    for _ in range(1500):
        live.result()
        live.change(*stroke(values, rng))
    assert np.allclose(live.result().band, label_spectrum(values, K).band, rtol=1e-10, atol=1e-10)


def test_little_memory_costs_time_only(monkeypatch) -> None:
    monkeypatch.setattr(waves_module, "_MEMORY", 0)
    values = painted((33, 40), 0.6)
    live = LiveSpectrum(21)
    live.reset(values)
    rng = np.random.default_rng(1)
    for _ in range(20):
        live.result()
        live.change(*stroke(values, rng))
    full = label_spectrum(values, 21)
    assert np.allclose(live.result().band, full.band, rtol=1e-10, atol=1e-10)


def test_a_result_stays_as_it_was() -> None:
    live = LiveSpectrum(K)
    live.reset(painted((20, 20), 0.5))
    first = live.result()
    assert live.result() is first
    kept = first.energy.copy()
    with pytest.raises(ValueError, match="read-only"):
        first.energy[0, 0] = 1
    live.change(np.array([[0, 0], [1, 1]]), np.array([1, 2]))
    live.settle()
    assert live.result().generation > first.generation
    assert np.array_equal(first.energy, kept)


def test_nothing_new_is_no_change() -> None:
    values = painted((20, 20), 0.5)
    live = LiveSpectrum(K)
    live.reset(values)
    first = live.result()
    live.follow(values)
    live.change(np.array([[3, 3]]), values[3, 3:4])
    live.change(np.zeros((0, 2), int), np.zeros(0, int))
    assert live.result() is first


def test_of_a_cell_that_comes_twice_the_last_value_counts() -> None:
    live = LiveSpectrum(K)
    live.reset(np.ones((6, 6), int))
    live.change(np.array([[2, 2], [0, 1], [2, 2]]), np.array([2, 3, 4]))
    expected = np.ones((6, 6), int)
    expected[2, 2], expected[0, 1] = 4, 3
    assert_same(live.result(), label_spectrum(expected, K))


def test_labels_given_are_not_kept() -> None:
    values = np.ones((6, 6), np.uint16)
    live = LiveSpectrum(K)
    live.reset(values)
    values[2, 2] = 3
    live.follow(values)
    assert_same(live.result(), label_spectrum(values, K))


@pytest.mark.parametrize(
    ("index", "new"),
    [
        ([[0, 0]], [K + 1]),
        ([[0, 0]], [-1]),
        ([[0, 5]], [1]),
        ([[-1, 0]], [1]),
        ([[0, 0], [1, 1]], [1]),
    ],
)
def test_wrong_changes_are_refused_and_change_nothing(index, new) -> None:
    live = LiveSpectrum(K)
    live.reset(np.ones((5, 5), int))
    before = live.result()
    with pytest.raises(LabelError):
        live.change(np.array(index), np.array(new))
    assert live.result() is before


@pytest.mark.parametrize("values", [np.ones(3, int), np.zeros((0, 3), int), np.full((2, 2), 9)])
def test_wrong_planes_are_refused(values) -> None:
    with pytest.raises(LabelError):
        LiveSpectrum(K).reset(values)


def test_before_anything_is_painted() -> None:
    found = LiveSpectrum(K).result()
    assert not found.enough
    assert np.isnan(found.energy).all()
    assert found.coverage == 0
