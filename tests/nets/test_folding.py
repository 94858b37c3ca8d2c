from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.folding import _fold, fold_batch_norm


def trained_alike(module: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights that change something."""
    torch.manual_seed(1)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.3, 3)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return module.eval()


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


@pytest.mark.parametrize("encoder", ["tf_efficientnet_lite0", "resnet18", "regnety_004"])
def test_every_norm_is_folded_and_nothing_changes(encoder):
    config = NetworkConfig(weights="none", encoder=encoder, form="light", decoder_stride=8)
    network = trained_alike(build_network(config, 5))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    folded = fold_batch_norm(network, 3)
    assert norms(network) > 20
    assert norms(folded) == 0
    image = torch.rand(2, 3, 70, 95)
    with torch.inference_mode():
        expected, found = network(image), folded(image)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(("bias", "affine"), [(True, True), (False, False)])
def test_the_formula_is_exact_in_float64(bias, affine):
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, groups=2, bias=bias)
    norm = nn.BatchNorm2d(6, affine=affine)
    chain = trained_alike(nn.Sequential(conv, norm) if affine else nn.Sequential(conv)).double()
    norm.double().eval().running_var.uniform_(0.5, 2)
    image = torch.rand(2, 4, 9, 11, dtype=torch.float64)
    expected = norm(chain[0](image))
    _fold(conv, norm)
    torch.testing.assert_close(conv(image), expected, rtol=1e-12, atol=1e-12)


class Between(nn.Module):
    """The convolution's output goes elsewhere too, so that folding would change it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images):
        seen = self.conv(images)
        return self.norm(seen) + seen


class Shared(nn.Module):
    """One convolution, two norms."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, images):
        return self.two(self.conv(self.one(self.conv(images))))


@pytest.mark.parametrize("kind", [Between, Shared])
def test_what_cannot_be_folded_stays_right(kind):
    module = trained_alike(kind())
    image = torch.rand(1, 3, 30, 30)
    with torch.inference_mode():
        torch.testing.assert_close(fold_batch_norm(module, 3)(image), module(image))
