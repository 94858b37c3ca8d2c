from __future__ import annotations

import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.combinations import Combination, _beats, sensible_combinations
from napari_blockseg.nets.cost import count_macs


@pytest.fixture(scope="module")
def listed():
    return sensible_combinations(NetworkConfig(), 128, scales=(1.0, 0.5), coarsest=8)


def test_multiply_adds_are_those_of_the_network(listed):
    macs = []
    for stride in (4, 8):
        network = build_network(NetworkConfig(weights="none", decoder_stride=stride), 21)
        macs.append(count_macs(network.eval(), torch.zeros(1, 3, 128, 128)))
        (one,) = (c for c in listed if key(c) == (1.0, 16, stride))
        assert one.macs == macs[-1]
        assert one.share == pytest.approx(macs[-1] / macs[0])


def test_cells_are_in_pixels_of_the_image(listed):
    for one in listed:
        assert one.cell == one.decoder_stride / one.input_scale
        assert one.encoder_cell == one.output_stride / one.input_scale
        assert 4 <= one.cell <= 8
        assert one.decoder_stride <= one.output_stride


def test_cheapest_first_and_none_beaten(listed):
    assert [one.macs for one in listed] == sorted(one.macs for one in listed)
    assert not any(_beats(a, b) for a in listed for b in listed)
    assert {(0.5, 16, 4), (1.0, 32, 8), (1.0, 8, 4)} <= {key(one) for one in listed}


def test_what_beats_what():
    def one(cell, macs):
        return Combination(1.0, 16, 8, cell=cell, encoder_cell=16, macs=macs, share=1)

    assert _beats(one(4, 10), one(8, 10))
    assert _beats(one(4, 9), one(4, 10))
    assert not _beats(one(4, 11), one(8, 10))
    assert not _beats(one(4, 10), one(4, 10))


@pytest.mark.parametrize(("size", "scale"), [(128, 0.0), (128, 2.0), (64, 0.25)])
def test_impossible_scales_are_refused(size, scale):
    with pytest.raises(NetworkError, match="Got input scale"):
        sensible_combinations(NetworkConfig(), size, scales=(scale,))


def key(one):
    return one.input_scale, one.output_stride, one.decoder_stride
