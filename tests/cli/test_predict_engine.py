from __future__ import annotations

import pytest

from napari_blockseg.cli.prediction import Work

from .conftest import untrained_model


def test_predict_says_what_computed_and_what_is_kept(run, load_json, tmp_path, data):
    results = tmp_path / "r.json"
    model = untrained_model(tmp_path / "run")
    args = ("predict", model, data.images, "--out", tmp_path / "out", "--json", results)
    said = run(*args, "--engine", "torch", "--tile", 64, "--halo", 32)
    found = load_json(results)
    assert found["engine"] == "torch"
    # 128 x 160 pixels: two windows of 128 columns, from 0 and from 32.
    assert found["pixels"] == 3 * 128 * 160
    assert found["kept_share"] == pytest.approx(160 / (128 + 128))
    assert "62% of them are kept" in said.out
    refused = " ".join(run(*args, "--engine", "jax", expect=2).err.split())
    assert "Got --engine jax; expected 'auto', 'torch' or 'onnx'." in refused


def test_nothing_predicted_is_nothing_said():
    assert str(Work()) == ""
    assert Work().kept_share is None
