"""Block chances against the probabilities of all pixels."""

from __future__ import annotations

import numpy as np
import pytest

import napari_blockseg.learn.uncertainty as uncertainty_module
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn.checkpoint import Model, ModelSpec
from napari_blockseg.learn.predict import predict
from napari_blockseg.learn.uncertainty import block_chances

ROWS, COLS, BLOCK = 90, 130, 8


@pytest.fixture(scope="module")
def model():
    import torch

    from napari_blockseg.nets.build import build_network

    config = NetworkConfig(weights="none", decoder_stride=8)
    torch.manual_seed(0)
    network = build_network(config, 3).eval()
    spec = ModelSpec(
        classes=make_classes(["a", "b", "c"]),
        network=config,
        train=TrainConfig(),
        normalization=Normalization(),
        n_channels=3,
        block=BLOCK,
        scale=1.0,
    )
    return Model(spec, network, torch.device("cpu"))


def finish(steps):
    reports = []
    while True:
        try:
            reports.append(next(steps))
        except StopIteration as stop:
            return stop.value, reports


@pytest.mark.parametrize("side", [4096, 64])
def test_means_over_blocks_also_where_an_image_is_done_in_parts(model, monkeypatch, side):
    """Two by three parts at a side of 64: they give what the whole image gives."""
    monkeypatch.setattr(uncertainty_module, "PART_SIDE", side)
    pixels = np.random.default_rng(0).integers(0, 255, (ROWS, COLS, 3), dtype=np.uint8)
    labels = BlockLabels.empty(BlockGrid((ROWS, COLS), BLOCK))
    found, reports = finish(block_chances(model, "a", pixels, labels))
    whole, _ = finish(predict(model, pixels, probabilities=True, uncertainty=True))
    grid = labels.grid
    assert found.probabilities.shape == (*grid.shape, 3)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, atol=2e-3)  # of float16
    for row, col in ((0, 0), (7, 7), (8, 8), (11, 16), (3, 15)):
        inside = grid.pixel_slices(row, col)
        chances = whole.probabilities[(slice(None), *inside)].astype(np.float64).mean((1, 2))
        np.testing.assert_allclose(found.probabilities[row, col], chances, atol=2e-3)
        unsure = whole.uncertainty[inside].astype(np.float64).mean()
        assert found.unsure[row, col] == pytest.approx(unsure, abs=2e-3)
    done = [(one.done, one.total) for one in reports]
    assert done == sorted(done)
    assert done[-1][0] == done[-1][1]
