from __future__ import annotations

import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost import count_macs


def dan(**options):
    return build_network(NetworkConfig(network="dan", weights="none", **options), 3).eval()


@pytest.mark.parametrize(
    ("stride", "grids"),
    [(4, [16, 8, 4, 4]), (8, [16, 8, 8, 8]), (16, [16] * 4), (32, [32] * 4)],
)
def test_stages_are_merged_coarse_to_fine(stride, grids):
    """Stages of the default encoder lie at strides 2, 4, 8, 16, 16."""
    network = dan(decoder_stride=stride)
    seen = []
    for node in [*network.decoder.nodes, network.decoder.fuse]:
        node.register_forward_hook(lambda node, given, made: seen.append((given[1], made)))
    with torch.inference_mode():
        features = network.encoder(torch.rand(1, 3, 64, 64))
        network.decoder(features)
    assert [64 // made.shape[-1] for _, made in seen] == grids
    for (given, _), feature in zip(seen, features[-2::-1], strict=True):
        assert torch.equal(given, feature)


def test_a_node_convolves_the_concatenation():
    network = dan(form="paper", encoder="resnet18")
    shapes = [node.conv[0].weight.shape for node in network.decoder.nodes]
    assert shapes == [(256, 512 + 256, 3, 3), (256, 256 + 128, 3, 3), (256, 256 + 64, 3, 3)]
    assert network.decoder.fuse.conv[0].weight.shape == (256, 256 + 64, 3, 3)


@pytest.mark.parametrize("stage", range(5))
def test_every_stage_reaches_the_logits(stage):
    network = dan()
    torch.nn.init.normal_(network.decoder.head.weight)
    if network.decoder.detail is not None:
        torch.nn.init.normal_(network.decoder.detail.phases.weight)
    with torch.inference_mode():
        features = network.encoder(torch.rand(1, 3, 64, 64))
        before = network.decoder(features)
        changed = list(features)
        changed[stage] = features[stage] + features[stage].abs().mean() + 1
        assert not torch.allclose(network.decoder(changed), before, rtol=1e-3)


def test_the_light_form_costs_little_more_than_its_encoder():
    network = dan()
    image = torch.zeros(1, 3, 256, 256)
    assert count_macs(network, image) < 1.25 * count_macs(network.encoder, image)


@pytest.mark.parametrize("stride", [4, 32])
def test_its_halo_holds_nearly_all_it_looks_at(stride):
    """Logits in a tile with its halo are those of the whole image, to 0.01 of the largest."""
    network = build_network(NetworkConfig(network="dan", decoder_stride=stride), 3).eval()
    torch.nn.init.normal_(network.decoder.head.weight)
    side, halo = 64, network.halo
    image = torch.rand(1, 3, side + 2 * halo + 128, side + 2 * halo + 128)
    with torch.inference_mode():
        whole = network.coarse_logits(image)
        tile = network.coarse_logits(
            image[..., 64 : 64 + side + 2 * halo, 64 : 64 + side + 2 * halo]
        )
    cell = network.logits_stride
    start, stop = halo // cell, (halo + side) // cell
    inside = tile[..., start:stop, start:stop]
    begin = (64 + halo) // cell
    expected = whole[..., begin : begin + side // cell, begin : begin + side // cell]
    difference = float((inside - expected).abs().max() / expected.abs().max())
    assert difference < 1e-2, difference
