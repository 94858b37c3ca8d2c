"""One contract for every network, encoder and decoder stride.

``python tests/nets/test_contract.py`` writes the golden logits of combinations that have none yet;
those that are there stay: a model trained before must go on giving the same logits.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.learn import export
from napari_blockseg.nets.build import build_network

GOLDEN = Path(__file__).with_name("golden_logits.json")
# Relative to the largest stored logit. Convolutions sum in another order on another CPU.
TOLERANCE = 1e-4

STRIDES = (4, 8, 16, 32)
NETWORKS = ("deeplabv3plus", "dan")
ENCODERS = ("tf_efficientnet_lite0", "resnet18", "mobilenetv2_100")
# Every network on every encoder at every stride; other forms and ways where they differ.
SETTINGS = [
    ({"network": network, "encoder": encoder}, STRIDES)
    for network, encoder in itertools.product(NETWORKS, ENCODERS)
]
SETTINGS += [
    ({"form": "paper"}, STRIDES),
    ({"form": "paper", "output_stride": 8}, (4,)),
    ({"image_pooling": True}, (4,)),
    ({"form": "smp", "encoder": "resnet18"}, STRIDES),
    ({"form": "smp", "encoder": "tu-resnet18"}, (4,)),
    ({"network": "dan", "form": "paper"}, (4, 32)),
    ({"truncation": "strided"}, (8, 32)),
    ({"truncation": "lowpass"}, (8, 32)),
    ({"network": "dan", "truncation": "strided"}, (8, 32)),
    ({"truncation": "polyphase"}, (4, 8, 32)),
    ({"network": "dan", "truncation": "polyphase"}, (16,)),
    ({"form": "smp", "encoder": "resnet18", "truncation": "polyphase"}, (8,)),
    ({"network": "deeplabv3"}, (16, 32)),
    ({"network": "deeplabv3", "form": "paper", "output_stride": 8}, (8,)),
    ({"output_stride": 32, "truncate_aspp": True}, (16, 32)),
    ({"network": "linear", "encoder": "mobilenetv2_100"}, (4, 16)),
    ({"shortcut": True}, STRIDES),
    ({"shortcut": True, "truncation": "polyphase"}, (8,)),
    ({"shortcut": True, "network": "dan"}, (4,)),
    ({"shortcut": True, "network": "deeplabv3"}, (16,)),
]
# Golden logits are named by what differs from these; a default that changes changes no name.
USUAL = {field: info.default for field, info in NetworkConfig.model_fields.items()} | {
    "truncation": "area",
    "shortcut": False,
}
CONFIGS = [
    NetworkConfig(
        **{
            "truncation": "area",
            "shortcut": False,
            "weights": "none",
            "decoder_stride": stride,
            **settings,
        }
    )
    for settings, strides in SETTINGS
    for stride in strides
]


def name(config):
    told = {key: value for key, value in config.model_dump().items() if key != "weights"}
    changed = {key for key in told if told[key] != USUAL[key]}
    kept = [key for key in told if key in changed | {"network", "encoder", "decoder_stride"}]
    return "-".join(
        str(told[key]) if isinstance(told[key], str) else f"{key}={told[key]}" for key in kept
    )


def built(config):
    """Return the network of a config with weights that no library draws."""
    network = build_network(config, 3).eval()
    fill(network)
    return network


def fill(network):
    """Give every tensor numbers that depend on its name, its shape and nothing else."""
    for key, tensor in network.state_dict().items():
        # The old generator: its stream is promised never to change.
        draw = np.random.RandomState(zlib.crc32(key.encode()))
        if key.endswith(("mean", "std")) and key.startswith("encoder."):
            continue
        if tensor.ndim == 4:
            values = draw.standard_normal(tensor.shape) / math.sqrt(tensor[0].numel())
        elif key.endswith("running_var") or key.endswith(".weight"):
            values = draw.uniform(0.5, 1.5, tensor.shape)
        else:
            values = draw.uniform(-0.2, 0.2, tensor.shape)
        if tensor.is_floating_point():
            tensor.copy_(torch.from_numpy(np.asarray(values)))


def sample(network):
    """Return nine logits of a picture whose size is no multiple of anything."""
    draw = np.random.RandomState(0)
    image = torch.from_numpy(draw.uniform(size=(1, 3, 45, 70)).astype(np.float32))
    with torch.inference_mode():
        logits = network(image)
    return logits.flatten()[:: logits.numel() // 9][:9].tolist()


def write_golden():
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    for config in CONFIGS:
        golden.setdefault(name(config), [float(f"{x:.7g}") for x in sample(built(config))])
    golden = {name(config): golden[name(config)] for config in CONFIGS}
    rows = (f"  {json.dumps(key)}: {json.dumps(golden[key])}" for key in sorted(golden))
    GOLDEN.write_text("{\n" + ",\n".join(rows) + "\n}\n")


@pytest.fixture(scope="class", params=CONFIGS, ids=name)
def config(request):
    return request.param


@pytest.fixture(scope="class")
def network(config):
    """One network for all tests of a config: do not change it."""
    return built(config)


def run(network, *shape):
    with torch.inference_mode():
        return network(torch.rand(shape, generator=torch.Generator().manual_seed(0)))


class TestNetworkContract:
    @pytest.mark.parametrize(("rows", "cols"), [(32, 32), (33, 70), (1, 5)])
    def test_logits_have_the_size_of_the_image(self, network, rows, cols):
        logits = run(network, 2, 3, rows, cols)
        assert logits.shape == (2, 3, rows, cols)
        assert logits.isfinite().all()

    def test_coarse_logits_are_on_the_decoder_grid(self, config, network):
        with torch.inference_mode():
            coarse = network.coarse_logits(torch.rand(1, 3, 33, 64))
        # A polyphase decoder gives the full grid's logits from a coarse one.
        cell = 4 if config.truncation == "polyphase" else config.stride
        assert network.logits_stride == cell
        assert coarse.shape == (1, 3, 64 // cell, 64 // cell)

    @pytest.mark.parametrize("channels", [1, 7])
    def test_channels(self, config, channels):
        other = build_network(config, 2, channels).eval()
        logits = run(other, 1, channels, 32, 32)
        assert logits.shape == (1, 2, 32, 32)
        assert logits.isfinite().all()
        with pytest.raises(NetworkError, match=f"takes .n, {channels}, rows, cols"):
            run(other, 1, channels + 1, 32, 32)

    def test_every_parameter_learns(self, network):
        learner = copy.deepcopy(network).train()
        weights = torch.rand(2, 3, 64, 64)  # a plain sum is blind behind batch norm
        (learner(torch.rand(2, 3, 64, 64)) * weights).sum().backward()
        idle = [key for key, p in learner.named_parameters() if p.grad is None or not p.grad.any()]
        assert idle == []

    def test_evaluation_repeats_itself(self, network):
        image = torch.rand(1, 3, 40, 48)
        with torch.inference_mode():
            assert torch.equal(network(image), network(image))

    def test_save_and_load(self, config, network, tmp_path):
        path = tmp_path / "weights.safetensors"
        save_file(network.state_dict(), path)
        other = build_network(config, 3).eval()
        other.load_state_dict(load_file(path))
        assert torch.equal(run(other, 1, 3, 40, 48), run(network, 1, 3, 40, 48))

    def test_golden_logits(self, config, network):
        golden = json.loads(GOLDEN.read_text())[name(config)]
        largest = max(abs(x) for x in golden)
        assert sample(network) == pytest.approx(golden, rel=0, abs=TOLERANCE * largest)


# A second each: every network and encoder once, and the parts that are special. The ideal low-pass
# has no ONNX form.
EXPORTED = [
    {"network": "dan", "decoder_stride": 8},
    {"network": "dan", "encoder": "resnet18", "decoder_stride": 32},
    {"network": "dan", "encoder": "mobilenetv2_100", "form": "paper"},
    {"encoder": "mobilenetv2_100", "decoder_stride": 16},
    {"form": "smp", "encoder": "resnet18"},
    {"truncation": "strided", "decoder_stride": 16},
    {"truncation": "polyphase", "decoder_stride": 16},
    {"network": "deeplabv3"},
    {"output_stride": 32, "truncate_aspp": True, "decoder_stride": 32},
]


@pytest.mark.parametrize("options", EXPORTED, ids=str)
def test_export_equals_eager(options, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    network = built(NetworkConfig(weights="none", **options))
    path = tmp_path / "network.onnx"
    export.write_graph(network, torch.rand(2, 3, 75, 101), path, ("logits",))
    session = export.session(path, threads=1)
    for shape in [(1, 3, 64, 96), (2, 3, 33, 70)]:
        images = torch.rand(shape)
        with torch.inference_mode():
            expected = network(images)
        (found,) = session.run(None, {"images": images.numpy()})
        largest = float(expected.abs().max())
        torch.testing.assert_close(
            torch.from_numpy(found), expected, rtol=0, atol=TOLERANCE * largest
        )


if __name__ == "__main__":
    write_golden()
