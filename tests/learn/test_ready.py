"""What is chosen to compute, and in what precision."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.learn import devices, engine
from napari_blockseg.learn.engine import WORTH_ONNX, ReadyModel
from napari_blockseg.learn.stitching import run_tiles
from napari_blockseg.nets.build import build_network

CPU = torch.device("cpu")


@pytest.fixture
def made(monkeypatch):
    """What was made ready: (engine, pixels at working scale), as often as it was."""
    calls = []
    monkeypatch.setattr(
        engine, "for_prediction", lambda model, name, pixels: calls.append((name, pixels)) or calls
    )
    return calls


def model_at(scale):
    return SimpleNamespace(spec=SimpleNamespace(grid=SimpleNamespace(scale=scale)))


def test_the_start_of_onnx_runtime_waits_until_it_pays(made):
    ready = ReadyModel(model_at(0.5))
    for _ in range(10):
        ready.for_pixels(WORTH_ONNX / 2)  # an eighth of it, at half the scale
    assert [pixels / WORTH_ONNX for _, pixels in made] == [0.125, 1.0]
    assert {name for name, _ in made} == {"auto"}


def test_a_large_image_gets_it_at_once(made):
    ready = ReadyModel(model_at(1.0))
    ready.for_pixels(3 * WORTH_ONNX)
    ready.for_pixels(10)
    assert made == [("auto", 3 * WORTH_ONNX)]


def test_an_engine_that_is_named_is_made_once(made):
    ready = ReadyModel(model_at(1.0))
    for name in ("onnx", "onnx", "torch", "torch"):
        ready.for_pixels(1, name)
    assert [name for name, _ in made] == ["onnx", "torch"]


def test_a_snapshot_is_only_made_ready_for_much_work(made):
    model = model_at(1.0)
    assert ReadyModel(model, kept=False).for_pixels(1000) is model
    assert not made
    ReadyModel(model, kept=False).for_pixels(WORTH_ONNX)
    assert made == [("auto", WORTH_ONNX)]


@pytest.mark.parametrize("modern", [True, False])
def test_half_precision_is_for_cuda_only(monkeypatch, modern):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: modern)
    expected = torch.bfloat16 if modern else torch.float16
    assert devices.half_precision(torch.device("cuda")) is expected
    assert devices.half_precision(CPU) is None
    assert devices.half_precision(torch.device("mps")) is None


def test_tiles_run_in_half_precision_and_come_back_in_single(monkeypatch):
    torch.manual_seed(0)
    network = build_network(NetworkConfig(weights="none", decoder_stride=16), 3).eval()
    tiles = torch.rand(1, 3, 64, 96)
    expected = run_tiles(network, tiles, CPU)
    # As on CUDA, but on the device that is here.
    monkeypatch.setattr(devices, "half_precision", lambda device: torch.bfloat16)
    seen = []
    original = network.coarse_logits
    monkeypatch.setattr(
        network, "coarse_logits", lambda images: seen.append(original(images)) or seen[-1]
    )
    found = run_tiles(network, tiles, CPU)
    assert [logits.dtype for logits in seen] == [torch.bfloat16]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=0.15 * float(expected.abs().max()), rtol=0)
    assert not torch.equal(found, expected)
