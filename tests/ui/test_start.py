"""What `blockseg annotate` starts."""

from __future__ import annotations

import numpy as np
import tifffile
from qtpy.QtTest import QTest

from napari_blockseg.files.project import Project
from napari_blockseg.ui.__main__ import show
from napari_blockseg.ui.contributions import dock_of


def test_a_project_opens_whatever_its_folder_is_called(make_napari_viewer, tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8), metadata={"axes": "YX"})
    root = tmp_path / "any name"
    Project.create(root, [path], ["x", "y"], 16).close()
    viewer = make_napari_viewer(show=True)
    show(viewer, root)
    session = dock_of(viewer).session
    for _ in range(150):
        QTest.qWait(20)
        if session.flush() and session.image_id:
            break
    assert session.image_id == "a"
    assert session.project.root == root


def test_without_a_project_only_the_dock_opens(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    show(viewer, None)
    assert dock_of(viewer).session.project is None
