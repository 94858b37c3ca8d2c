"""What the losses change in training, a class of one block, and the two ways of painting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.holdout import choose_holdout
from napari_blockseg.learn.predict import predict
from napari_blockseg.learn.train import Training, train


def scene(seed, shape=(64, 96)):
    """Noise of two brightnesses: a disk (2) on ground (1)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    center = rng.uniform(0.3, 0.7, 2) * shape
    inside = np.hypot(rows - center[0], cols - center[1]) < 0.3 * min(shape)
    values = np.where(inside, 190, 60)[..., None] + rng.normal(0, 20, (*shape, 3))
    return np.clip(values, 0, 255).astype(np.uint8), np.where(inside, 2, 1).astype(np.uint8)


def predicted(model, pixels):
    steps = predict(model, pixels)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value.mask


@pytest.fixture(scope="module")
def a_step(tmp_path_factory, trained):
    """Weights of the network after two steps from the trained one, by options."""

    def run(quick, classes, make_images, **options):
        out = tmp_path_factory.mktemp("step")
        config = quick(steps=2, crop=32, validation=False, keep_checkpoints=False, **options)
        images = make_images(1, share=0.3)
        reports = list(train(images, classes, NetworkConfig(), config, out=out, init=trained[0]))
        assert reports[-1].steps == 2
        return load_model(out, "cpu").network.state_dict()

    return run


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.mark.parametrize(
    "options", [{"loss": "logits"}, {"gated_crf": 0.1}, {"pseudo_labels": 1.0}], ids=str
)
def test_each_choice_changes_what_training_does(a_step, kept, quick, classes, make_images, options):
    if "plain" not in kept:
        kept["plain"] = a_step(quick, classes, make_images)
    changed = a_step(quick, classes, make_images, **options)
    key = "decoder.head.weight"
    assert not torch.equal(changed[key], kept["plain"][key])
    assert torch.isfinite(changed[key]).all()


def test_a_class_of_one_block_is_drawn_and_learned(quick, tmp_path):
    """Scores of blocks of two classes, and a single one of a third."""
    images = []
    for seed in range(3):
        pixels, mask = scene(seed)
        if seed == 1:
            pixels[:16, 80:] = (20, 20, 240)
            mask[:16, 80:] = 3
        images.append(TrainingImage(f"s{seed}", pixels, BlockLabels.from_mask(mask, 16, 3)))
    classes = make_classes(["ground", "disk", "spot"])
    assert sum(image.labels.counts(3)[3] for image in images) == 1
    config = quick(steps=30, learning_rate=1e-2, scale=1.0, validation=False)
    training = Training(images, classes, NetworkConfig(), config, out=tmp_path)
    assert training._data.sampler.counts[2] == 1
    weights = training._weights
    assert weights.isfinite().all()
    assert weights.max() <= 16.1 * weights.min()
    # A third of the crops is drawn for it.
    drawn = training._data.sampler.draw(30).targets
    assert sum(bool((target.cells == 2).any()) for target in drawn) >= 6
    losses = [report.loss for report in training.reports() if report.type == "train_step"]
    assert np.isfinite(losses).all()
    assert max(losses) < -np.log(1e-6)
    found = predicted(load_model(tmp_path, "cpu"), images[1].pixels)
    assert (found[:16, 80:] == 3).mean() > 0.5
    assert (found == 3).mean() < 0.1


def test_a_class_of_one_block_is_never_held_out():
    cells = np.zeros((12, 12), np.int16)
    cells[6:] = 1
    cells[3, 3] = 2
    for seed in range(20):
        holdout = choose_holdout(["a", "b"], [cells, np.minimum(cells, 1)], 3, seed)
        assert not holdout.mask("a", cells.shape)[3, 3]


@pytest.mark.parametrize("policy", ["majority", "pure"])
def test_both_ways_of_painting_train_well(policy, quick, tmp_path):
    """Mixed blocks by their majority, or only blocks one is sure of; with the same settings."""
    images, mixed = [], 0
    for seed in range(4):
        pixels, mask = scene(seed)
        labels = BlockLabels.from_mask(mask, 16, 2, policy)
        mixed += int((labels.values == 0).sum())
        images.append(TrainingImage(f"s{seed}", pixels, labels))
    assert (mixed > 20) == (policy == "pure")
    config = quick(steps=20, batch_size=4, learning_rate=1e-2, validation=False)
    out = tmp_path / "run"
    list(train(images, make_classes(["ground", "disk"]), NetworkConfig(), config, out=out))
    model, confusion = load_model(out, "cpu"), Confusion(2)
    for seed in (11, 12):
        pixels, mask = scene(seed)
        confusion.add(mask, predicted(model, pixels))
    assert confusion.miou() > 0.8
