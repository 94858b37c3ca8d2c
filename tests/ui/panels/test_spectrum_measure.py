"""What the Spectrum panel measures off the GUI thread: no Qt here."""

from __future__ import annotations

import numpy as np
import pytest

from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, regrid
from napari_blockseg.core.spectrum import combine, label_spectrum
from napari_blockseg.ui.panels import spectrum_measure
from napari_blockseg.ui.panels.spectrum_measure import (
    Question,
    ScopeAdvice,
    ScopeSpectra,
    changed_share,
    painted_planes,
)
from napari_blockseg.ui.spectrum_geometry import panel_cutoffs

BLOCK, NAMES = 8, ("sky", "road", "tree")


def labels(values) -> BlockLabels:
    values = np.asarray(values)
    *leading, rows, cols = values.shape
    return BlockLabels(BlockGrid((*leading, rows * BLOCK, cols * BLOCK), BLOCK), values)


def blobs(shift=0, share=1.0, shape=(24, 32)) -> np.ndarray:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    values = 1 + (rows + 4 * np.sin((cols + shift) / 5) > 10) + (rows > 18)
    holes = np.random.default_rng(shift).random(shape) < share
    return (values * holes).astype(np.uint8)


def question(values, scope="image", index=(), token=1, others=None, image_id="a", **more):
    others = {name: labels(v) for name, v in (others or {}).items()}
    return Question(token, image_id, scope, labels(values), index, NAMES, others, **more)


def ask(spectra, asked):
    spectra.wanted = asked.key
    return spectra.measure(asked)


def alone(values):
    return label_spectrum(values, 3, BLOCK, panel_cutoffs(BLOCK))


def test_a_plane_is_followed_stroke_by_stroke():
    spectra, values = ScopeSpectra(), blobs()
    for row in range(4):
        values = values.copy()
        values[row, :9] = 3
        found = ask(spectra, question(values, settle=True))
        np.testing.assert_allclose(found.spectrum.energy, alone(values).energy, atol=1e-9)
    assert found.low == pytest.approx(1 / (32 * BLOCK))
    assert (found.painted, found.total) == (24 * 32, 24 * 32)


def test_too_little_paint_makes_no_spectrum():
    values = np.zeros((24, 32), np.uint8)
    values[0, :20] = 1
    found = ask(ScopeSpectra(), question(values))
    assert found.spectrum is None
    assert (found.painted, found.total) == (20, 24 * 32)
    assert question(values).missing() == 30
    assert ScopeAdvice().judge(question(values)) is None


def test_an_image_is_all_its_painted_planes_together():
    stack = np.stack([blobs(1), np.zeros((24, 32), np.uint8), blobs(5, 0.6)])
    found = ask(ScopeSpectra(), question(stack, index=(2,), settle=True))
    expected = combine([alone(stack[0]), alone(stack[2])])
    np.testing.assert_allclose(found.spectrum.energy, expected.energy, atol=1e-9)
    assert found.total == 2 * 24 * 32, "a plane without paint is not waited for"
    assert painted_planes(labels(stack)) == [(0,), (2,)]


def test_a_plane_of_a_stack_alone():
    stack = np.stack([blobs(1), blobs(5)])
    found = ask(ScopeSpectra(), question(stack, "plane", (1,), settle=True))
    np.testing.assert_allclose(found.spectrum.energy, alone(stack[1]).energy, atol=1e-9)


def test_the_shown_plane_counts_once_and_without_paint_not_at_all():
    stack = np.stack([np.zeros((24, 32), np.uint8), blobs(1)])
    spectra = ScopeSpectra()
    found = ask(spectra, question(stack, index=(0,), settle=True))
    np.testing.assert_allclose(found.spectrum.energy, alone(stack[1]).energy, atol=1e-9)
    found = ask(spectra, question(stack, index=(1,), settle=True))
    np.testing.assert_allclose(found.spectrum.energy, alone(stack[1]).energy, atol=1e-9)


