"""Spectra of layers, against maps whose spectrum is known and against the gradient's formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.spectrum import (
    energy_below,
    gradient_by_frequency,
    label_spectrum,
    one_hot,
)
from napari_blockseg.learn.analysis.layers import EnergySum, LayerProbe, LayerSums, Seen
from napari_blockseg.learn.analysis.observe import run_network
from napari_blockseg.learn.analysis.pieces import cut_image
from napari_blockseg.learn.analysis.run import analysis_cutoffs
from napari_blockseg.learn.checkpoint import ModelSpec
from napari_blockseg.learn.data import TrainingImage, class_lookup
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import Network


def wave(rows, cols, up=0, across=0):
    """Return a cosine with so many periods down and across."""
    row, col = np.mgrid[:rows, :cols]
    return np.cos(2 * np.pi * (up * row / rows + across * col / cols))


# -- energy --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "cols"), [(32, 48), (33, 49), (32, 49)])
def test_a_wave_lies_at_its_frequency(rows, cols):
    total = EnergySum(np.array([0.0, 3.9 / cols, 4 / cols, 0.5]))
    total.add(torch.from_numpy(5 + wave(rows, cols, up=1, across=4))[None])
    assert total.shares() == pytest.approx([0, 0, 1, 1], abs=1e-6)
    # 25 of 25.5 is the square of the mean.
    assert total.mean_share() == pytest.approx(25 / 25.5, rel=1e-5)


def test_energies_of_channels_and_images_add_up():
    """Two channels in one image, one in a larger one: 4 + 1 parts high, 2 * (1 / 2) low."""
    total = EnergySum(np.array([0.1, 0.5]))
    high, low = wave(32, 32, up=16), wave(32, 32, up=2)
    total.add(torch.from_numpy(np.stack([2 * high, np.sqrt(2) * low])))
    total.add(torch.from_numpy(wave(32, 64, up=16))[None])
    in_the_low = 1 * 32 * 32
    whole = in_the_low + 4 * 32 * 32 + 1 * 32 * 64
    assert total.shares() == pytest.approx([in_the_low / whole, 1.0], rel=1e-5)


def test_a_constant_has_no_shares():
    total = EnergySum(np.array([0.1, 0.5]))
    total.add(torch.full((3, 20, 30), 7.3))
    assert total.shares() == [None, None]
    assert total.mean_share() == pytest.approx(1.0)
    assert EnergySum(np.array([0.5])).mean_share() is None


def test_nothing_is_said_above_the_nyquist_of_the_grid():
    total = EnergySum(np.array([0.25, 0.5, 0.6]))
    total.add(torch.rand(1, 16, 16))
    assert total.shares()[1:] == [1.0, None]


def test_energy_of_one_hot_maps_is_the_label_spectrum():
    values = np.random.default_rng(0).integers(1, 5, (40, 27)).repeat(3, 0)
    cutoffs = np.array([0.05, 0.1, 0.2, 0.5])
    total = EnergySum(cutoffs)
    total.add(torch.from_numpy(one_hot(values, 4)))
    wanted = label_spectrum(values, 4, 1, cutoffs).mean
    assert total.shares() == pytest.approx(wanted, rel=1e-5)


def test_many_channels_are_taken_in_parts(monkeypatch):
    from napari_blockseg.learn.analysis import layers

    maps = torch.rand(7, 24, 20)
    whole, parts = EnergySum(np.array([0.2, 0.5])), EnergySum(np.array([0.2, 0.5]))
    whole.add(maps)
    monkeypatch.setattr(layers, "_CHUNK_VALUES", 1000)
    parts.add(maps)
    assert parts.shares() == pytest.approx(whole.shares(), rel=1e-6)


# -- a network small enough to know its spectra --------------------------------------------------


class Same(nn.Module):
    """An encoder whose only stage is the image."""

    strides, channels, n_channels = (1,), (3,), 3

    def forward(self, images):
        return [images]


class Straight(nn.Module):
    """A decoder that is one circular convolution from features to logits."""

    def __init__(self, n_classes):
        super().__init__()
        self.head = nn.Conv2d(3, n_classes, 3, padding=1, padding_mode="circular")

    def forward(self, features):
        return self.head(features[0])


@pytest.fixture
def linear():
    torch.manual_seed(1)
    network = Network(Same(), Straight(3), decoder_stride=1, halo=0)
    return network.eval().requires_grad_(False)


def piece_of(pixels, values, block=1, scale=1.0, n_classes=3):
    spec = ModelSpec(
        classes=make_classes([f"c{i}" for i in range(n_classes)]),
        network=NetworkConfig(),
        train=TrainConfig(),
        normalization=Normalization(),
        n_channels=pixels.shape[2],
        block=block,
        scale=scale,
    )
    labels = BlockLabels.from_mask(values, block, n_classes)
    image = TrainingImage("x", pixels, labels)
    (piece,) = cut_image(image, spec, class_lookup(spec.classes) + 1)
    return piece


def random_image(rows, cols, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)


def look(network, piece, kind="pixel", layers=True):
    weights = torch.ones(3)
    return run_network(network, piece, torch.device("cpu"), weights, kind, layers)


def test_the_spectrum_of_a_stage_is_that_of_the_image(linear):
    pixels = np.round(127 + 100 * wave(32, 64, across=16))[..., None].repeat(3, 2).astype(np.uint8)
    piece = piece_of(pixels, np.ones((32, 64), int))
    cutoffs = analysis_cutoffs(1.0, 1)
    sums = LayerSums(cutoffs, 1.0, 0.05)
    seen = look(linear, piece)
    sums.add(seen.layers, (32, 64), seen.padded)
    stage, logits = sums.spectra()
    assert (stage.name, logits.name) == ("encoder stage 1", "logits")
    # 16 periods over 64 pixels: a quarter cycle a pixel, which stride 2 still shows.
    for layer in (stage, logits):
        below = [s for c, s in zip(layer.cutoffs, layer.activations, strict=True) if c < 0.249]
        assert max(below) < 1e-3
        assert layer.activations[-1] == 1
        assert layer.truncatable_to == 2


@pytest.mark.parametrize("labelled", [1.0, 0.3])
@pytest.mark.parametrize(("rows", "cols"), [(32, 32), (64, 96)])
def test_the_gradient_is_that_of_identity_six(linear, labelled, rows, cols):
    rng = np.random.default_rng(3)
    values = rng.integers(1, 4, (rows, cols)) * (rng.random((rows, cols)) < labelled)
    piece = piece_of(random_image(rows, cols), values)
    seen = look(linear, piece)
    weight = linear.decoder.head.weight.numpy().astype(float)
    kernels = np.zeros((3, 3, rows, cols))
    for i in range(3):
        for j in range(3):
            # torch correlates: the kernel of the convolution is the mirrored weight.
            kernels[:, :, (1 - i) % rows, (1 - j) % cols] = weight[:, :, i, j]
    chances = np.exp(seen.logits) / np.exp(seen.logits).sum(0)
    wanted = gradient_by_frequency(
        np.fft.rfft2(kernels), chances * (values > 0), one_hot(values, 3)
    ) / np.count_nonzero(values)
    found = np.fft.rfft2(seen.layers[0].output.grad[0].double().numpy())
    assert np.abs(found - wanted).max() < 1e-5 * np.abs(wanted).max()
    cutoffs = analysis_cutoffs(1.0, 1)
    sums = LayerSums(cutoffs, 1.0, 0.05)
    sums.add(seen.layers, (rows, cols), seen.padded)
    below = energy_below(np.abs(wanted) ** 2, (rows, cols), cutoffs).sum(0)
    assert sums.spectra()[0].gradients == pytest.approx(below / below[-1], rel=1e-4, abs=1e-6)


def test_without_layers_nothing_is_kept(linear):
    seen = look(linear, piece_of(random_image(32, 32), np.ones((32, 32), int)), layers=False)
    assert seen.layers == []
    assert not seen.coarse.requires_grad


def test_hooks_are_gone_also_after_an_error(linear):
    with pytest.raises(RuntimeError), LayerProbe(linear).listening() as seen:
        linear.decoder(linear.encoder(torch.zeros(1, 7, 32, 32)))
    assert [one.name for one in seen] == ["encoder stage 1"]
    linear(torch.zeros(1, 3, 32, 32))
    assert len(seen) == 1
    assert not any(module._forward_hooks for module in linear.modules())


def test_cells_of_the_padding_do_not_count():
    """20 x 17 pixels on a grid of 8 are 3 x 3 cells, though the network pads them to 32 x 32."""
    output = torch.full((1, 2, 4, 4), 1e6)
    output[:, :, :3, :3] = torch.rand(2, 3, 3)
    output.requires_grad_().grad = output.detach().flip(1)
    sums = LayerSums(analysis_cutoffs(1.0, 1), 1.0, 0.05)
    sums.add([Seen("x", "decoder", output)], (20, 17), (32, 32))
    total = EnergySum(analysis_cutoffs(1.0, 1) * 8)
    total.add(output[0, :, :3, :3])
    (layer,) = sums.spectra()
    assert layer.activations == tuple(total.shares())
    assert layer.activations_mean == total.mean_share() < 1 - 1e-3
    assert layer.gradients == pytest.approx(layer.activations)


# -- real networks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"form": "paper"}, {"network": "dan", "encoder": "resnet18"}]
)
@pytest.mark.parametrize("stride", [4, 16])
def test_every_layer_of_a_network_is_seen(options, stride):
    config = NetworkConfig(weights="none", decoder_stride=stride, **options)
    network = build_network(config, 3).eval().requires_grad_(False)
    if network.decoder.detail is not None:  # it starts at zero, which has no spectrum
        torch.nn.init.normal_(network.decoder.detail.phases.weight)
    # Neither a multiple of 32 nor of the block: padding must not count.
    piece = piece_of(random_image(72, 90), np.ones((72, 90), int), block=8)
    sums = LayerSums(analysis_cutoffs(1.0, 8), 1.0, 0.05)
    seen = look(network, piece, kind="block")
    sums.add(seen.layers, (72, 96), seen.padded)
    layers = {layer.name: layer for layer in sums.spectra()}
    strides = [one.stride for name, one in layers.items() if name.startswith("encoder")]
    assert strides == list(network.encoder.strides)
    if config.network == "dan":
        assert {"node 1", "node 2", "node 3"} <= layers.keys()
    else:
        assert layers["ASPP"].stride == 16
        assert layers["low-level projection"].stride == stride
    assert layers["fused features"].stride == stride
    # With a shortcut they are what comes out in the end, detail and all.
    whole = network.shortcut is not None
    assert layers["logits"].stride == (network.logits_stride if whole else stride)
    assert ("detail of the logits" in layers) == (stride > 4)
    for layer in layers.values():
        pairs = zip(layer.activations, layer.gradients, strict=True)
        at = dict(zip(layer.cutoffs, pairs, strict=True))
        assert at[0.5 / layer.stride] == pytest.approx((1, 1))
        assert all(pair == (None, None) for c, pair in at.items() if c > 0.5 / layer.stride)
        shares = [share for share in layer.gradients if share is not None]
        assert shares == sorted(shares)


def test_strides_are_in_pixels_of_the_image():
    network = build_network(NetworkConfig(weights="none"), 3).eval().requires_grad_(False)
    piece = piece_of(random_image(128, 128), np.ones((128, 128), int), block=16, scale=0.5)
    sums = LayerSums(analysis_cutoffs(0.5, 16), 0.5, 0.05)
    seen = look(network, piece, kind="block")
    sums.add(seen.layers, (64, 64), seen.padded)
    first = sums.spectra()[0]
    assert first.stride == 4
    assert first.cutoffs[-1] == 0.25
    assert dict(zip(first.cutoffs, first.activations, strict=True))[0.125] == pytest.approx(1)


@pytest.mark.parametrize(("scale", "block"), [(1.0, 1), (0.5, 16), (8 / 12, 12), (1.0, 10)])
def test_cutoffs_hold_the_nyquists_of_strides_and_blocks(scale, block):
    cutoffs = analysis_cutoffs(scale, block)
    assert (np.diff(cutoffs) > 0).all()
    for stride in (1, 2, 4, 8, 16, 32):
        assert 0.5 / stride in cutoffs
    assert np.isclose(cutoffs, min(0.5, 0.5 / block / scale)).any()
    assert len(cutoffs) in (29, 30)
