"""Ceilings, estimates of them, and the block size they lead to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from napari_blockseg.core.advice import MIN_OWNED_BLOCKS, estimate_ceilings, recommend
from napari_blockseg.core.ceilings import CeilingTable
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels

NAMES = ("left", "right", "dots")


def blobs(sigma: float, seed: int = 0, size: int = 512) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(2, size, size))
    return ndimage.gaussian_filter(noise, (0, sigma, sigma), mode="wrap").argmax(0) + 1


def table_of(mask: np.ndarray, n_classes: int = 3) -> CeilingTable:
    table = CeilingTable(n_classes)
    table.add(mask)
    return table


def test_ceilings_of_a_straight_border_by_hand() -> None:
    mask = np.ones((64, 128), int)
    mask[:, 36:] = 2
    rows = {row.block: row for row in table_of(mask, 2).rows()}
    # A border at column 36: blocks of 4 meet it, blocks of 8 put 4 of 128 columns wrong
    # (a tie goes to the lowest class).
    assert rows[4].miou == 1
    assert rows[4].boundary_f == 1
    assert rows[8].pixel_accuracy == pytest.approx(1 - 4 / 128)
    assert rows[8].iou == pytest.approx([36 / 40, 88 / 92])
    assert rows[8].owned_blocks.tolist() == [8 * 5, 8 * 11]


def test_energy_rises_with_finer_blocks_and_is_that_of_the_fft() -> None:
    mask = blobs(6, size=128)
    rows = table_of(mask, 2).rows()
    assert all(a.energy > b.energy for a, b in itertools.pairwise(rows))
    power = np.abs(np.fft.fft2(mask == 1)) ** 2
    f = np.abs(np.fft.fftfreq(128))
    power[0, 0] = 0
    inside = np.maximum(f[:, None], f[None]) <= 0.5 / 8 + 1e-12
    assert rows[2].class_energy[0] == pytest.approx((power * inside).sum() / power.sum())


def test_void_and_small_masks_count_nowhere() -> None:
    table = CeilingTable(2)
    assert not table.add(np.ones((63, 200), int))
    mask = np.ones((64, 70), int)
    mask[:32] = 0
    assert table.add(mask)
    assert (table.images, table.skipped, table.pixels_used) == (1, 1, 32 * 64)


@pytest.mark.parametrize("block", [4, 8])
def test_estimates_are_close_to_the_truth_for_smooth_regions(block: int) -> None:
    mask = blobs(24, seed=3)
    true = {row.block: row.miou for row in table_of(mask, 2).rows()} | {1: 1.0}
    labels = BlockLabels.from_mask(mask, block, 2)
    for row in estimate_ceilings([labels], 2):
        assert row.miou == pytest.approx(true[row.block], abs=0.02)


def test_too_little_paint_gives_no_estimate_and_says_so() -> None:
    grid = BlockGrid((512, 512), 16)
    values = np.zeros(grid.shape, np.uint8)
    values[0, :10] = 1
    rows = estimate_ceilings([BlockLabels(grid, values)], 2)
    assert rows == []
    advice = recommend(rows, NAMES[:2])
    assert advice.recommended_block is None
    assert "Not enough paint" in advice.reason


def test_half_painted_images_need_no_finer_grid() -> None:
    labels = BlockLabels.from_mask(blobs(24, size=256), 8, 2)
    values = labels.values.copy()
    values[16:] = 0  # too few of the painted blocks to own 50 at 16 pixels
    whole, half = (
        recommend(estimate_ceilings([painted], 2), NAMES[:2])
        for painted in (labels, labels.with_values(values))
    )
    assert half.recommended_block == whole.recommended_block == 16


def test_smoother_labels_get_coarser_blocks() -> None:
    found = [
        recommend(table_of(blobs(sigma), 2).rows(), NAMES[:2]).recommended_block
        for sigma in (2, 8, 32)
    ]
    assert found[0] < found[1] < found[2]


def test_thin_classes_are_named_with_the_block_that_resolves_them() -> None:
    mask = blobs(48)
    mask[::16, ::16] = 3
    mask[1::16, ::16] = 3
    mask[::16, 1::16] = 3
    advice = recommend(table_of(mask).rows(), NAMES)
    assert advice.recommended_block >= 16
    assert advice.unresolved == {"dots": 2}
    assert "dots" in advice.reason


def test_a_grid_is_not_better_for_losing_classes() -> None:
    # Squares of 8 pixels of four classes, 60 of each, on a large background.
    mask = np.ones((1024, 1024), int)
    corners = np.random.default_rng(0).permutation(64 * 64)[:240]
    for i, corner in enumerate(corners):
        row, col = divmod(int(corner) * 16 + 4, 1024)
        row = row * 16 + 4
        mask[row : row + 8, col : col + 8] = 2 + i % 4
    advice = recommend(table_of(mask, 5).rows(), ("ground", "a", "b", "c", "d"))
    # Blocks of 16 and more see the ground alone, and describe that perfectly.
    assert advice.recommended_block is not None
    assert advice.recommended_block <= 8


def test_noise_has_no_block() -> None:
    mask = np.random.default_rng(0).integers(1, 4, (256, 256))
    advice = recommend(table_of(mask).rows(), NAMES)
    assert advice.recommended_block is None
    assert "too coarse" in advice.reason


def test_a_stack_is_estimated_from_its_painted_planes() -> None:
    mask = blobs(24)
    values = np.zeros((3, 64, 64), np.uint8)
    values[1] = BlockLabels.from_mask(mask, 8, 2).values
    stack = estimate_ceilings([BlockLabels(BlockGrid((3, 512, 512), 8), values)], 2)
    plane = estimate_ceilings([BlockLabels(BlockGrid((512, 512), 8), values[1])], 2)
    assert [row.miou for row in stack] == [row.miou for row in plane]
    assert MIN_OWNED_BLOCKS == 50


@pytest.mark.parametrize("block", [4, 8])
def test_owned_blocks_of_coarser_grids_are_close_to_the_truth(block: int) -> None:
    mask = blobs(24, seed=5)
    rows, cols = np.mgrid[:512, :512]
    mask[(rows % 64 - 32) ** 2 + (cols % 64 - 32) ** 2 < 40] = 3
    # Dots of 13 pixels: blocks of 16 hardly see them.
    true = {row.block: row.owned_blocks for row in table_of(mask).rows()}
    for row in estimate_ceilings([BlockLabels.from_mask(mask, block, 3)], 3):
        if row.block >= block:
            assert row.owned_blocks[:2] == pytest.approx(true[row.block][:2], rel=0.1)
            assert row.owned_blocks[2] == pytest.approx(true[row.block][2], rel=0.5, abs=50)
