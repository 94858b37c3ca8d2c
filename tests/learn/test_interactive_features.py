"""Features of a frozen encoder: what the network sees, cached as it was, tile by tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import ImageError
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.files.featurecache import FeatureCache
from napari_blockseg.learn.data import WorkingGrid, working_image
from napari_blockseg.learn.interactive import features as module
from napari_blockseg.learn.interactive.features import (
    LRG,
    FeatureMaker,
    FrozenEncoder,
    PlaneFeatures,
    feature_key,
    pixel_stage,
)
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import pad_to_multiple
from napari_blockseg.nets.truncation import to_stride

CONFIG = NetworkConfig(weights="none")
GRID = WorkingGrid.for_scale(16, 0.5)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(CONFIG, 2, 1).eval()


@pytest.fixture(scope="module")
def frozen(network):
    return FrozenEncoder(network.encoder, CONFIG, torch.device("cpu"))


def plane(rows=150, cols=203, seed=0, name="a"):
    pixels = np.random.default_rng(seed).integers(0, 255, (rows, cols, 1), dtype=np.uint8)
    return PlaneFeatures([name], pixels, Normalization(), GRID)


def test_they_are_those_of_the_networks_encoder(network, frozen):
    one = plane()
    found = FeatureMaker(frozen, None).get(one, (0, 0))
    image = working_image(one.pixels, Normalization(), GRID).float()
    padded = pad_to_multiple(image[None], 32)
    with torch.no_grad():
        seen = network.encoder(padded)
    wanted = [pixel_stage(padded)]
    for stage, stride in zip(seen, network.encoder.strides, strict=True):
        wanted.append(to_stride(stage, stride, max(LRG, stride)))
    assert found.strides == (4, 4, 4, 8, 16, 16)
    for stage, expected in zip(found.stages, wanted, strict=True):
        assert stage.dtype == torch.float16
        torch.testing.assert_close(stage, expected[0].half(), rtol=2e-3, atol=1e-4)


def test_they_stay_when_the_network_learns(network, frozen):
    one = plane()
    before = FeatureMaker(frozen, None).get(one, (0, 0))
    digest = frozen.digest
    changed = build_network(CONFIG, 2, 1)
    other = FrozenEncoder(changed.encoder, CONFIG, torch.device("cpu"))
    assert other.digest != digest
    with torch.no_grad():
        for parameter in changed.encoder.parameters():
            parameter.add_(0.1)
    changed.train()
    changed(torch.rand(2, 1, 64, 64))
    again = FrozenEncoder(network.encoder, CONFIG, torch.device("cpu"))
    assert again.digest == digest
    after = FeatureMaker(again, None).get(one, (0, 0))
    for first, second in zip(before.stages, after.stages, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not any(part.training for part in frozen.encoder.modules())


def test_cached_ones_are_the_fresh_ones_and_cost_no_encoder(frozen, tmp_path):
    one = plane()
    maker = FeatureMaker(frozen, FeatureCache(tmp_path))
    fresh = maker.get(one, (0, 0))
    assert maker.computed == 1
    assert maker.get(one, (0, 0)) is fresh
    second = FeatureMaker(frozen, FeatureCache(tmp_path))
    cached = second.get(one, (0, 0))
    assert second.computed == 0
    assert cached.origin == fresh.origin
    for first, other in zip(fresh.stages, cached.stages, strict=True):
        assert torch.equal(first, other)
    # Five half-precision values a pixel of the 96 x 128 that the network sees.
    assert cached.nbytes < 10 * 96 * 128


@pytest.mark.parametrize("what", ["content", "grid", "normalization", "encoder"])
def test_another_image_scale_normalization_or_encoder_is_another_key(frozen, tmp_path, what):
    cache = FeatureCache(tmp_path)
    FeatureMaker(frozen, cache).get(plane(), (0, 0))
    other, encoder = plane(), frozen
    if what == "content":
        other.identity = ["another sha"]
    elif what == "grid":
        other = PlaneFeatures(
            ["a"], other.pixels, other.normalization, WorkingGrid.for_scale(8, 1.0)
        )
    elif what == "normalization":
        other = PlaneFeatures(["a"], other.pixels, Normalization(high=100.0), GRID)
    else:
        torch.manual_seed(1)
        encoder = FrozenEncoder(build_network(CONFIG, 2, 1).encoder, CONFIG, torch.device("cpu"))
    maker = FeatureMaker(encoder, cache)
    maker.get(other, (0, 0))
    assert maker.computed == 1


def test_tiles_agree_with_the_whole(frozen, monkeypatch):
    """With random weights too; the encoder looks a little further than what a tile is given."""
    one = plane(rows=700, cols=520)
    whole = FeatureMaker(frozen, None).get(one, (0, 0))
    monkeypatch.setattr(module, "TILE", 128)
    assert one.tiles() == [(r, c) for r in range(3) for c in range(3)]
    assert one.tiles((100, 130, 0, 20)) == [(0, 0), (1, 0)]
    tile = FeatureMaker(frozen, None).get(one, (1, 1))
    assert tile.origin == (96, 96)
    for part, all_of_it, stride in zip(tile.stages, whole.stages, whole.strides, strict=True):
        start, length = 96 // stride, part.shape[1]
        expected = all_of_it[:, start : start + length, start : start + part.shape[2]].float()
        spread = float(expected.std())
        assert float((part.float() - expected).abs().mean()) < 0.02 * spread


def test_memory_is_bounded(frozen):
    maker = FeatureMaker(frozen, None, max_bytes=1)
    one, two = plane(name="a"), plane(seed=1, name="b")
    maker.get(one, (0, 0))
    maker.get(two, (0, 0))
    assert maker.has(two, (0, 0))
    assert not maker.has(one, (0, 0))


def test_an_image_of_other_channels_is_refused(frozen):
    pixels = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ImageError, match="3 channel"):
        FeatureMaker(frozen, None).get(PlaneFeatures(["x"], pixels, Normalization(), GRID), (0, 0))


def test_a_key_depends_on_every_part():
    base = {"image": "sha", "slice": [0], "encoder": "e", "weights": "w", "scale": 0.5}
    keys = {feature_key(**base)}
    keys |= {feature_key(**{**base, name: "other"}) for name in base}
    assert len(keys) == 1 + len(base)
