"""The report's pictures: what must be seen can be found in their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_blockseg.cli.pictures import draw_overlay, draw_spectrum, readable
from napari_blockseg.cli.pictures.chart import Axes, Page
from napari_blockseg.cli.pictures.overlay import Strip, tint, to_rgb
from napari_blockseg.cli.spectrum import estimate
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels

CLASSES = make_classes(["left", "right"])


def _halves(rows: int = 256, cols: int = 320) -> np.ndarray:
    mask = np.ones((rows, cols), np.uint8)
    mask[:, cols // 2 :] = 2
    return mask


def _pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


def test_tint_colors_classes_and_leaves_unlabelled_pixels_grey():
    grey = np.full((2, 3, 3), 100, np.uint8)
    mask = np.array([[0, 1, 2], [0, 1, 2]])
    done = tint(grey, mask, CLASSES)
    assert (done[:, 0] == 100).all()
    expected = np.round(0.55 * np.array(CLASSES[1].color) + 0.45 * 100)
    assert np.abs(done[0, 2] - expected).max() <= 1


@pytest.mark.parametrize(
    ("dtype", "channels"), [("uint8", 1), ("uint8", 3), ("uint16", 1), ("float32", 5)]
)
def test_any_image_becomes_a_picture(dtype, channels):
    pixels = np.random.default_rng(0).uniform(0, 250, (20, 30, channels)).astype(dtype)
    rgb = to_rgb(pixels)
    assert rgb.shape == (20, 30, 3)
    assert rgb.dtype == np.uint8
    assert rgb.std() > 20


def test_overlay_shows_prediction_and_truth_in_their_places(tmp_path):
    mask = _halves()
    pixels = np.full((*mask.shape, 1), 128, np.uint8)
    blocks = BlockLabels.from_mask(mask, 16, 2)
    strip = Strip("one", pixels, blocks, prediction=mask, truth=3 - mask)
    other = Strip("two", pixels, None, mask, mask)
    path = draw_overlay([strip, other], CLASSES, tmp_path / "a.png", "Head", "Text")
    found = _pixels(path)
    left = np.array(CLASSES[0].color) * 0.55 + 128 * 0.45
    # Left halves of the panels: image, painted, predicted, truth.
    is_left = np.abs(found - left).max(axis=2) <= 3
    starts = [36 + i * 314 for i in range(4)]
    share = [is_left[:, start : start + 140].mean() for start in starts]
    assert share[0] < 0.01
    assert share[1] > 0.1
    assert share[2] > share[1]
    assert 0 < share[3] < share[2]


def test_spectrum_plot_has_a_curve_of_every_class(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.where(rng.random((16, 16)) < 0.5, 1, 2).repeat(32, 0).repeat(32, 1)
    # Of two classes that cover everything the curves coincide; both must be seen.
    findings = estimate([BlockLabels.from_mask(mask, 8, 2)], CLASSES, skipped=0)
    found = _pixels(draw_spectrum(findings, tmp_path / "deep" / "s.png"))
    for info in CLASSES:
        # a thin line is half background
        close = np.abs(found - np.array(readable(info.color))).max(axis=2) <= 60
        assert close.sum() > 600  # the legend alone has 200


def test_spectrum_plot_says_when_there_is_too_little_paint(tmp_path):
    values = np.zeros((16, 16), np.uint8)
    values[3, 3], values[9, 9] = 1, 2
    findings = estimate([BlockLabels(BlockGrid((256, 256), 16), values)], CLASSES, skipped=0)
    assert findings.advice.recommended_block is None
    assert draw_spectrum(findings, tmp_path / "s.png").exists()


def test_axes_put_low_values_at_the_bottom_left():
    axes = Axes(Page(200, 100), 20, 10, 180, 90, (0.0, 4.0), (0.0, 1.0))
    assert axes.place(0, 0) == (20, 90)
    assert axes.place(4, 1) == (180, 10)
    assert axes.place(2, 0.5) == (100, 50)


def test_pale_colors_are_darkened_for_white_paper():
    assert readable((0, 60, 120)) == (0, 60, 120)
    assert sum(readable((250, 250, 200))) < sum((250, 250, 200))
