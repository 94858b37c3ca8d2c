"""Truncation: the ways down, and that nothing in a decoder is finer than its grid."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.spectrum import band_limit
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost import count_macs
from napari_blockseg.nets.dan import build_dan
from napari_blockseg.nets.deeplabv3plus import build_deeplabv3plus
from napari_blockseg.nets.encoders import build_encoder
from napari_blockseg.nets.smp import build_smp
from napari_blockseg.nets.truncation import StridedConv, fit_ways, low_pass, to_stride, way_down

STRIDES = (4, 8, 16, 32)
WAYS = ("area", "strided", "lowpass")
BUILDERS = {
    "light": (build_deeplabv3plus, {}),
    "paper": (build_deeplabv3plus, {"form": "paper"}),
    "smp": (build_smp, {"form": "smp"}),
    "dan": (build_dan, {"network": "dan"}),
    "dan-paper": (build_dan, {"network": "dan", "form": "paper"}),
}
# Rows, cols and factor: grids with and without a Nyquist pair, one cell, no change.
SHAPES = [(16, 24, 2), (20, 12, 4), (16, 8, 8), (8, 24, 8), (4, 4, 4), (5, 7, 1)]


@pytest.fixture(scope="module")
def encoders():
    return {os: build_encoder("tf_efficientnet_lite0", "none", 3, os).eval() for os in (16, 32)}


@pytest.fixture(scope="module")
def features(encoders):
    with torch.no_grad():
        return {os: encoder(torch.rand(1, 3, 64, 96)) for os, encoder in encoders.items()}


def largest_grid(module, decoder, features):
    """Return the most cells any layer of `module` takes or gives in a pass of the decoder.

    What a way down takes is the encoder's and does not count.
    """
    cells = []

    def see(layer, inputs, output):
        seen = [output] if isinstance(layer, StridedConv) else [*inputs, output]
        cells.extend(one.shape[-2] * one.shape[-1] for one in seen)

    layers = [layer for layer in module.modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(see) for layer in layers]
    with torch.no_grad():
        decoder(features)
    for handle in handles:
        handle.remove()
    return max(cells)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("kind", BUILDERS)
def test_no_decoder_tensor_has_more_cells_than_the_grid(encoders, features, kind, stride, way):
    build, options = BUILDERS[kind]
    config = NetworkConfig(decoder_stride=stride, truncation=way, weights="none", **options)
    grid = (64 // stride) * (96 // stride)
    decoder = build(encoders[16], config, 3).decoder.eval()
    for name, part in decoder.named_children():
        if name == "aspp":  # the paper's ASPP belongs to the encoder: it has the encoder's grid
            assert largest_grid(part, decoder, features[16]) == 4 * 6
        else:
            assert largest_grid(part, decoder, features[16]) <= grid, name
    assert largest_grid(decoder.head, decoder, features[16]) == grid


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["light", "paper", "smp"])
@pytest.mark.parametrize("output_stride", [16, 32])
def test_a_truncated_aspp_is_on_the_grid_too(encoders, features, kind, way, output_stride):
    build, options = BUILDERS[kind]
    options = options | {"truncate_aspp": True, "decoder_stride": 32, "truncation": way}
    config = NetworkConfig(weights="none", output_stride=output_stride, **options)
    decoder = build(encoders[output_stride], config, 3).decoder.eval()
    assert largest_grid(decoder, decoder, features[output_stride]) == 2 * 3


def test_the_hook_sees_a_grid_that_is_too_fine(encoders, features):
    """The test above could fail: at stride 4 the same layers are beyond the grid of stride 8."""
    decoder = build_dan(encoders[16], NetworkConfig(network="dan", weights="none"), 3).decoder
    assert largest_grid(decoder.fuse, decoder.eval(), features[16]) == 16 * 24 > 8 * 12


def at_cell_centers(maps, factor, axis):
    """Evaluate the trigonometric polynomial of a map at the centers of coarse cells."""
    size = maps.shape[axis]
    at = np.arange(size // factor) * factor + (factor - 1) / 2
    waves = np.exp(2j * np.pi * np.outer(at, np.fft.fftfreq(size))) / size
    return np.moveaxis(np.tensordot(waves, np.fft.fft(maps, axis=axis), (1, axis)), 0, axis)


@pytest.mark.parametrize(("rows", "cols", "factor"), SHAPES)
def test_low_pass_is_the_band_limit_at_the_centers_of_cells(rows, cols, factor):
    maps = np.random.default_rng(0).standard_normal((2, 3, rows, cols))
    limited = band_limit(maps, 0.5 / factor)
    expected = at_cell_centers(at_cell_centers(limited, factor, -2), factor, -1)
    assert np.abs(expected.imag).max() < 1e-12 or factor == 1
    if factor == 1:  # the finest grid's own Nyquist bin has no phase: values are simply kept
        expected = maps
    found = low_pass(torch.from_numpy(maps), factor)
    assert found.shape == (2, 3, rows // factor, cols // factor)
    np.testing.assert_allclose(found.numpy(), expected.real, rtol=0, atol=1e-12)
    single = low_pass(torch.from_numpy(maps).float(), factor)
    np.testing.assert_allclose(single.numpy(), expected.real, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("rows", "cols"), [(12, 15), (9, 6), (3, 27)])
def test_low_pass_by_an_odd_factor_picks_cells_of_the_band_limit(rows, cols):
    """With three cells to one, the center of a coarse cell is that of a fine one: no phase."""
    maps = np.random.default_rng(1).standard_normal((1, 2, rows, cols))
    expected = band_limit(maps, 0.5 / 3)[..., 1::3, 1::3]
    found = low_pass(torch.from_numpy(maps), 3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def test_low_pass_keeps_a_constant_and_a_wave_inside_and_drops_one_outside():
    position = (torch.arange(32, dtype=torch.float64) + 0.5)[None, None, None].expand(1, 1, 8, 32)
    inside = torch.cos(2 * torch.pi * position * 3 / 32)
    outside = torch.cos(2 * torch.pi * position * 5 / 32)
    found = low_pass(7 + inside + outside, 4)
    at = (torch.arange(8, dtype=torch.float64) + 0.5) * 4
    expected = (7 + torch.cos(2 * torch.pi * at * 3 / 32)).expand(1, 1, 2, 8)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_low_pass_keeps_the_type_and_gives_gradients():
    half = torch.rand(1, 1, 8, 8).half()
    assert low_pass(half, 2).dtype == torch.float16
    features = torch.rand(1, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: low_pass(x, 4), features)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_strided_convolution_starts_as_the_block_mean(factor):
    features = torch.rand(2, 5, 16, 24)
    way = way_down("strided", 5, 4, 4 * factor)
    torch.testing.assert_close(way(features), to_stride(features, 4, 4 * factor))
    assert isinstance(way, StridedConv)


def test_a_way_down_draws_no_random_numbers():
    """So that networks that differ only in the way start with the same weights elsewhere."""
    drawn = []
    for way in WAYS:
        torch.manual_seed(3)
        network = build_network(NetworkConfig(weights="none", truncation=way, decoder_stride=16), 2)
        drawn.append(network.decoder.head.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("way", WAYS)
def test_up_is_bilinear_whatever_the_way(way):
    features = torch.rand(1, 2, 3, 4)
    up = way_down(way, 2, 16, 4)
    assert torch.equal(up(features), to_stride(features, 16, 4))


@pytest.mark.parametrize("kind", ["light", "dan"])
@pytest.mark.parametrize(("before", "after"), list(itertools.permutations((4, 16, 32), 2)))
def test_strided_weights_fit_every_other_stride(encoders, kind, before, after):
    build, options = BUILDERS[kind]

    def decoder(stride):
        config = NetworkConfig(
            truncation="strided", decoder_stride=stride, weights="none", **options
        )
        return build(encoders[16], config, 3).decoder

    source, target = decoder(before), decoder(after)
    for kernel in kernels(source).values():
        nn.init.uniform_(kernel, 0, 0.2)
    target.load_state_dict(fit_ways(source.state_dict(), target))
    for name, kernel in kernels(target).items():
        old = kernels(source).get(name)
        gain = torch.ones(len(kernel)) if old is None else old.sum((1, 2, 3))
        torch.testing.assert_close(kernel.sum((1, 2, 3)), gain)
    assert torch.equal(target.head.weight, source.head.weight)


def kernels(module):
    found = {k: m.weight for k, m in module.named_modules() if isinstance(m, StridedConv)}
    return {key: weight.detach() for key, weight in found.items()}


def test_output_stride_and_ways_leave_the_parameters_as_they_are():
    base = {"weights": "none", "decoder_stride": 32, "truncation": "area"}
    configs = [
        NetworkConfig(**base),
        NetworkConfig(output_stride=32, **base),
        NetworkConfig(output_stride=8, truncate_aspp=True, **base),
        NetworkConfig(**base | {"truncation": "lowpass"}),
    ]
    shapes = [
        {key: tuple(tensor.shape) for key, tensor in build_network(c, 2).state_dict().items()}
        for c in configs
    ]
    assert all(one == shapes[0] for one in shapes)


@pytest.mark.parametrize("form", ["light", "paper", "smp"])
def test_a_truncated_aspp_keeps_its_reach_in_pixels_and_costs_less(form):
    def aspp(truncate):
        config = NetworkConfig(form=form, weights="none", decoder_stride=32, truncate_aspp=truncate)
        network = build_network(config, 2).eval()
        dilations = [
            m.dilation[0]
            for m in network.decoder.aspp.modules()
            if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3) and m.dilation[0] > 1
        ]
        return max(dilations) * (32 if truncate else 16), count_macs(
            network, torch.zeros(1, 3, 128, 128)
        )

    (reach, macs), (truncated_reach, truncated_macs) = aspp(False), aspp(True)
    assert abs(truncated_reach - reach) <= 16
    assert truncated_macs < macs
