from __future__ import annotations

import numpy as np
import pytest

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.train import train


def scene(seed, shape=(96, 128), channels=3):
    """Two materials that differ in brightness and texture: (pixels, mask of 1 and 2)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(shape)
    center = rng.uniform(0.3, 0.7, 2) * shape
    inside = np.hypot(rows - center[0], cols - center[1]) < 0.3 * min(shape)
    values = np.where(inside, 190, 60)[..., None] + rng.normal(0, 20, (*shape, channels))
    values[..., 0] += np.where(inside, 20 * (cols % 4 > 1), 0)
    return np.clip(values, 0, 255).astype(np.uint8), np.where(inside, 2, 1).astype(np.uint8)


@pytest.fixture
def classes():
    return make_classes(["ground", "disk"])


@pytest.fixture
def make_images():
    def make(n=1, block=8, share=1.0, **options):
        images = []
        for seed in range(n):
            pixels, mask = scene(seed, **options)
            labels = BlockLabels.from_mask(mask, block, 2)
            hidden = np.random.default_rng(seed).random(labels.values.shape) >= share
            labels = labels.with_values(np.where(hidden, 0, labels.values))
            images.append(TrainingImage(f"scene_{seed}", pixels, labels))
        return images

    return make


@pytest.fixture
def quick():
    """The smallest training there is."""

    def config(**options):
        return TrainConfig(**({"steps": 3, "batch_size": 2, "crop": 64, "device": "cpu"} | options))

    return config


@pytest.fixture
def network():
    return NetworkConfig()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A model that knows the two materials: (folder, reports)."""
    classes = make_classes(["ground", "disk"])
    images = []
    for seed in range(4):
        pixels, mask = scene(seed)
        images.append(TrainingImage(f"s{seed}", pixels, BlockLabels.from_mask(mask, 8, 2)))
    out = tmp_path_factory.mktemp("trained") / "run"
    config = TrainConfig(
        steps=60, batch_size=4, crop=64, device="cpu", learning_rate=3e-3, checkpoint_seconds=999
    )
    return out, list(train(images, classes, NetworkConfig(), config, out=out))
