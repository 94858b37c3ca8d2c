"""A viewer with the dock, and a mouse that paints on its canvas."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCursor
from qtpy.QtTest import QTest

ROWS, COLS, BLOCK = 100, 150, 16


@pytest.fixture
def qtbot(qtbot):
    """Wait longer than pytest-qt does: a busy machine is no failure, a wait ends when it may."""
    wait_until = qtbot.waitUntil

    def patient(condition, *, timeout=60_000):
        wait_until(condition, timeout=timeout)

    wait_exposed = qtbot.wait_exposed  # what shows a viewer waits 5 s for its window
    qtbot.waitUntil = patient
    qtbot.wait_exposed = lambda widget, *, timeout=0: wait_exposed(widget, timeout=60_000)
    return qtbot


@pytest.fixture(autouse=True)
def own_choices(tmp_path_factory, monkeypatch):
    """Keep what a test chooses out of the user's own settings."""
    path = tmp_path_factory.mktemp("config") / "choices.json"
    monkeypatch.setattr("napari_blockseg.ui.remembered.choices_file", lambda: path)


class Mouse:
    """Real mouse and key events on the canvas, at pixels of an image layer."""

    def __init__(self, viewer, layer):
        self.canvas = viewer.window._qt_viewer.canvas
        self.layer = layer

    @property
    def native(self):
        return self.canvas.native

    def at(self, row, col) -> QPoint:
        """The place on the screen where pixel (row, col) of the image is drawn."""
        world = np.asarray(self.layer.data_to_world((row, col)), dtype=float)
        x, y = self.canvas.view.scene.transform.map([world[1], world[0], 0, 1])[:2]
        return QPoint(round(float(x)), round(float(y)))

    def move(self, row, col):
        target = self.at(row, col)
        if self.native.mapFromGlobal(QCursor.pos()) == target:
            QTest.mouseMove(self.native, target + QPoint(4, 4))  # a mouse that rests tells nothing
        QTest.mouseMove(self.native, target)
        QTest.qWait(5)

    def press(self, row, col):
        self.move(row, col)
        QTest.mousePress(self.native, Qt.MouseButton.LeftButton, pos=self.at(row, col))

    def release(self, row, col):
        QTest.mouseRelease(self.native, Qt.MouseButton.LeftButton, pos=self.at(row, col))
        QTest.qWait(5)

    def click(self, row, col):
        self.press(row, col)
        self.release(row, col)

    def drag(self, start, stop, steps=8):
        self.press(*start)
        for share in np.linspace(0, 1, steps + 1)[1:]:
            self.move(*(np.asarray(start) + share * (np.asarray(stop) - np.asarray(start))))
        self.release(*stop)

    def key(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        QTest.keyClick(self.native, key, modifier)
        QTest.qWait(5)


@pytest.fixture
def mouse_class():
    """Return the mouse, for tests that paint without a bench."""
    return Mouse


class Bench:
    """A viewer with an image, the dock, and a project that was started by painting."""

    def __init__(self, viewer, layer, dock):
        self.viewer, self.image, self.dock = viewer, layer, dock
        self.session = dock.session
        self.mouse = Mouse(viewer, layer)

    @property
    def root(self):
        return self.session.project.root

    @property
    def image_id(self):
        return self.session.image_id

    def on_disk(self):
        """What another program finds in the project folder now: grid and values."""
        from napari_blockseg.files.project import Project

        assert self.session.flush()
        return Project.open(self.root).load_labels(self.image_id)

    def painted(self) -> dict:
        """Painted blocks on disk, by class value: sets of (row, col)."""
        values = self.on_disk().values
        return {
            int(v): {(int(r), int(c)) for r, c in np.argwhere(values == v)}
            for v in np.unique(values[values > 0])
        }


@pytest.fixture
def viewer(make_napari_viewer, qapp):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1100, 750)
    QTest.qWait(50)
    return viewer


@pytest.fixture
def dock(viewer):
    from napari_blockseg.ui.contributions import dock_of

    dock = dock_of(viewer)
    QTest.qWait(50)
    yield dock
    dock.close_all()


@pytest.fixture
def make_bench(viewer, dock, monkeypatch):
    """Start painting on an image with the given transform (napari's keyword arguments)."""

    def make(shape=(ROWS, COLS), block=BLOCK, **transform):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 255, shape, dtype=np.uint8)
        layer = viewer.add_image(pixels, name="noise", **transform)
        viewer.reset_view()
        monkeypatch.setattr("napari_blockseg.ui.new_project.default_block", lambda _: block)
        dock.session.start_on_layer(layer)
        assert dock.session.flush()
        QTest.qWait(100)
        return Bench(viewer, layer, dock)

    return make


@pytest.fixture
def bench(make_bench):
    return make_bench()
