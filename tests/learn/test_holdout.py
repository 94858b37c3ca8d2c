from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_blockseg.learn.holdout import Holdout, choose_holdout
from napari_blockseg.learn.orientation import guess_orientation


def image(seed, shape=(20, 30), n_classes=3, share=1.0):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, n_classes, shape)
    return np.where(rng.random(shape) < share, cells, -1).astype(np.int16)


def held(holdout, ids, images):
    return [holdout.mask(name, cells.shape) for name, cells in zip(ids, images, strict=True)]


@pytest.mark.parametrize(("n", "expected"), [(3, 1), (10, 1), (40, 4), (300, 16)])
def test_whole_images_when_there_are_several(n, expected):
    ids = [f"i{k}" for k in range(n)]
    images = [image(k) for k in range(n)]
    holdout = choose_holdout(ids, images, 3, seed=0)
    assert holdout.kind == "images"
    assert len(holdout.images) == expected
    masks = held(holdout, ids, images)
    assert sum(m.all() for m in masks) == expected
    assert sum(m.any() for m in masks) == expected


def test_superblocks_in_one_image():
    cells = image(0)
    holdout = choose_holdout(["only"], [cells], 3, seed=0)
    mask = holdout.mask("only", cells.shape)
    assert holdout.kind == "superblocks"
    assert 0.05 < mask.mean() < 0.3
    (_, size, _), *_ = holdout.superblocks
    assert size >= 2
    # Squares of many blocks: most held-out cells have held-out neighbours.
    assert (mask[1:] & mask[:-1]).sum() > 0.5 * mask.sum()
    assert not holdout.mask("other", cells.shape).any()


def test_unlabelled_images_do_not_count_as_several():
    images = [image(0), *(np.full((20, 30), -1, np.int16) for _ in range(5))]
    ids = [str(i) for i in range(6)]
    assert choose_holdout(ids, images, 3, seed=0).kind == "superblocks"


def test_too_few_strokes():
    cells = np.full((40, 40), -1, np.int16)
    cells[3:5, 3:6] = 0
    cells[30:32, 30:33] = 1
    assert choose_holdout(["only"], [cells], 2, seed=0).kind == "none"


def test_no_class_is_lost_to_the_held_out():
    """The only image with class 2 stays in training."""
    images = [image(k, n_classes=2) for k in range(12)]
    images[4] = np.where(images[4] == 1, 2, images[4]).astype(np.int16)
    for seed in range(12):
        holdout = choose_holdout([str(k) for k in range(12)], images, 3, seed)
        assert holdout.kind == "images"
        assert "4" not in holdout.images


def test_the_seed_decides():
    ids, images = [str(k) for k in range(20)], [image(k) for k in range(20)]
    chosen = {choose_holdout(ids, images, 3, seed).images for seed in range(8)}
    assert len(chosen) > 3
    assert choose_holdout(ids, images, 3, 5) == choose_holdout(ids, images, 3, 5)


@pytest.mark.parametrize("n", [1, 10])
def test_round_trip(n):
    holdout = choose_holdout([str(k) for k in range(n)], [image(k) for k in range(n)], 3, 0)
    assert Holdout.from_dict(holdout.to_dict()) == holdout
    sized = dataclasses.replace(holdout, block=8)
    assert Holdout.from_dict(sized.to_dict()) == sized


def by_pixels(mask, block, size):
    return np.repeat(np.repeat(mask, block, 0), block, 1)[: size[0], : size[1]]


@pytest.mark.parametrize("block", [1, 4, 8, 12, 16, 24, 40, 1000])
@pytest.mark.parametrize("size", [(160, 240), (157, 233)])
def test_held_out_pixels_stay_held_out_in_other_blocks(block, size):
    """No scored pixel was learned from, no pixel that is learned from was held out."""
    own = dataclasses.replace(choose_holdout(["only"], [image(0)], 3, seed=0), block=8)
    held = by_pixels(own.mask("only", (20, 30)), 8, size)
    scored, spared = own.on_grid("only", size, block)
    assert scored.shape == spared.shape == (-(-size[0] // block), -(-size[1] // block))
    assert not (by_pixels(scored, block, size) & ~held).any()
    assert not (~by_pixels(spared, block, size) & held).any()
    # And no more is left out than must be.
    cells = [
        held[row : row + block, col : col + block]
        for row in range(0, size[0], block)
        for col in range(0, size[1], block)
    ]
    assert scored.ravel().tolist() == [bool(cell.all()) for cell in cells]
    assert spared.ravel().tolist() == [bool(cell.any()) for cell in cells]
    others = own.on_grid("other", size, block)
    assert not any(mask.any() for mask in others)


def test_whole_images_are_held_out_in_any_blocks():
    own = Holdout("images", images=("a",), block=8)
    assert all(mask.all() and mask.shape == (3, 5) for mask in own.on_grid("a", (40, 66), 16))
    assert not any(mask.any() for mask in own.on_grid("b", (40, 66), 16))


def test_scenes_are_upright():
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(8):
        cells = np.zeros((20, 30), np.int16)
        cells[int(rng.integers(7, 13)) :] = 1
        cells[rng.random(cells.shape) < 0.8] = -1
        scenes.append(cells)
    assert guess_orientation(scenes, 2) == "upright"
    assert guess_orientation(scenes[:3], 2) == "any"


def test_samples_seen_from_above_have_no_up():
    assert guess_orientation([image(k) for k in range(8)], 3) == "any"
    # Gradients in both directions: no reason to call one of them up.
    diagonal = (np.add.outer(np.arange(20), np.arange(20)) > 19).astype(np.int16)
    assert guess_orientation([diagonal] * 8, 2) == "any"


def test_where_was_painted_does_not_make_an_up():
    """Only the upper half is painted, with both classes alike."""
    images = [image(k, n_classes=2) for k in range(8)]
    for cells in images:
        cells[10:] = -1
    assert guess_orientation(images, 2) == "any"
