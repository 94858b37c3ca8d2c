"""`cost`: what can be chosen, counted without measuring time."""

from __future__ import annotations

import pytest

from napari_blockseg.cli.costs import describe_combinations
from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.nets.cost_combinations import count_combinations

# An encoder with few layers: building and counting it takes a fifth of the time.
ENCODER = "resnet10t"
COUNT = ("cost", "--size", 64, "--no-time", "--encoder", ENCODER)


@pytest.fixture
def count(run, load_json, tmp_path):
    def counted(*args):
        said = run(*COUNT, *args, "--json", tmp_path / "cost.json").out
        return said, load_json(tmp_path / "cost.json")

    return counted


def test_counting_alone_measures_no_time(count):
    said, result = count("--form", "paper", "--truncate-aspp")
    assert result["model"] is None
    assert all(row["seconds"] is row["predicted_seconds"] is None for row in result["strides"])
    assert "Seconds:" not in said
    assert "seconds" not in said
    assert "predicted" not in said
    assert " -" not in said
    # Where the decoder's grid is coarser than the encoder's, the ASPP shrinks with it.
    whole = {row["stride"]: row["macs"] for row in count("--form", "paper")[1]["strides"]}
    cut = {row["stride"]: row["macs"] for row in result["strides"]}
    assert cut[16] == whole[16]
    assert cut[32] < 0.9 * whole[32]


def test_a_network_without_a_decoder_has_no_stride_finer_than_its_encoder(count):
    said, result = count("--network", "deeplabv3")
    assert [row["stride"] for row in result["strides"]] == [16, 32]
    assert "decoder stride 8" not in said
    assert result["encoder_only"]["macs"] < result["strides"][0]["macs"]


def test_ways_down_with_weights_of_their_own_count_them(count):
    area, polyphase = (
        {row["stride"]: row for row in count("--truncation", way)[1]["strides"]}
        for way in ("area", "polyphase")
    )
    assert polyphase[4]["params"] == area[4]["params"]
    assert polyphase[16]["params"] > area[16]["params"]
    assert polyphase[16]["macs"] > area[16]["macs"]


def test_combinations_in_table_and_json(count):
    said, result = count("--combinations", "--output-stride", 16)
    listed = result["combinations"]
    assert {row["output_stride"] for row in listed} == {16}
    assert {row["input_scale"] for row in listed} == {1.0, 0.5}
    assert [row["macs"] for row in listed] == sorted(row["macs"] for row in listed)
    assert all(row["cell"] == row["decoder_stride"] / row["input_scale"] for row in listed)
    assert all(row["seconds"] is None for row in listed)
    assert {"macs", "params", "peak_mib"} <= set(result["encoder_only"])
    last = said.strip().splitlines()[-1].split()
    assert last[:4] == [f"{len(listed)}.", "input", "x", "1"]
    assert last[4:9] == ["16", "4", "4", "16", "100%"]


def test_combinations_are_timed_in_turns_and_predicted(monkeypatch):
    monkeypatch.setattr("napari_blockseg.nets.cost_combinations._ROUNDS", 2)
    config = NetworkConfig(encoder=ENCODER)
    result = count_combinations(config, 64, n_classes=2, output_strides=(32,))
    listed, model = result["combinations"], result["model"]
    assert all(row["seconds"] > 0 and row["predicted_seconds"] > 0 for row in listed)
    assert sorted(model["fitted_on"] + model["checked_on"]) == list(range(len(listed)))
    checked = [listed[place] for place in model["checked_on"]]
    errors = [abs(row["predicted_seconds"] / row["seconds"] - 1) for row in checked]
    assert model["worst_error"] == pytest.approx(max(errors), rel=0.02)
    # The reader counts from 1.
    first, *others = (str(place + 1) for place in model["fitted_on"])
    said = describe_combinations(result, 64)
    assert f"fitted on numbers {first}, {others[0]} and" in said
    assert "seconds  x encoder  predicted s" in said
