from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from napari_blockseg.nets.cost_model import Rates, fit_cost_model
from napari_blockseg.nets.layers import Layer, trace_layers, with_shortest_times

RATES = {
    "dense": Rates(0.03, 0.2, 0.0),
    "pointwise": Rates(0.02, 0.0, 5.0),
    "move": Rates(0.0, 0.3, 1.0),
}


def timed(layer: Layer) -> Layer:
    rates = RATES[layer.kind]
    seconds = rates.per_gmac * layer.macs / 1e9 + rates.per_gbyte * layer.moved / 1e9
    return replace(layer, seconds=seconds + rates.per_thousand / 1e3)


def layers(scale: int) -> list[Layer]:
    return [
        timed(Layer("m", "op", kind, macs * scale if kind != "move" else 0, moved))
        for kind in RATES
        for macs, moved in ((10**8, 10**6), (10**7, 4 * 10**6), (3 * 10**8, 10**5))
    ]


def test_rates_are_found_again_and_hold_for_other_layers():
    small, large, other = layers(1), layers(16), layers(5)
    totals = [1.25 * sum(layer.seconds for layer in one) for one in (small, large)]
    model = fit_cost_model([small, large], totals)
    assert model.outside == pytest.approx(1.25)
    for kind, rates in RATES.items():
        assert model.rates[kind].per_gmac == pytest.approx(rates.per_gmac, abs=1e-9)
        assert model.rates[kind].per_gbyte == pytest.approx(rates.per_gbyte, abs=1e-9)
    assert model.total(other) == pytest.approx(1.25 * sum(layer.seconds for layer in other))
    assert sum(model.seconds(other)) == pytest.approx(model.total(other))


def test_a_kind_that_was_not_seen_takes_the_rates_of_dense():
    model = fit_cost_model([layers(1)], [sum(layer.seconds for layer in layers(1))])
    unseen = Layer("m", "convolution", "depthwise", 10**9, 0)
    assert model.total([unseen]) == pytest.approx(0.03, rel=1e-6)


def test_dilated_convolutions_are_nearest_to_depthwise_ones():
    slow, fast = (
        replace(timed(Layer("m", "op", "dense", 10**8, 0)), kind=kind, seconds=seconds)
        for kind, seconds in (("depthwise", 4.0), ("dense", 1.0))
    )
    model = fit_cost_model([[slow, fast]], [5.0])
    dilated, unseen = (Layer("m", "op", kind, 10**8, 0) for kind in ("dilated", "pointwise"))
    assert model.seconds([dilated, unseen]) == pytest.approx([4.0, 1.0], rel=1e-6)


def test_layers_of_a_small_network():
    network = nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.Conv2d(8, 8, 3, padding=7, dilation=7, groups=8, bias=False),
        nn.Conv2d(8, 8, 5, padding=6, dilation=3, groups=8, bias=False),
        nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU()),
        nn.Upsample(scale_factor=2, mode="bilinear"),
    ).eval()
    found = trace_layers(network, torch.zeros(1, 4, 10, 12))
    cells = 10 * 12
    assert [(layer.module, layer.kind, layer.macs) for layer in found] == [
        ("0", "dense", cells * 8 * 4 * 9),
        ("1", "depthwise", cells * 8 * 9),
        ("2", "dilated", cells * 8 * 9),
        # It reaches over 6 cells, as far as fast code goes.
        ("3", "depthwise", cells * 8 * 25),
        ("4.0", "pointwise", cells * 2 * 8),
        ("4.1", "move", 0),
        ("5", "resize", 0),
    ]
    assert found[0].moved == 4 * (4 * cells + 8 * cells + 8 * 4 * 9 + 8)
    assert found[-1].moved == 4 * (2 * cells + 2 * 4 * cells)
    assert all(layer.seconds > 0 for layer in found)


def test_small_layers_count_beside_large_ones():
    """A large layer that fits no rate must not spoil what small ones show."""
    small = [replace(layer, seconds=1e-4) for layer in [Layer("m", "op", "dense", 10**7, 0)] * 20]
    large = [replace(small[0], macs=n * 10**9, seconds=n * 0.005) for n in (1, 2)]
    model = fit_cost_model([[*small, *large]], [1.0])
    predicted = model.seconds([small[0]])[0] / model.outside
    assert predicted == pytest.approx(1e-4, rel=0.1)


def test_shortest_over_passes():
    one = Layer("m", "op", "move", 0, 8)
    runs = [[replace(one, seconds=s)] for s in (9.0, 1.0, 2.0)]
    assert with_shortest_times(runs)[0].seconds == 1.0
