"""A preview takes the place of the one before in one go: no layer comes or goes, nothing blinks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from qtpy.QtTest import QTest

SHAPE = (100, 150)


class Watch:
    """Counts what a viewer and a layer tell while previews come."""

    def __init__(self, viewer, layer):
        self.told = Counter()
        camera = getattr(viewer, "scene", viewer).camera
        watched = {
            "inserted": viewer.layers.events.inserted,
            "removed": viewer.layers.events.removed,
            "reordered": viewer.layers.events.reordered,
            "active": viewer.layers.selection.events.active,
            "zoom": camera.events.zoom,
            "center": camera.events.center,
        }
        # "data" is told when the array is another one, "set_data" when it is drawn again
        names = ("data", "set_data", "visible", "opacity", "colormap", "affine", "reload")
        watched |= {name: getattr(layer.events, name) for name in names}
        for name, event in watched.items():
            event.connect(lambda _event, name=name: self.told.update([name]))

    def taken(self) -> dict[str, int]:
        """Return what was told since the last time."""
        told, self.told = dict(self.told), Counter()
        return told


def mask(value: int) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


@pytest.fixture
def shown(bench):
    """Return a bench whose first preview is shown."""
    bench.session.show_prediction(bench.image_id, mask(1))
    QTest.qWait(100)
    return bench


def look_at_every_frame(shown):
    """See that the middle of every frame that is drawn is in the color of one of the previews."""
    scene = shown.viewer.window._qt_viewer.canvas._scene_canvas
    shown.session.labels_layer().visible = False
    layer = shown.session.prediction_layer()
    layer.opacity = 1.0
    shown.session.show_prediction(shown.image_id, mask(1))
    QTest.qWait(100)
    colors = [np.asarray(layer.get_color(value))[:3] for value in (1, 2)]
    frames = []

    def look(_event):
        # vispy has drawn the scene when this is called: it is asked last
        from vispy.gloo import read_pixels

        frame = read_pixels(out_type="float")
        rows, cols = frame.shape[:2]
        frames.append(frame[rows // 2, cols // 2, :3])

    scene.events.draw.connect(look, position="last")
    for value in (2, 1, 2, 1, 2):
        shown.session.show_prediction(shown.image_id, mask(value))
        QTest.qWait(60)
    scene.events.draw.disconnect(look)
    assert len(frames) >= 5
    far = [min(np.abs(frame - color).max() for color in colors) for frame in frames]
    assert max(far) < 0.02
    last = np.abs(frames[-1] - colors[1]).max()
    assert last < 0.02


def test_only_the_picture_of_the_layer_changes(shown):
    session, image_id = shown.session, shown.image_id
    layer = session.prediction_layer()
    array, watch = layer.data, Watch(shown.viewer, layer)
    for value in (2, 3, 1, 2, 1):
        session.show_prediction(image_id, mask(value))
        QTest.qWait(20)
    assert session.prediction_layer() is layer
    assert layer.data is array, "another array would forget undo steps and slices"
    assert (layer.data == 1).all()
    assert watch.taken() == {"set_data": 5}

    session.show_prediction(image_id, mask(1))
    QTest.qWait(20)
    assert watch.taken() == {}, "what shows the same is not drawn again"

    session.show_prediction(image_id, mask(2)[:40, :60], (10, 50, 20, 80))
    QTest.qWait(20)
    expected = mask(1)
    expected[10:50, 20:80] = 2
    np.testing.assert_array_equal(layer.data, expected)
    assert watch.taken() == {"set_data": 1}

    layer.visible = False
    watch.taken()
    session.show_prediction(image_id, mask(3))
    QTest.qWait(20)
    assert not layer.visible, "what the user has hidden stays hidden"
    assert "visible" not in watch.taken()
    layer.visible = True
    look_at_every_frame(shown)
