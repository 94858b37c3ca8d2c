from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.cost import count_cost, count_macs, peak_mib


def test_macs_of_a_known_convolution():
    conv = nn.Conv2d(3, 8, 5, padding=2, bias=False)
    image = torch.zeros(1, 3, 20, 30)
    assert count_macs(conv, image) == 20 * 30 * 8 * 3 * 25


def test_peak_counts_what_is_alive_at_once():
    class Chain(nn.Module):
        def forward(self, x):
            for _ in range(10):
                x = x + 1  # old and new are alive together, never more
            return x

    mib = torch.zeros(256, 1024)  # 1 MiB
    assert peak_mib(Chain(), mib) == pytest.approx(2.0, abs=0.01)


def test_cost_has_the_promised_shape_and_predicts_what_it_did_not_see():
    cost = count_cost(NetworkConfig(weights="none"), 160)
    assert [row["stride"] for row in cost["strides"]] == [4, 8, 16, 32]
    assert [row["cells"] for row in cost["strides"]] == [40**2, 20**2, 10**2, 5**2]
    common = {"macs", "bytes", "params", "seconds", "noise", "predicted_seconds", "peak_mib"}
    for row in cost["strides"]:
        assert set(row) == {"stride", "cells", "layers"} | common
        assert row["seconds"] > 0
        # Not the accuracy of the model (that is a benchmark's matter): that it is in the region.
        assert row["predicted_seconds"] == pytest.approx(row["seconds"], rel=0.6)
        assert row["peak_mib"] > row["params"] * 4 / 2**20
        assert not any(layer["module"].startswith("encoder") for layer in row["layers"])
    alone = cost["encoder_only"]
    assert set(alone) == {"layers"} | common
    for part in ("macs", "bytes", "predicted_seconds"):
        row = cost["strides"][1]
        parts = sum(layer[part] for layer in [*alone["layers"], *row["layers"]])
        assert parts == pytest.approx(row[part], rel=1e-3)
    assert cost["model"]["fitted_on"] == [4, 16]
    assert cost["model"]["checked_on"] == [8, 32]
    errors = [abs(r["predicted_seconds"] / r["seconds"] - 1) for r in cost["strides"][1::2]]
    assert cost["model"]["worst_error"] == pytest.approx(max(errors), abs=1e-3)


def test_truncation_saves_arithmetic_and_keeps_parameters():
    config = NetworkConfig(form="paper", truncation="area")
    rows = count_cost(config, 128, seconds=False)["strides"]
    macs = [row["macs"] for row in rows]
    assert macs == sorted(macs, reverse=True)
    assert macs[1] < 0.6 * macs[0]
    assert len({row["params"] for row in rows}) == 1
    assert all(row["seconds"] is row["predicted_seconds"] is None for row in rows)


def test_light_form_costs_little_more_than_its_encoder():
    cost = count_cost(NetworkConfig(), 256, seconds=False)
    assert cost["strides"][0]["macs"] < 1.25 * cost["encoder_only"]["macs"]


def test_resnet50_paper_form_agrees_with_the_published_count():
    """72.2 G multiply-adds at 513 x 513 (33 cells, at output stride 16); here 512 (32 cells)."""
    cost = count_cost(NetworkConfig(form="paper", encoder="resnet50"), 512, seconds=False)
    assert cost["strides"][0]["macs"] == pytest.approx(72.2e9 * (128 / 129) ** 2, rel=0.03)


def test_tiny_images_are_refused():
    with pytest.raises(NetworkError, match="32 pixels or more"):
        count_cost(NetworkConfig(), 8)
