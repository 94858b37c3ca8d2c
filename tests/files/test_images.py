"""Images: every kind comes in with its bits and with axes that are known."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_blockseg.core.errors import ImageError
from napari_blockseg.files.images import inspect_image, open_image, read_image

RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (20, 30), dtype=np.uint16)
RGB8 = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _predict(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        p = left + up - corner
        return min((left, up, corner), key=lambda one: abs(p - one))
    return (0, left, up, (left + up) // 2)[kind]


def write_png16(path: Path, pixels: np.ndarray, filters: list[int]) -> None:
    """Write a 16-bit PNG pixel by pixel, as the standard says it."""
    rows, cols, channels = pixels.shape
    raw = pixels.astype(">u2").view(np.uint8).reshape(rows, cols * channels * 2).astype(int)
    step = channels * 2
    out = bytearray()
    for r in range(rows):
        kind = filters[r % len(filters)]
        out.append(kind)
        for i in range(raw.shape[1]):
            left = raw[r, i - step] if i >= step else 0
            up = raw[r - 1, i] if r else 0
            corner = raw[r - 1, i - step] if r and i >= step else 0
            out.append((raw[r, i] - _predict(kind, left, up, corner)) % 256)
    color = {2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", cols, rows, 16, color, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(out)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b""))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_grey_tiff_keeps_dtype_and_values(tmp_path, dtype):
    pixels = (RNG.normal(size=(20, 30)) * 50 + 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    data = read_image(tmp_path / "a.tif")
    assert data.pixels.dtype == dtype
    assert data.info.dtype == dtype
    assert data.pixels.dtype.isnative
    np.testing.assert_array_equal(data.pixels[..., 0], pixels)
    assert (data.info.axes, data.info.spatial_shape, data.info.n_channels) == ("YX", (20, 30), 1)


def test_big_endian_tiff_becomes_native(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY16, byteorder=">")
    pixels = read_image(tmp_path / "a.tif").pixels
    assert pixels.dtype == np.dtype("=u2")
    np.testing.assert_array_equal(pixels[..., 0], GREY16)


def test_bool_becomes_0_and_255(tmp_path):
    mask = GREY8 > 100
    tifffile.imwrite(tmp_path / "a.tif", mask)
    Image.fromarray(mask).save(tmp_path / "a.png")
    for name in ("a.tif", "a.png"):
        pixels = read_image(tmp_path / name).pixels
        assert pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels[..., 0], mask * 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_rgb(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RGB8).save(path)
    data = read_image(path)
    np.testing.assert_array_equal(data.pixels, RGB8)
    assert (data.info.axes, data.info.spatial_shape, data.info.n_channels) == ("YXC", (20, 30), 3)


def test_jpeg_is_read_without_turning_it(tmp_path):
    picture = Image.fromarray(np.full((20, 30, 3), 90, np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees to show"
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").info.spatial_shape == (20, 30)


def test_16_bit_grey_png(tmp_path):
    Image.fromarray(GREY16).save(tmp_path / "a.png")
    pixels = read_image(tmp_path / "a.png").pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[..., 0], GREY16)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 6)),
    filters=st.lists(st.integers(0, 4), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_16_bit_rgb_png_with_every_row_filter(tmp_path_factory, shape, filters, seed):
    pixels = np.random.default_rng(seed).integers(0, 65536, (*shape, 3)).astype(np.uint16)
    path = tmp_path_factory.mktemp("png") / "a.png"
    write_png16(path, pixels, filters)
    np.testing.assert_array_equal(read_image(path).pixels, pixels)


def test_16_bit_rgba_png_drops_opaque_alpha(tmp_path):
    pixels = RNG.integers(0, 65536, (5, 4, 4)).astype(np.uint16)
    pixels[..., 3] = 65535
    write_png16(tmp_path / "a.png", pixels, [4, 1])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, pixels[..., :3])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_opaque_alpha_is_dropped_and_other_composited_over_black(tmp_path, suffix):
    rgba = np.dstack([RGB8, np.full((20, 30), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / f"opaque.{suffix}")
    opaque = read_image(tmp_path / f"opaque.{suffix}")
    np.testing.assert_array_equal(opaque.pixels, RGB8)
    assert opaque.info.notes == ()
    rgba[:10, :, 3] = 0
    rgba[10:, :, 3] = 128
    Image.fromarray(rgba).save(tmp_path / f"clear.{suffix}")
    clear = read_image(tmp_path / f"clear.{suffix}")
    assert clear.info.n_channels == 3
    assert not clear.pixels[:10].any()
    np.testing.assert_array_equal(clear.pixels[10:], np.rint(RGB8[10:] * (128 / 255.0)))
    assert "black" in clear.info.notes[0]


def test_grey_with_alpha_is_grey(tmp_path):
    pixels = np.dstack([GREY8, np.full((20, 30), 255, np.uint8)])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    data = read_image(tmp_path / "a.png")
    assert (data.info.axes, data.info.n_channels) == ("YX", 1)
    np.testing.assert_array_equal(data.pixels[..., 0], GREY8)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_palette_is_expanded(tmp_path, suffix):
    picture = Image.fromarray(GREY8 % 3)
    picture = picture.convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    indices = np.asarray(picture)
    picture.save(tmp_path / f"a.{suffix}")
    colors = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    data = read_image(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(data.pixels, colors[indices])


def test_imagej_stack_and_pixel_size(tmp_path):
    stack = RNG.integers(0, 256, (3, 20, 30), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif",
        stack,
        imagej=True,
        resolution=(2.0, 4.0),
        metadata={"axes": "ZYX", "unit": "um"},
    )
    data = read_image(tmp_path / "a.tif")
    assert (data.info.axes, data.info.spatial_shape) == ("ZYX", (3, 20, 30))
    assert data.pixels.shape == (3, 20, 30, 1)
    assert data.info.unit == "um"
    assert data.info.pixel_size == pytest.approx((0.25, 0.5))


def test_ome_axes_channels_last_and_pixel_size(tmp_path):
    values = RNG.integers(0, 256, (2, 3, 20, 30), dtype=np.uint8)
    meta = {"axes": "TCYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(tmp_path / "a.ome.tif", values, photometric="minisblack", metadata=meta)
    data = read_image(tmp_path / "a.ome.tif")
    assert (data.info.axes, data.info.spatial_shape) == ("TCYX", (2, 20, 30))
    np.testing.assert_array_equal(data.pixels, np.moveaxis(values, 1, -1))
    assert data.info.pixel_size == pytest.approx((0.25, 0.5))
    assert data.info.unit == "um"


def test_axes_of_tifffile_metadata_keep_the_order_of_the_file(tmp_path):
    values = RNG.integers(0, 256, (2, 5, 20, 30), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="minisblack", metadata={"axes": "ZTYX"}
    )
    data = read_image(tmp_path / "a.tif")
    assert (data.info.axes, data.info.spatial_shape) == ("ZTYX", (2, 5, 20, 30))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("shape", [(3, 20, 30), (4, 20, 30), (7, 20, 30)])
@pytest.mark.parametrize("extra", [{}, {"metadata": None}, {"photometric": "minisblack"}])
def test_planes_of_unknown_meaning_are_refused_until_axes_are_given(tmp_path, shape, extra):
    values = RNG.integers(0, 256, shape, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, **extra)
    with pytest.raises(ImageError, match="--axes"):
        read_image(tmp_path / "a.tif")
    stack = read_image(tmp_path / "a.tif", axes="ZYX")
    assert stack.pixels.shape == (*shape, 1)
    channels = read_image(tmp_path / "a.tif", axes="cyx")
    np.testing.assert_array_equal(channels.pixels, np.moveaxis(values, 0, -1))


def test_a_last_axis_of_three_is_no_color_where_the_file_says_grey(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB8, photometric="minisblack")
    with pytest.raises(ImageError, match="--axes"):
        read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", "YXC").pixels, RGB8)


def test_planar_rgb_that_says_so_is_rgb(tmp_path):
    values = RNG.integers(0, 256, (3, 20, 30), dtype=np.uint8)
    tifffile.imwrite(
        tmp_path / "a.tif", values, photometric="rgb", planarconfig="separate", software="gdal"
    )
    assert read_image(tmp_path / "a.tif").info.n_channels == 3


@pytest.mark.parametrize("axes", ["Y", "YXQ", "YYX", "ZCT", "YXZC"])
def test_axes_that_do_not_fit_are_refused(tmp_path, axes):
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="axes"):
        read_image(tmp_path / "a.png", axes)


def test_lzw_is_read_without_another_package(tmp_path):
    for name, pixels in {"g8": GREY8, "g16": GREY16, "rgb": RGB8}.items():
        path = tmp_path / f"{name}.tif"
        Image.fromarray(pixels).save(path, compression="tiff_lzw")
        read = read_image(path)
        np.testing.assert_array_equal(read.pixels.squeeze(), pixels)
        assert read.pixels.dtype == pixels.dtype


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_damaged_files_name_the_file(tmp_path, kind):
    path = tmp_path / f"broken.{kind}"
    Image.fromarray(RGB8).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match=f"broken.{kind}"):
        read_image(path)


@pytest.mark.parametrize("error", [ZeroDivisionError, AssertionError, OverflowError])
def test_whatever_tifffile_stumbles_over_names_the_file(tmp_path, monkeypatch, error):
    tifffile.imwrite(tmp_path / "broken.tif", GREY8)

    def stumble(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", stumble)
    with pytest.raises(ImageError, match=r"broken\.tif"):
        read_image(tmp_path / "broken.tif")


def test_a_tile_without_a_size_names_the_file(tmp_path):
    path = tmp_path / "broken.tif"
    tifffile.imwrite(path, np.zeros((32, 32), np.uint8), tile=(16, 16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["TileWidth"].overwrite(0)
    with pytest.raises(ImageError, match=r"broken\.tif"):
        read_image(path)


def test_axes_that_are_not_as_many_as_sizes_name_the_file(tmp_path, monkeypatch):
    tifffile.imwrite(
        tmp_path / "broken.tif", np.zeros((3, 4, 5), np.uint8), photometric="minisblack"
    )
    monkeypatch.setattr(tifffile.TiffPageSeries, "axes", "YX")
    with pytest.raises(ImageError, match=r"broken\.tif.*damaged"):
        read_image(tmp_path / "broken.tif")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "notes.png").write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.png.*TIFF, PNG and JPEG"):
        read_image(tmp_path / "notes.png")
    (tmp_path / "empty.tif").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.tif"):
        read_image(tmp_path / "empty.tif")
    with pytest.raises(ImageError, match=r"missing\.tif"):
        read_image(tmp_path / "missing.tif")


def test_colors_that_are_neither_grey_nor_rgb_are_refused(tmp_path):
    Image.fromarray(RGB8).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="CMYK"):
        read_image(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "c.tif", GREY8.astype(np.complex64))
    with pytest.raises(ImageError, match="complex"):
        read_image(tmp_path / "c.tif")


def test_the_content_decides_not_the_name(tmp_path):
    Image.fromarray(RGB8).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    assert inspect_image(tmp_path / "a.tif").reader == "pillow"


def test_resolution_in_inches_and_default_resolution(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", GREY8, resolution=(300, 150), resolutionunit="inch")
    info = inspect_image(tmp_path / "a.tif")
    assert info.unit == "inch"
    assert info.pixel_size == pytest.approx((1 / 150, 1 / 300))
    tifffile.imwrite(tmp_path / "b.tif", GREY8)
    assert inspect_image(tmp_path / "b.tif").pixel_size is None


def test_a_picture_too_large_to_read_whole_is_refused_with_a_way_out(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(path)
    # Pillow refuses twice its limit; above the limit it warns, which here would be an error.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path).info.spatial_shape == (40, 50)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
        with pytest.raises(ImageError, match=r"million pixels.*Save it as TIFF"):
            open_image(path)
