"""One contract for every network, encoder and decoder stride.

``python tests/nets/test_contract.py`` writes the golden logits of combinations that have none yet;
those that are there stay: a model trained before must go on giving the same logits.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.build import build_network

GOLDEN = Path(__file__).with_name("golden_logits.json")
# Relative to the largest stored logit. Convolutions sum in another order on another CPU.
TOLERANCE = 1e-4

STRIDES = (4, 8, 16, 32)
ENCODERS = ("tf_efficientnet_lite0", "resnet18", "mobilenetv2_100")
# Every network on every encoder, and its other forms and ways on the default one.
SETTINGS = [
    {"network": network, "encoder": encoder}
    for network in ("deeplabv3plus",)
    for encoder in ENCODERS
]
SETTINGS += [
    {"form": "paper"},
    {"form": "paper", "output_stride": 8},
    {"image_pooling": True},
]
CONFIGS = [
    NetworkConfig(decoder_stride=stride, weights="none", **settings)
    for settings, stride in itertools.product(SETTINGS, STRIDES)
]


def name(config):
    told = {key: value for key, value in config.model_dump().items() if key != "weights"}
    changed = {key for key in told if told[key] != NetworkConfig.model_fields[key].default}
    kept = [key for key in told if key in changed | {"network", "encoder", "decoder_stride"}]
    return "-".join(
        str(told[key]) if isinstance(told[key], str) else f"{key}={told[key]}" for key in kept
    )


@functools.cache
def built(config):
    """Return the network of a config with weights that no library draws; do not change it."""
    network = build_network(config, 3).eval()
    fill(network)
    return network


def fill(network):
    """Give every tensor numbers that depend on its name, its shape and nothing else."""
    for key, tensor in network.state_dict().items():
        # The old generator: its stream is promised never to change.
        draw = np.random.RandomState(zlib.crc32(key.encode()))  # noqa: NPY002
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


def sample(config):
    """Return nine logits of a picture whose size is no multiple of anything."""
    draw = np.random.RandomState(0)  # noqa: NPY002
    image = torch.from_numpy(draw.uniform(size=(1, 3, 45, 70)).astype(np.float32))
    with torch.inference_mode():
        logits = built(config)(image)
    return logits.flatten()[:: logits.numel() // 9][:9].tolist()


def write_golden():
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    for config in CONFIGS:
        golden.setdefault(name(config), [float(f"{x:.7g}") for x in sample(config)])
    rows = (f"  {json.dumps(key)}: {json.dumps(golden[key])}" for key in sorted(golden))
    GOLDEN.write_text("{\n" + ",\n".join(rows) + "\n}\n")


@pytest.mark.parametrize("config", CONFIGS, ids=name)
class TestNetworkContract:
    def test_logits_have_the_size_of_the_image(self, config):
        with torch.inference_mode():
            for rows, cols in [(32, 32), (33, 70), (1, 5)]:
                logits = built(config)(torch.rand(2, 3, rows, cols))
                assert logits.shape == (2, 3, rows, cols)
                assert logits.isfinite().all()

    def test_coarse_logits_are_on_the_decoder_grid(self, config):
        with torch.inference_mode():
            coarse = built(config).coarse_logits(torch.rand(1, 3, 33, 64))
        assert coarse.shape == (1, 3, 64 // config.stride, 64 // config.stride)

    def test_every_parameter_learns(self, config):
        network = build_network(config, 3).train()
        # Large enough that no branch sees nothing but its padding.
        network(torch.rand(2, 3, 64, 64)).square().sum().backward()
        idle = [key for key, p in network.named_parameters() if p.grad is None]
        assert idle == []

    def test_golden_logits(self, config):
        golden = json.loads(GOLDEN.read_text())[name(config)]
        largest = max(abs(x) for x in golden)
        assert sample(config) == pytest.approx(golden, rel=0, abs=TOLERANCE * largest)


if __name__ == "__main__":
    write_golden()