def test_a_project_is_all_images_and_only_the_painted_one_is_measured_again(monkeypatch):
    measured = []

    def counted(values, *rest):
        measured.append(values.shape)
        return label_spectrum(values, *rest)

    monkeypatch.setattr(spectrum_measure, "label_spectrum", counted)
    spectra, others = ScopeSpectra(), {"b": blobs(3), "c": blobs(7, 0.5, (30, 20))}
    first = ask(spectra, question(blobs(), "project", others=others, settle=True))
    expected = combine([alone(v) for v in (blobs(), *others.values())])
    np.testing.assert_allclose(first.spectrum.energy, expected.energy, atol=1e-9)
    assert len(measured) == 2
    second = ask(spectra, question(blobs(2), "project", others=others, settle=True))
    expected = combine([alone(v) for v in (blobs(2), *others.values())])
    np.testing.assert_allclose(second.spectrum.energy, expected.energy, atol=1e-9)
    assert len(measured) == 2, "only the shown image was painted on"
    ask(spectra, question(blobs(), "project", others={**others, "b": blobs(9)}))
    assert len(measured) == 3


def test_another_token_forgets_everything(monkeypatch):
    measured = []
    spectra, others = ScopeSpectra(), {"b": blobs(3)}
    monkeypatch.setattr(
        spectrum_measure,
        "label_spectrum",
        lambda *args: measured.append(1) or label_spectrum(*args),
    )
    for token in (1, 1, 2):
        ask(spectra, question(blobs(), "project", others=others, token=token))
    assert len(measured) == 2


def test_work_nobody_waits_for_ends_early(monkeypatch):
    spectra, calls = ScopeSpectra(), []

    def counted(*args):
        calls.append(1)
        spectra.wanted = None  # the project was closed meanwhile
        return label_spectrum(*args)

    monkeypatch.setattr(spectrum_measure, "label_spectrum", counted)
    others = {f"image {i}": blobs(i + 1) for i in range(9)}
    assert ask(spectra, question(blobs(), "project", others=others)) is None
    assert len(calls) == 1


def test_the_advice_follows_the_scope():
    fine = np.random.default_rng(0).integers(1, 4, (48, 64)).astype(np.uint8)
    smooth = blobs(shape=(48, 64))
    one = ScopeAdvice().judge(question(smooth))
    all_ = ScopeAdvice().judge(question(smooth, "project", others={"b": fine, "c": fine}))
    at = {row.block: row.miou for row in one.ceilings}
    assert {row.block: row.miou for row in all_.ceilings}[BLOCK] < at[BLOCK]


def test_only_the_painted_image_is_counted_again_for_the_advice(monkeypatch):
    counted = []
    original = spectrum_measure.PairCounts.of
    monkeypatch.setattr(
        spectrum_measure.PairCounts,
        "of",
        lambda labels, n: counted.append(labels.values) or original(labels, n),
    )
    advice, others = ScopeAdvice(), {"b": labels(blobs(3)), "c": labels(blobs(7))}
    for values in (blobs(), blobs(2)):
        asked = Question(1, "a", "project", labels(values), (), NAMES, others)
        found = advice.judge(asked)
    assert len(counted) == 2 + 1 + 1
    np.testing.assert_array_equal(counted[-1], blobs(2))
    again = ScopeAdvice().judge(
        question(blobs(2), "project", others={"b": blobs(3), "c": blobs(7)})
    )
    assert [row.miou for row in found.ceilings] == [row.miou for row in again.ceilings]


@pytest.mark.parametrize("block", [16, 32])
def test_what_a_coarser_grid_changes_is_what_regrid_changes(block):
    values = blobs(shape=(24, 32))
    done = regrid(labels(values), block)
    assert changed_share([labels(values)], block) == done.changed_pixels / done.labelled_pixels


def test_a_finer_grid_changes_nothing_an_odd_one_cannot_be_told():
    assert changed_share([labels(blobs())], 4) == 0
    assert changed_share([labels(blobs())], 12) is None
