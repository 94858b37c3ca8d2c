"""Open a project in napari and drag the brush for ever; say on stdout what is painted, and when.

Run by test_recovery, which kills it.
"""

from __future__ import annotations

import json
import sys
import time

import napari
import numpy as np
from conftest import Mouse
from qtpy.QtTest import QTest

from napari_blockseg.ui.dock import BlockSegDock


def say(layer):
    cells = np.argwhere(layer.data).tolist()
    text = json.dumps({"time": time.monotonic(), "cells": cells, "block": layer.grid.block})
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(root):
    viewer = napari.Viewer()
    dock = BlockSegDock(viewer)
    viewer.window.add_dock_widget(dock)
    session = dock.session
    session.open_project(root)
    assert session.flush()
    QTest.qWait(300)
    mouse, layer = Mouse(viewer, session.image_layer()), session.labels_layer()
    mouse.drag((8, 8), (8, 120))
    session.regrid(8)
    assert session.flush()
    session.undo()
    session.undo()
    session.redo()
    assert session.flush()
    mouse.press(40, 8)
    while True:
        for col in [*range(8, 250, 6), *range(250, 8, -6)]:
            mouse.move(40 + (col * 7) % 190, col)
            say(layer)


if __name__ == "__main__":
    main(sys.argv[1])
