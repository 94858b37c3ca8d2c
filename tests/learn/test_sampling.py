from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn.data import TrainingImage, WorkingGrid, WorkingImages
from napari_blockseg.learn.dataset import Dataset
from napari_blockseg.learn.losses import crop_losses
from napari_blockseg.learn.sampling import CropSampler

COLORS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.uint8)


def sampler(block, scale, shapes=((160, 208),), orientation="any", labelled=1.0, **options):
    """Images whose color is their class, so that image and labels of a crop can be compared."""
    rng = np.random.default_rng(0)
    grid = WorkingGrid.for_scale(block, scale)
    images, cells = [], []
    for rows, cols in shapes:
        blocks = BlockGrid((rows, cols), block)
        values = rng.integers(0, 3, (-(-blocks.rows // 4), -(-blocks.cols // 4)))
        values = values.repeat(4, 0).repeat(4, 1)[: blocks.rows, : blocks.cols]
        pixels = COLORS[BlockLabels(blocks, values).to_mask()]
        images.append(TrainingImage("i", pixels, BlockLabels(blocks, values + 1)))
        hidden = rng.random(values.shape) >= labelled
        cells.append(np.where(hidden, -1, values).astype(np.int16))
    return CropSampler(
        WorkingImages(images, Normalization(), grid),
        shapes,
        cells,
        3,
        grid,
        TrainConfig(crop=96, **options),
        orientation,
        np.random.default_rng(1),
    )


def agreement(crops, n=40):
    """Share of labelled cells whose color in the crop is that of their class."""
    right = total = 0
    for _ in range(n // 4):
        batch = crops.draw(4)
        for image, target in zip(batch.images, batch.targets, strict=True):
            # Channel i is brightest where the class is i; gamma and gain keep that order.
            losses, _ = crop_losses(image * 50, target, "pixel")
            right += int((losses < 0.69).sum())
            total += len(losses)
    assert total > 0
    return right / total


@pytest.mark.parametrize("orientation", ["any", "upright"])
@pytest.mark.parametrize(("block", "scale"), [(16, 0.5), (16, 1.0), (8, 1.0), (12, 0.5), (32, 0.5)])
def test_labels_lie_on_what_they_label(block, scale, orientation):
    assert agreement(sampler(block, scale, orientation=orientation)) == 1.0


@pytest.mark.parametrize(("block", "scale"), [(1, 1.0), (2, 1.0), (4, 0.5), (1, 0.5), (2, 0.25)])
def test_labels_lie_on_what_they_label_when_resampled(block, scale):
    """Narrow labels are looked up pixel by pixel: edges may be off by half a pixel."""
    assert agreement(sampler(block, scale)) > 0.9


@pytest.mark.parametrize(("block", "scale"), [(16, 0.5), (1, 1.0), (1, 0.5)])
def test_ragged_and_small_images(block, scale):
    crops = sampler(block, scale, shapes=((37, 51), (16, 300), (5, 3)))
    assert agreement(crops) > 0.9
    assert crops.draw(3).images.shape[-2:] == crops.crop


def test_a_crop_is_no_larger_than_the_largest_image():
    assert sampler(16, 0.5, shapes=((100, 150),), orientation="upright").crop == (64, 96)
    assert sampler(16, 0.5, shapes=((100, 150),), orientation="any").crop == (96, 96)
    assert sampler(16, 0.5, shapes=((20, 20),), orientation="any").crop == (32, 32)


def test_every_crop_has_a_label():
    crops = sampler(16, 0.5, shapes=((320, 320),) * 3, labelled=0.01)
    for _ in range(5):
        for target in crops.draw(8).targets:
            assert (target.cells >= 0).any()


def test_class_balance_draws_rare_classes():
    def share(balance):
        crops = sampler(16, 0.5, shapes=((640, 640),), class_balance=balance)
        cells = np.zeros((40, 40), np.int16)
        cells[0, 0] = 2
        crops.set_cells(0, cells)
        drawn = [crops._draw_cell() for _ in range(300)]
        return sum((row, col) == (0, 0) for _, row, col in drawn) / 300

    assert share(0.0) < 0.05
    assert share(1.0) == pytest.approx(0.5, abs=0.1)


def test_same_generators_draw_the_same():
    def draw():
        torch.manual_seed(3)
        return sampler(16, 0.5).draw(4)

    first, second = draw(), draw()
    assert torch.equal(first.images, second.images)
    for a, b in zip(first.targets, second.targets, strict=True):
        assert torch.equal(a.cells, b.cells)


def test_without_augmentation_a_crop_is_a_piece_of_the_image():
    crops = sampler(16, 1.0, augment=False)
    image = crops._images[0]
    piece = crops.draw(1).images[0]
    found = [
        (top, left)
        for top in range(0, 160 - 96 + 1, 16)
        for left in range(0, 208 - 96 + 1, 16)
        if torch.equal(image[:, top : top + 96, left : left + 96].float(), piece)
    ]
    assert found


def test_augmentation_changes_scale_orientation_and_intensity():
    crops = sampler(16, 0.5, shapes=((400, 400),))
    batches = [crops.draw(8) for _ in range(4)]
    sides = {target.side for batch in batches for target in batch.targets}
    assert min(sides) < 8 < max(sides)
    brightest = {round(float(image.max()), 3) for batch in batches for image in batch.images}
    assert len(brightest) > 16
    assert all(float(b.images.min()) >= 0 and float(b.images.max()) <= 1 for b in batches)


@pytest.mark.parametrize("block", [1, 4, 16])
def test_other_labels_of_the_same_images_draw_nearly_the_same_crops(block: int) -> None:
    # Compared runs share their luck: the same numbers must lead to the same places.
    truth = np.repeat(np.repeat(np.arange(1, 5).reshape(2, 2), 64, 0), 64, 1)
    ramp = np.stack([*np.indices((128, 128)), np.zeros((128, 128))], -1).astype(np.uint8)

    def starts(size: int) -> np.ndarray:
        labels = BlockLabels.from_mask(truth, size, 4)
        config = TrainConfig(crop=32, augment=False, validation=False, scale=1.0)
        images = [TrainingImage("a", ramp, labels)]
        rng = np.random.default_rng(3)
        data = Dataset(images, make_classes(["a", "b", "c", "d"]), config, rng, None, print)
        drawn = data.sampler.draw(64).images
        return (drawn[:, :2, 0, 0] * 255).numpy()

    assert np.abs(starts(block) - starts(8)).max() <= 16


@pytest.mark.parametrize(("block", "scale"), [(16, 1.0), (1, 1.0), (1, 0.5)])
def test_a_crop_larger_than_the_image_says_what_belongs_to_it(block, scale):
    """Edges are continued; no term may take what is added there for the image."""
    crops = sampler(block, scale, shapes=((38, 50),), augment=False)
    for _ in range(5):
        (target,) = crops.draw(1).targets
        assert target.valid.shape == tuple(n * target.side for n in target.cells.shape)
        assert int(target.valid.sum()) == 38 * 50
        rows, cols = crops.crop
        assert int(target.inside(rows, cols).sum()) == 38 * 50 * scale**2
        assert not (target.cells[~target.has_image()] >= 0).any()
