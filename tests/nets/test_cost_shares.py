"""Times predicted from shapes alone, beside those that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.cost_shares import predicted_seconds

TIMING = Path(__file__).parents[2] / "benchmarks" / "results" / "truncation" / "timing.json"


def test_ratios_are_those_of_the_study():
    measured = {
        name: one["inference"]["torch"]["full"]["seconds"]
        for name, one in json.loads(TIMING.read_text("utf-8"))["variants"].items()
    }
    full, halved = predicted_seconds(NetworkConfig(decoder_stride=4), [1.0, 0.5], 21)
    (coarse,) = predicted_seconds(NetworkConfig(decoder_stride=4, output_stride=32), [1.0], 21)
    for found, name in ((halved, "light_halved"), (coarse, "light_os32")):
        assert found / full == pytest.approx(measured[name] / measured["light_4"], rel=0.25)
    # By arithmetic alone it would be 0.57: small grids cost more than their multiply-adds.
    assert coarse / full > 0.6
