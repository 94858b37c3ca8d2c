"""Scopes of the Spectrum panel: a plane, an image, the project; nothing stale in between."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_blockseg.core.spectrum import combine, label_spectrum
from napari_blockseg.ui.panels.spectrum import SpectrumPanel
from napari_blockseg.ui.spectrum_geometry import panel_cutoffs


def alone(values):
    return label_spectrum(values, 3, 16, panel_cutoffs(16))


@pytest.fixture
def make_panel(session, qtbot):
    made = []

    def make() -> SpectrumPanel:
        widget = SpectrumPanel(session)
        qtbot.addWidget(widget)
        widget.show()
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.close_threads()


def offered(panel):
    return [panel.scope.itemData(i) for i in range(panel.scope.count())]


def is_settled(panel):
    return panel.spectrum is not None and not panel.meter.busy


def test_a_flat_image_has_no_planes_to_choose(make_panel):
    panel = make_panel()
    assert offered(panel) == ["image", "project"]
    assert panel.scope.currentText() == "this image"
    assert panel.scope.itemText(1) == "all 3 images"


def test_one_image_of_one_plane_leaves_nothing_to_choose(session, make_panel):
    session.project.image_ids = ["a"]
    panel = make_panel()
    assert offered(panel) == ["image"]
    assert not panel.scope.isEnabled()


def test_s_goes_through_the_scopes(session, make_panel, blobs):
    session.values = np.stack([blobs, blobs[::-1]])
    session.index = (0,)
    panel = make_panel()
    assert offered(panel) == ["plane", "image", "project"]
    assert panel.scope.itemText(1) == "this image, 2 planes"
    seen = [panel.meter.scope]
    for _ in range(3):
        QTest.keyClick(panel.canvas, Qt.Key.Key_S)
        seen.append(panel.meter.scope)
    assert seen == ["image", "project", "plane", "image"]


def test_the_project_is_all_its_readable_images(session, make_panel, blobs, qtbot):
    session.values, session.others = blobs, {"b": blobs.T.copy()}
    panel = make_panel()
    qtbot.waitUntil(lambda: is_settled(panel))
    QTest.keyClick(panel.canvas, Qt.Key.Key_S)
    assert panel.spectrum is None, "the image's curves are not the project's"
    qtbot.waitUntil(lambda: is_settled(panel))
    expected = combine([alone(blobs), alone(blobs.T)])
    np.testing.assert_allclose(panel.spectrum.energy, expected.energy, atol=1e-9)
    assert session.read == ["b"], "c is among the project's problems"
    session.paint(np.flipud(blobs))
    before = panel.spectrum
    qtbot.waitUntil(lambda: panel.spectrum is not before)
    assert session.read == ["b"], "a stroke on one image reads no other one"


def test_an_image_that_cannot_be_read_is_told_and_left_out(session, make_panel, blobs, qtbot):
    session.values = blobs
    panel = make_panel()
    QTest.keyClick(panel.canvas, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: is_settled(panel))
    assert session.problems == ["b cannot be read"]
    np.testing.assert_allclose(panel.spectrum.energy, alone(blobs).energy, atol=1e-9)


def test_an_image_that_was_shown_is_read_again(session, make_panel, blobs, qtbot):
    session.values, session.others = blobs, {"b": blobs.T.copy(), "a": blobs}
    panel = make_panel()
    QTest.keyClick(panel.canvas, Qt.Key.Key_S)
    qtbot.waitUntil(lambda: is_settled(panel))
    session.others["a"] = np.flipud(blobs).copy()  # painted last, and saved
    session.image_id, session.values = "b", session.others["b"]
    session.image_changed.emit("b")
    assert panel.spectrum is None
    qtbot.waitUntil(lambda: is_settled(panel))
    expected = combine([alone(blobs.T), alone(np.flipud(blobs))])
    np.testing.assert_allclose(panel.spectrum.energy, expected.energy, atol=1e-9)
    assert session.read == ["b", "a"]


def test_a_project_that_is_closed_in_the_middle_of_reading_leaves_nothing(
    session, make_panel, blobs, qtbot
):
    session.values, session.others = blobs, {"b": blobs}
    panel = make_panel()
    QTest.keyClick(panel.canvas, Qt.Key.Key_S)
    assert panel.meter.busy
    session.project, session.image_id = None, None
    session.project_closed.emit()
    qtbot.wait(100)
    assert panel.spectrum is None
    assert not panel.meter.busy
    assert "Open an image" in panel.canvas.message.text()
    assert offered(panel) == ["image"]


def test_a_plane_follows_the_slider(session, make_panel, blobs, qtbot):
    session.viewer.add_image(np.zeros((2, 8, 8)))
    session.values = np.stack([blobs, np.ascontiguousarray(blobs.T)])
    panel = make_panel()
    panel.scope.setCurrentIndex(0)
    session.index = (0,)
    session.viewer.dims.set_point(0, 1)
    session.viewer.dims.set_point(0, 0)
    qtbot.waitUntil(lambda: is_settled(panel))
    np.testing.assert_allclose(panel.spectrum.energy, alone(blobs).energy, atol=1e-9)
    session.index = (1,)
    session.viewer.dims.set_point(0, 1)
    assert panel.spectrum is None, "the other plane's curves are gone at once"
    qtbot.waitUntil(lambda: is_settled(panel))
    np.testing.assert_allclose(panel.spectrum.energy, alone(blobs.T).energy, atol=1e-9)


def test_advice_is_about_the_scope(session, make_panel, blobs, qtbot):
    noise = np.random.default_rng(0).integers(1, 4, blobs.shape).astype(np.uint8)
    session.values, session.others = blobs, {"b": noise}
    panel = make_panel()
    qtbot.waitUntil(lambda: panel._judgement is not None)
    one = panel.table.values(3)[-1]
    QTest.keyClick(panel.canvas, Qt.Key.Key_S)
    assert panel._judgement is None
    qtbot.waitUntil(lambda: panel._judgement is not None)
    assert int(panel.table.values(3)[-1]) < int(one)
