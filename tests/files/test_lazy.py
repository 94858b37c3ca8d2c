"""Windows of images are what the whole image holds there."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_blockseg.core.errors import ImageError
from napari_blockseg.files import tiffwindows
from napari_blockseg.files.images import inspect_image, open_image, read_image
from napari_blockseg.files.lazy import LazyArray

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 60000, (75, 90), dtype=np.uint16)
RGB = RANDOM.integers(0, 256, (75, 90, 3), dtype=np.uint8)
STACK = RANDOM.integers(0, 256, (3, 2, 75, 90), dtype=np.uint8)
RGBA = np.concatenate([RGB, RANDOM.integers(0, 256, (75, 90, 1), dtype=np.uint8)], -1)
RGB_TAGS = {"photometric": "rgb"}
KINDS = {
    "plain": (GREY, {}),
    "big endian": (GREY, {"byteorder": ">"}),
    "strips": (GREY, {"compression": "zlib", "rowsperstrip": 16}),
    "big endian strips": (GREY, {"byteorder": ">", "compression": "zlib", "rowsperstrip": 7}),
    "tiles": (GREY, {"tile": (32, 48)}),
    "predictor": (RGB, {**RGB_TAGS, "tile": (16, 16), "compression": "zlib", "predictor": True}),
    "float tiles": (GREY.astype(np.float32), {"tile": (32, 32), "compression": "zlib"}),
    "colors in planes": (
        np.moveaxis(RGB, -1, 0).copy(),
        {**RGB_TAGS, "planarconfig": "separate", "compression": "zlib", "rowsperstrip": 20},
    ),
    "stack": (STACK, {"metadata": {"axes": "TZYX"}, "compression": "zlib", "rowsperstrip": 16}),
    "plain stack": (STACK, {"metadata": {"axes": "TZYX"}}),
    "channels": (STACK[0], {"metadata": {"axes": "CYX"}, "tile": (16, 16)}),
    "imagej": (STACK[0], {"imagej": True, "metadata": {"axes": "ZYX"}}),
    "bits": (GREY > 30000, {"compression": "zlib", "rowsperstrip": 16}),
    "transparent": (RGBA, {**RGB_TAGS, "extrasamples": ["unassalpha"], "rowsperstrip": 16}),
    "one row": (GREY[:1], {"compression": "zlib"}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    found = {}
    for number, (kind, (values, tags)) in enumerate(KINDS.items()):
        found[kind] = folder / f"{number}.tif"
        tifffile.imwrite(found[kind], values, **tags)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_windows_are_parts_of_the_whole(files, kind):
    axes = "CYX" if kind == "colors in planes" else None
    whole = read_image(files[kind], axes)
    opened = open_image(files[kind], axes)
    assert isinstance(opened.pixels, LazyArray)
    assert opened.info.shape == whole.info.shape
    assert opened.info.dtype == whole.info.dtype == str(opened.pixels.dtype)
    assert opened.pixels.shape == whole.pixels.shape
    np.testing.assert_array_equal(np.asarray(opened.pixels), whole.pixels)
    plane = (0,) * (whole.pixels.ndim - 3)
    for rows, cols in ((slice(0, 9), slice(31, 33)), (slice(40, 75), slice(None))):
        found = np.asarray(opened.pixels[plane][rows, cols])
        np.testing.assert_array_equal(found, whole.pixels[plane][rows, cols])
        assert found.dtype == whole.pixels.dtype


def test_what_cannot_be_read_by_windows_is_read_as_before(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    Image.fromarray(RGB).convert("P").save(tmp_path / "palette.tif")
    Image.fromarray(RGB).save(tmp_path / "lzw.tif", compression="tiff_lzw")
    tifffile.imwrite(tmp_path / "one_piece.tif", GREY, compression="zlib", rowsperstrip=75)
    monkeypatch.setattr(tiffwindows, "_LARGEST_PIECE", 100)
    for path in tmp_path.iterdir():
        opened = open_image(path)
        np.testing.assert_array_equal(np.asarray(opened.pixels), read_image(path).pixels)
        assert opened.info == read_image(path).info


def test_a_truncated_file_is_refused_when_it_is_opened(files, tmp_path):
    for kind in ("plain", "strips", "tiles", "stack"):
        cut = tmp_path / f"{kind}.tif"
        cut.write_bytes(files[kind].read_bytes()[:-500])
        with pytest.raises(ImageError, match="cannot be read as a TIFF"):
            inspect_image(cut)


def test_no_segment_is_read_twice_in_a_row(files, monkeypatch):
    read = []
    original = tiffwindows._segment
    pixels = open_image(files["tiles"]).pixels

    def counted(pages, handle, page, index):
        read.append(index)
        return original(pages, handle, page, index)

    monkeypatch.setattr(tiffwindows, "_segment", counted)
    for start in range(0, 75, 15):
        np.asarray(pixels[start : start + 15])
    # 3 x 2 tiles of 32 x 48; each is at hand until a window leaves it.
    assert read == [0, 1, 2, 3, 4, 5]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_lazy_indexing_is_that_of_numpy(data):
    source = values = np.arange(3 * 1 * 5 * 4).reshape(3, 1, 5, 4)
    lazy = LazyArray(source.shape, source.dtype, lambda window: source[window])
    for _ in range(2):
        if not lazy.ndim:
            break
        index = tuple(
            data.draw(st.one_of(st.integers(-n, n - 1), st.slices(n).filter(_plain_step)))
            if n
            else slice(None)
            for n in lazy.shape[: data.draw(st.integers(1, lazy.ndim))]
        )
        lazy, values = lazy[index], values[index]
        assert lazy.shape == values.shape
        np.testing.assert_array_equal(np.asarray(lazy), values)
    order = data.draw(st.permutations(range(lazy.ndim)))
    np.testing.assert_array_equal(np.asarray(lazy.transpose(order)), values.transpose(order))


def _plain_step(one):
    return one.step in (None, 1)


def test_lazy_indexing_says_what_it_cannot():
    lazy = LazyArray((4, 5), np.uint8, lambda window: np.zeros((4, 5), np.uint8)[window])
    with pytest.raises(IndexError, match="step of 2"):
        lazy[::2]
    with pytest.raises(IndexError, match="axis of 4"):
        lazy[4]
    with pytest.raises(IndexError, match="3 indices"):
        lazy[0, 0, 0]
    with pytest.raises(ValueError, match="Got shape"):
        lazy.reshape((5, 4))
