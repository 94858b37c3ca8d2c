"""What the Spectrum panel says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_blockseg.core.advice import Advice
from napari_blockseg.core.classes import make_classes
from napari_blockseg.ui.panels.spectrum_words import (
    change_words,
    headline,
    kept_words,
    loss_words,
    needed_blocks,
    news,
    too_little_words,
)

CLASSES = make_classes(["sky", "road", "tree"])


def spectrum(shares, error=0.0):
    shares = np.asarray(shares, float)[:, None]
    return SimpleNamespace(
        cutoffs=np.array([0.5 / 16]), energy=shares, error=np.full(shares.shape, error)
    )


@pytest.mark.parametrize(("blocks", "needed"), [(1600, 80), (400, 50), (9, 9)])
def test_needed_blocks(blocks, needed):
    assert needed_blocks(blocks) == needed


def test_too_little_paint_says_how_much_more():
    said = too_little_words(30, 1600, "image", stack=False)
    assert "Paint 50 more blocks." in said
    assert "30 of 80 needed are painted in this image" in said
    assert "Paint 1 more block." in too_little_words(79, 1600, "plane", stack=True)
    assert "1,234" not in said
    assert "painted planes" in too_little_words(30, 1600, "image", stack=True)


def test_what_is_kept_names_the_worst_class_with_its_error():
    said = kept_words(spectrum([0.93, 0.61, np.nan], 0.04), 16, CLASSES)
    assert said == "Blocks of 16 px keep 61 (± 4) to 93 % of the painted shapes, least of road."
    said = kept_words(spectrum([0.93, 0.93, 0.93]), 16, CLASSES)
    assert said == "Blocks of 16 px keep 93 % of the painted shapes."
    assert "roughly 61 % (± 30)" in kept_words(spectrum([0.93, 0.61, np.nan], 0.3), 16, CLASSES)
    assert kept_words(spectrum([np.nan] * 3), 16, CLASSES) == ""


def test_advice_in_a_few_words():
    assert headline(Advice(16, ""), 8) == "Use blocks of 16 px"
    assert headline(Advice(8, ""), 8) == "Your blocks of 8 px fit"
    assert headline(Advice(1, ""), 8) == "Use single pixels"
    assert "No block size" in headline(Advice(None, ""), 8)
    assert news(Advice(16, ""), 8) == "use 16 px blocks"
    assert news(Advice(8, ""), 8) == "8 px fits"
    assert news(Advice(None, ""), 8) == ""


def test_what_another_grid_changes():
    assert "Nothing" in change_words(0.0, 16, 8)
    assert "about 7 %" in change_words(0.07, 8, 16)
    assert "less than 1 %" in change_words(0.002, 8, 16)
    assert "Undo" in change_words(None, 8, 12)


def test_the_loss_is_told_at_the_block_and_whole():
    loss = SimpleNamespace(cutoffs=[0.01, 0.1], truncated=[0.8, 0.5], cross_entropy=0.4)
    analysis = SimpleNamespace(end=SimpleNamespace(loss=loss), checkpoints=(1, 2))
    said = loss_words(analysis, 16)
    assert "0.80 at blocks of 16 px, 0.40 with all detail (+100 %)" in said
    assert "Faint: earlier in training" in said
    assert "0.50 at blocks of 4 px" in loss_words(analysis, 4)
    assert "0.40 with all detail" in loss_words(analysis, 512)
