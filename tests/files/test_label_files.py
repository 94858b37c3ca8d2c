"""Block label files: plain TIFFs that come back equal, and clear words about damaged ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_blockseg.core.errors import ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.blocklabels import read_block_labels, write_block_labels


@settings(max_examples=40, deadline=None)
@given(
    leading=st.sampled_from([(), (1,), (3,), (2, 3)]),
    pixels=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    block=st.integers(1, 16),
    top=st.sampled_from([2, 255, 60000]),
    seq=st.integers(0, 10**6),
)
def test_round_trip(tmp_path_factory, leading, pixels, block, top, seq):
    grid = BlockGrid((*leading, *pixels), block)
    values = np.random.default_rng(seq).integers(0, top + 1, grid.shape)
    labels = BlockLabels(grid, values.astype(np.uint16 if top > 255 else np.uint8))
    path = tmp_path_factory.mktemp("labels") / "a.blocks.tif"
    write_block_labels(path, labels, seq)
    read, read_seq = read_block_labels(path)
    assert read == labels
    assert read.values.dtype == labels.values.dtype
    assert read_seq == seq


def test_other_programs_can_open_it(tmp_path):
    labels = BlockLabels(BlockGrid((40, 30), 10), np.arange(12).reshape(4, 3))
    write_block_labels(tmp_path / "a.blocks.tif", labels, 7)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.blocks.tif")), labels.values)
    with tifffile.TiffFile(tmp_path / "a.blocks.tif") as tiff:
        header = json.loads(tiff.pages.first.description)
    assert header == {
        "format": "blockseg-labels",
        "format_version": 1,
        "image_shape": [40, 30],
        "block": 10,
        "seq": 7,
    }


def test_damaged_newer_and_foreign_files_are_named(tmp_path):
    path = tmp_path / "a.blocks.tif"
    labels = BlockLabels(BlockGrid((400, 300), 10), np.zeros((40, 30), np.uint8))
    write_block_labels(path, labels)
    whole = path.read_bytes()
    for cut in (0, 4, 100, len(whole) - 300):
        path.write_bytes(whole[:cut])
        with pytest.raises(ProjectError, match=r"a\.blocks\.tif.*damaged.*backup"):
            read_block_labels(path)
    path.write_bytes(whole.replace(b'"format_version": 1', b'"format_version": 9'))
    with pytest.raises(ProjectError, match=r"a\.blocks\.tif.*version 9.*Upgrade"):
        read_block_labels(path)
    path.write_bytes(whole.replace(b'"block": 10', b'"block": 11'))
    with pytest.raises(ProjectError, match="do not fit"):
        read_block_labels(path)
    tifffile.imwrite(path, np.zeros((4, 4), np.uint8))
    with pytest.raises(ProjectError, match="blockseg-labels"):
        read_block_labels(path)
    with pytest.raises(ProjectError, match="no block labels"):
        read_block_labels(tmp_path / "none.blocks.tif")


def test_a_size_that_no_memory_holds_is_damage(tmp_path):
    path = tmp_path / "a.blocks.tif"
    labels = BlockLabels(BlockGrid((400, 300), 10), np.zeros((40, 30), np.uint8))
    write_block_labels(path, labels)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tiff.pages.first.tags[name].overwrite(2**31 - 1, dtype="I", erase=False)
    with pytest.raises(ProjectError, match=r"a\.blocks\.tif.*damaged.*backup"):
        read_block_labels(path)
