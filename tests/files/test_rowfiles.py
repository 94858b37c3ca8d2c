from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.errors import LabelError
from napari_blockseg.files import rowfiles
from napari_blockseg.files.images import inspect_image
from napari_blockseg.files.masks import MaskIds, read_values, write_mask
from napari_blockseg.files.rowfiles import TiffRows, open_rows

PLAIN = {"photometric": "minisblack", "metadata": None}
RANDOM = np.random.default_rng(0)


def in_pieces(out, mask, page=0, sizes=(1, 7, 0, 30)):
    """Put a mask in pieces of several sizes, after a start that is void."""
    out.put(mask[:3], page)
    out.begin(page)
    start = 0
    while start < len(mask):
        for size in sizes:
            out.put(mask[start : start + size], page)
            start += size


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(101, 33), (1, 1), (64, 70)])
@pytest.mark.parametrize("strip", [1, 500, 2**20])
def test_rows_come_back(tmp_path, monkeypatch, suffix, dtype, shape, strip):
    monkeypatch.setattr(rowfiles, "_STRIP_BYTES", strip)
    mask = RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    with open_rows(tmp_path / f"m{suffix}", shape, dtype) as out:
        in_pieces(out, mask)
    found = read_values(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(found, mask)
    assert found.dtype == dtype
    assert [path.name for path in tmp_path.iterdir()] == [f"m{suffix}"]


def test_pages_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(rowfiles, "_STRIP_BYTES", 300)
    stack = RANDOM.random((2, 3, 40, 20)).astype(np.float16)
    with TiffRows(tmp_path / "s.tif", stack.shape, np.float16, PLAIN) as out:
        for page in (4, 0, 5, 2, 3, 1):
            in_pieces(out, stack.reshape(6, 40, 20)[page], page)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "s.tif").reshape(stack.shape), stack)


@pytest.mark.parametrize("unit", ["um", "inch"])
def test_a_mask_by_rows_says_what_one_at_once_says(tmp_path, unit):
    tags = {"imagej": True} if unit == "um" else {"resolutionunit": 2}
    metadata = {"axes": "ZYX", "unit": "um"} if unit == "um" else {"axes": "ZYX"}
    image = tmp_path / "image.tif"
    pixels = np.zeros((3, 50, 40), np.uint8)
    tifffile.imwrite(
        image, pixels, photometric="minisblack", resolution=(4, 2), metadata=metadata, **tags
    )
    like, classes = inspect_image(image), make_classes(["a", "b"])
    mask = RANDOM.integers(0, 3, pixels.shape).astype(np.uint8)
    at_once = write_mask(tmp_path / "at_once.tif", mask, classes, like)
    ids = MaskIds(classes)
    with open_rows(tmp_path / "by_rows.tif", mask.shape, ids.dtype, like) as out:
        for page, plane in enumerate(mask):
            out.put(ids.of(plane), page)
    for name in ("axes", "shape", "dtype", "pixel_size", "unit"):
        found = getattr(inspect_image(tmp_path / "by_rows.tif"), name)
        assert found == getattr(inspect_image(at_once), name), name
    np.testing.assert_array_equal(read_values(tmp_path / "by_rows.tif"), read_values(at_once))


def stopped_half_way(path):
    with open_rows(path, (9, 4), np.uint8) as out:
        out.put(np.zeros((9, 4), np.uint8))
        raise RuntimeError("half way")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_not_finished_is_not_written(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"old")
    with (
        pytest.raises(LabelError, match="Got 5 rows"),
        open_rows(path, (9, 4), np.uint8) as out,
    ):
        out.put(np.zeros((5, 4), np.uint8))
    with pytest.raises(RuntimeError, match="half way"):
        stopped_half_way(path)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_png_is_a_grey_one(tmp_path):
    with open_rows(tmp_path / "m.png", (4, 5), np.uint8) as out:
        out.put(np.full((4, 5), 3, np.uint8))
    with Image.open(tmp_path / "m.png") as picture:
        assert (picture.mode, picture.size) == ("L", (5, 4))
