"""Polyphase truncation: nothing is finer than the grid, and yet detail comes through."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.polyphase import HIDDEN, PER_FACTOR, Detail
from napari_blockseg.nets.truncation import fit_ways, upsample

KINDS = {
    "light": {},
    "paper": {"form": "paper"},
    "smp": {"form": "smp"},
    "dan": {"network": "dan"},
}


def built(stride, truncation="polyphase", **options):
    torch.manual_seed(0)
    config = NetworkConfig(weights="none", decoder_stride=stride, truncation=truncation, **options)
    return build_network(config, 3).eval()


@pytest.mark.parametrize("stride", [8, 32])
@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_the_mean_of_each_cell(kind, stride):
    """Same draws, same weights, and a branch that adds nothing yet."""
    area, polyphase = built(stride, "area", **KINDS[kind]), built(stride, **KINDS[kind])
    with torch.no_grad():
        image = torch.rand(1, 3, 64, 96)
        coarse = area.coarse_logits(image)
        found = polyphase.coarse_logits(image)
    torch.testing.assert_close(found, upsample(coarse, stride // 4))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [8, 16, 32])
def test_no_layer_of_the_decoder_is_finer_than_the_grid(kind, stride):
    decoder = built(stride, **KINDS[kind]).decoder
    fine = decoder.detail.low[0]
    grid = (64 // stride) * (96 // stride)
    cells = {}

    def see(layer, inputs, output):
        # What the branch takes is the encoder's; so is the ASPP's grid.
        seen = [output] if layer is fine else [*inputs, output]
        cells[layer] = max(one.shape[-2] * one.shape[-1] for one in seen)

    parts = [part for name, part in decoder.named_children() if name != "aspp"]
    layers = [one for part in parts for one in part.modules() if not list(one.children())]
    handles = [layer.register_forward_hook(see) for layer in layers]
    with torch.no_grad():
        # Square features of every stride of the encoder.
        channels = [16, 24, 40, 112, 320]
        strides = [2, 4, 8, 16, 16]
        features = [
            torch.rand(1, c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)
        ]
        logits = decoder(features)
    for handle in handles:
        handle.remove()
    assert max(cells.values()) == grid
    assert logits.shape[-2:] == (16, 24)


@pytest.mark.parametrize("factor", [2, 4])
def test_detail_finer_than_the_grid_comes_through(factor):
    """With weights set by hand, the branch gives back a full grid of noise, cell by cell."""
    branch = Detail(1, 1, 1, factor).eval()
    phases = factor**2
    for module in branch.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    with torch.no_grad():
        for phase in range(phases):
            branch.low[0].weight[phase, 0, phase // factor, phase % factor] = 1
            # Channel 0 is the decoder's; of the 3x3 kernel only its center counts.
            branch.mix[0][0].weight[1 + phase, 0, 1, 1] = 1
            branch.mix[1][0].weight[phase, 1 + phase] = 1
            branch.phases.weight[phase, phase] = 1
        low = torch.rand(2, 1, 8, 12)
        found = branch(torch.zeros(2, 1, 8 // factor, 12 // factor), low)
    torch.testing.assert_close(found, low)


def test_the_branch_costs_little_and_has_the_stated_widths():
    branch = Detail(24, 256, 5, 4)
    assert branch.low[0].weight.shape == (4 * PER_FACTOR, 24, 4, 4)
    assert branch.mix[1][0].weight.shape == (HIDDEN, 256 + 4 * PER_FACTOR, 1, 1)
    assert branch.phases.weight.shape == (5 * 16, HIDDEN, 1, 1)
    assert not branch.phases.weight.any()


def test_full_grid_has_no_branch():
    network = built(4)
    assert network.decoder.detail is None
    assert network.logits_stride == network.decoder_stride == 4


@pytest.mark.parametrize("kind", ["light", "dan"])
def test_trained_weights_fit_other_strides_and_ways(kind):
    options = KINDS[kind]
    full, polyphase = built(4, "area", **options), built(8, **options)
    nn.init.normal_(polyphase.decoder.detail.phases.weight)
    trained = polyphase.decoder.state_dict()

    same = built(8, **options).decoder
    same.load_state_dict(fit_ways(trained, same))
    assert torch.equal(same.detail.phases.weight, trained["detail.phases.weight"])

    # A full grid's network becomes a truncated one whose branch adds nothing yet.
    cut = built(8, **options).decoder
    cut.load_state_dict(fit_ways(full.decoder.state_dict(), cut))
    assert not cut.detail.phases.weight.any()
    assert torch.equal(cut.head.weight, full.decoder.head.weight)

    # Another stride has other phases: a new branch, all of it.
    other = built(16, **options).decoder
    other.load_state_dict(fit_ways(trained, other))
    assert not other.detail.phases.weight.any()

    # And without a branch there is no place for one.
    plain = built(8, "area", **options).decoder
    plain.load_state_dict(fit_ways(trained, plain))


def test_without_a_decoder_logits_are_the_encoders():
    config = NetworkConfig(network="deeplabv3", weights="none")
    network = build_network(config, 3)
    assert config.stride == network.decoder_stride == network.logits_stride == 16
    assert set(dict(network.decoder.named_children())) == {"fuse", "head"}
    with pytest.raises(ValidationError, match="at the output stride of 16, not at 4"):
        NetworkConfig(network="deeplabv3", decoder_stride=4)
