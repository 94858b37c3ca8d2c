"""The Spectrum panel: follows the paint, says when there is too little, recommends a grid."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_blockseg.core.spectrum import label_spectrum
from napari_blockseg.ui.curves import energy_at
from napari_blockseg.ui.panels.spectrum import SpectrumPanel, measure, needed_blocks


@pytest.fixture
def panel(session, qtbot):
    widget = SpectrumPanel(session)
    qtbot.addWidget(widget)
    yield widget
    widget.close_threads()


def curves(panel) -> set[str]:
    return {name for _, name in panel.canvas._lines}


def test_without_paint_it_says_so(panel):
    assert "Not enough paint yet" in panel.canvas.message.text()
    assert "0 of at least 80 blocks" in panel.canvas.message.text()
    assert panel.regrid.isHidden()
    assert panel.value() is None


def test_a_stroke_draws_the_curves_of_the_classes_it_holds(panel, session, blobs, qtbot):
    session.paint(np.where(blobs == 3, 0, blobs))
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    assert curves(panel) == {"sky", "road"}
    assert panel.canvas.message.text() == ""
    session.paint(blobs)
    qtbot.waitUntil(lambda: curves(panel) == {"sky", "road", "tree"})


def test_what_is_drawn_is_the_label_spectrum(panel, session, blobs, qtbot):
    session.paint(blobs)
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    shown = panel.spectrum
    expected = label_spectrum(blobs, 3, 16, shown.cutoffs)
    np.testing.assert_allclose(shown.energy, expected.energy)
    x, y = panel.canvas._lines[(id(panel.canvas.plot), "road")].getData()
    np.testing.assert_allclose(x, np.log2(shown.cutoffs))
    np.testing.assert_allclose(y, expected.energy[1])
    assert shown.cutoffs[-1] == pytest.approx(0.5 / 16)


def test_the_curve_is_drawn_within_100_ms_of_a_stroke(panel, session, blobs, qtbot):
    session.paint(blobs)
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    times = []
    for row in range(8):
        values = session.values.copy()
        values[row] = 3
        before, start = panel.spectrum, time.perf_counter()
        session.paint(values)
        qtbot.waitUntil(lambda before=before: panel.spectrum is not before)
        times.append(time.perf_counter() - start)
        qtbot.wait(60)
    assert np.median(times) < 0.1


def test_erasing_brings_the_message_back(panel, session, blobs, qtbot):
    session.paint(blobs)
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    session.paint(np.zeros_like(blobs))
    assert "Not enough paint yet" in panel.canvas.message.text()
    qtbot.wait(100)
    assert panel.spectrum is None, "an answer about erased paint must not come back"


def test_answers_about_another_image_are_dropped(panel, session, blobs, qtbot):
    session.paint(blobs)
    session.values = np.zeros_like(blobs)
    session.image_changed.emit("b")
    qtbot.wait(150)
    assert panel.spectrum is None


def test_labels_of_an_image_that_is_not_shown_are_left_alone(panel, session, blobs, qtbot):
    session.values = blobs
    session.labels_changed.emit("b")
    qtbot.wait(100)
    assert panel.spectrum is None


def test_ceilings_and_advice_appear_and_one_click_asks_for_the_grid(panel, session, blobs, qtbot):
    news = []
    panel.news_changed.connect(news.append)
    session.paint(blobs)
    qtbot.waitUntil(lambda: not panel.words.isHidden())
    assert news[-1] == "use 32 px blocks"
    heads = [panel.table.horizontalHeaderItem(c).text() for c in range(2, 5)]
    assert heads == ["8 px", "16 px", "32 px"]
    fine, same, coarse = (float(panel.table.values(c)[-1]) for c in (2, 3, 4))
    assert fine > same > coarse
    assert "Blocks of 32 pixels" in panel.words.text()
    asked = []
    panel.regrid_requested.connect(asked.append)
    panel.regrid.click()
    assert asked == [32]


def test_the_cutoff_says_what_is_kept(panel, session, blobs, qtbot):
    session.paint(blobs)
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    assert panel.value() == pytest.approx(0.5 / 32)
    panel.set_value(0.5 / 64)
    expected = energy_at(panel.spectrum, 0.5 / 64)
    assert panel.table.values(1)[:3] == [f"{100 * share:.0f}" for share in expected]


def test_dragging_the_cutoff_is_told_setting_it_is_not(panel, session, blobs, qtbot):
    session.paint(blobs)
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    told = []
    panel.value_changed.connect(told.append)
    panel.set_value(0.01)
    assert told == []
    panel.canvas.cutoff.setPos(np.log2(0.02))
    assert told == [pytest.approx(0.02)]
    assert panel.value() == pytest.approx(0.02)


def test_a_theme_recolors_what_is_drawn(panel, session, blobs, qtbot):
    session.paint(blobs)
    qtbot.waitUntil(lambda: panel.spectrum is not None)
    dark = panel.canvas.colors.background
    session.viewer.theme = "light"
    assert sum(panel.canvas.colors.background) > sum(dark)


def test_the_axis_starts_at_the_lowest_frequency_of_the_image(session, blobs):
    session.values = blobs
    spectrum = measure(session.labels(), 3)
    assert spectrum.cutoffs[0] >= 1 / (40 * 16) * 0.999
    assert len(spectrum.cutoffs) > 10


@pytest.mark.parametrize(("blocks", "needed"), [(1600, 80), (400, 50), (9, 9)])
def test_needed_blocks(blocks, needed):
    assert needed_blocks(blocks) == needed
