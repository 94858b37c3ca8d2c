from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.errors import ImageError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn import data
from napari_blockseg.learn.data import (
    TrainingImage,
    WorkingGrid,
    WorkingImages,
    class_lookup,
    working_image,
)

SPEC = Normalization()


@pytest.mark.parametrize(
    ("block", "scale", "expected"),
    [
        (16, 0.5, (16, 8, 1)),
        (16, 1.0, (16, 16, 1)),
        (8, 1.0, (8, 8, 1)),
        (20, 0.4, (20, 8, 1)),
        (10, 0.33, (10, 3, 1)),
        (1, 1.0, (1, 1, 1)),
        (1, 0.5, (2, 1, 2)),
        (2, 0.25, (4, 1, 2)),
    ],
)
def test_working_grid(block, scale, expected):
    grid = WorkingGrid.for_scale(block, scale)
    assert (grid.unit, grid.side, grid.split) == expected


@given(st.integers(1, 128), st.floats(0.05, 1))
def test_the_scale_of_a_grid_gives_the_same_grid(block, scale):
    grid = WorkingGrid.for_scale(block, scale)
    assert WorkingGrid.for_scale(block, grid.scale) == grid
    assert grid.unit == block * grid.split
    assert grid.side == 1 or grid.split == 1


def test_full_scale_is_the_image_itself():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    made = working_image(pixels, SPEC, WorkingGrid(1, 1, 1))
    expected = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    torch.testing.assert_close(made.float(), expected, atol=1e-3, rtol=0)


def test_shrinking_keeps_flat_areas_and_removes_what_is_too_fine():
    flat = np.full((32, 48, 1), 51, np.uint8)
    grid = WorkingGrid.for_scale(16, 0.25)
    assert working_image(flat, SPEC, grid).unique().tolist() == pytest.approx([0.2], abs=1e-3)
    checker = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None]
    inside = working_image(checker, SPEC, grid)[:, 2:-2, 2:-2]
    assert float(inside.std()) < 0.02  # an aliased one would be 0.5
    assert float(inside.mean()) == pytest.approx(0.5, abs=0.01)


def test_bands_leave_no_seam(monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (100, 70, 2), dtype=np.uint8)
    grid = WorkingGrid.for_scale(16, 0.5)
    whole = working_image(pixels, SPEC, grid)
    monkeypatch.setattr(data, "_BAND_PIXELS", 1)
    torch.testing.assert_close(working_image(pixels, SPEC, grid), whole, atol=2e-3, rtol=0)
    assert whole.shape == (2, *grid.shape(100, 70)) == (2, 56, 40)


def test_images_beyond_the_limit_are_made_again():
    class Counted(list):
        reads = 0

        def __getitem__(self, index):
            self.reads += 1
            return super().__getitem__(index)

    labels = BlockLabels.empty(BlockGrid((8, 8), 8))
    images = Counted(TrainingImage(str(i), np.full((8, 8, 1), i, np.uint8), labels) for i in (1, 2))
    kept = WorkingImages(images, SPEC, WorkingGrid(8, 8, 1), max_bytes=8 * 8 * 2)
    first, second = kept[0], kept[1]
    reads = images.reads
    assert torch.equal(kept[0], first)
    assert images.reads == reads
    assert torch.equal(kept[1], second)
    assert images.reads == reads + 1


def test_an_image_with_nan_is_named():
    pixels = np.ones((8, 8, 1), np.float32)
    pixels[3, 4] = np.nan
    image = TrainingImage("cells_07", pixels, BlockLabels.empty(BlockGrid((8, 8), 8)))
    images = WorkingImages([image], Normalization.for_dtype(np.float32), WorkingGrid(8, 8, 1))
    with pytest.raises(ImageError, match=r"cells_07.*1 values that are NaN.*row 3, column 4"):
        images.prepare(0, image)


def test_lookup_of_deleted_and_missing_classes():
    classes = [c for c in make_classes(["a", "b", "c"]) if c.name != "b"]
    assert class_lookup(classes)[[0, 1, 2, 3, 255]].tolist() == [-1, 0, -1, 1, -1]
