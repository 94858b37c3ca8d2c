"""What napari calls by itself: readers, the writer, the samples."""

from __future__ import annotations

import napari
import numpy as np
import pytest
import tifffile
from qtpy.QtTest import QTest

from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.blocklabels import read_block_labels, write_block_labels
from napari_blockseg.files.project import Project
from napari_blockseg.files.samples import samples
from napari_blockseg.ui import contributions
from napari_blockseg.ui.contributions import (
    PLUGIN,
    WIDGET,
    dock_of,
    get_block_labels_reader,
    get_project_reader,
    write_block_labels_layer,
)

LABELS = BlockLabels(BlockGrid((40, 50), 16), np.arange(12).reshape(3, 4))


@pytest.fixture
def project_root(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((40, 50), np.uint8), metadata={"axes": "YX"})
    with Project.create(tmp_path / "p.blockseg", [path], ["x", "y"], 16) as project:
        return project.root


def wait_for_dock(viewer):
    for _ in range(100):
        QTest.qWait(20)
        dock = dock_of(viewer)
        if dock.session.flush() and dock.session.image_id:
            return dock
    raise AssertionError("the dock did not open the project within 2 s")


def test_readers_claim_only_their_own(tmp_path, project_root):
    assert get_block_labels_reader("x/a.blocks.tif")
    assert get_block_labels_reader(["a.blocks.tif", "b.blocks.tif"])
    assert get_block_labels_reader("a.tif") is None
    assert get_project_reader(str(project_root))
    assert get_project_reader(str(tmp_path)) is None
    assert get_project_reader(str(tmp_path / "missing.blockseg")) is None


def test_block_labels_are_read_where_they_belong(tmp_path):
    path = tmp_path / "plate.blocks.tif"
    write_block_labels(path, LABELS)
    ((data, attributes, kind),) = get_block_labels_reader(str(path))(str(path))
    layer = napari.layers.Labels(data, **attributes)
    assert kind == "labels"
    assert layer.name == "plate"
    assert np.array_equal(layer.data, LABELS.values)
    assert np.allclose(layer.data_to_world((0, 0)), (7.5, 7.5))
    assert np.allclose(layer.data_to_world((2, 3)), (39.5, 55.5))


def test_writer_and_reader_go_round(tmp_path):
    path = tmp_path / "plate.blocks.tif"
    write_block_labels(path, LABELS)
    ((data, attributes, _),) = get_block_labels_reader(str(path))(str(path))
    (written,) = write_block_labels_layer(str(tmp_path / "again"), data, attributes)
    assert written.endswith("again.blocks.tif")
    assert read_block_labels(written)[0] == LABELS


def test_a_layer_off_the_grid_is_written_as_pixel_labels(tmp_path):
    (written,) = write_block_labels_layer(str(tmp_path / "p"), np.ones((5, 6), np.uint8), {})
    assert read_block_labels(written)[0].grid == BlockGrid((5, 6), 1)


def test_a_project_without_a_viewer_is_read_as_layers(project_root, monkeypatch):
    monkeypatch.setattr(contributions.napari, "current_viewer", lambda: None)
    image, labels = get_project_reader(str(project_root))(str(project_root))
    assert image[2] == "image"
    assert labels[2] == "labels"
    assert labels[0].shape == (3, 4)


def test_opening_a_project_folder_shows_it_in_the_dock(viewer, project_root):
    assert viewer.open(project_root, plugin=PLUGIN) == []
    dock = wait_for_dock(viewer)
    assert dock.session.project.root == project_root
    assert [layer.name for layer in viewer.layers] == ["a", "a blocks"]


def test_saving_the_layer_keeps_its_geometry(viewer, project_root, tmp_path):
    viewer.open(project_root, plugin=PLUGIN)
    session = wait_for_dock(viewer).session
    session.labels_layer().paint((1, 2), 2)
    (path,) = write_block_labels_layer(
        str(tmp_path / "saved"), *session.labels_layer().as_layer_data_tuple()[:2]
    )
    assert read_block_labels(path)[0] == session.labels()


@pytest.mark.parametrize("name", [sample.name for sample in samples()])
def test_samples_open_painted_and_with_one_image_layer(viewer, name):
    viewer.open_sample(PLUGIN, name)
    dock = wait_for_dock(viewer)
    assert dock.session.labels().n_labelled > 0
    first = dock.session.image_ids[0]
    assert [layer.name for layer in viewer.layers] == [first, f"{first} blocks"]
    dock.session.set_image(dock.session.image_ids[-1])
    assert dock.session.flush()
    assert len(viewer.layers) == 2


def test_the_widget_is_found_by_its_name_and_made_once(viewer):
    first = dock_of(viewer)
    assert type(first).__name__ == "BlockSegDock"
    assert viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)[1] is first
    assert dock_of(viewer) is first
