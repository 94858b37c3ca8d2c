from __future__ import annotations

import pytest

from .conftest import untrained_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return untrained_model(tmp_path_factory.mktemp("saved") / "run")


def test_export_writes_a_file_and_says_how_well_it_agrees(run, saved, tmp_path, load_json):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    out, results = tmp_path / "m.onnx", tmp_path / "m.json"
    said = run("export", saved, "--format", "onnx", "--out", out, "--softmax", "--json", results)
    assert "differ from torch's by at most" in said.out
    found = load_json(results)
    assert found["bytes"] == out.stat().st_size
    assert [c["name"] for c in found["metadata"]["classes"]] == ["a", "b"]
    assert 0 <= found["max_difference"] < 1e-4
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_outputs()] == found["outputs"]
    assert found["outputs"] == ["logits", "probabilities"]


def test_an_unknown_format_is_wrong_use(run, saved, tmp_path):
    said = run("export", saved, "--format", "tflite", "--out", tmp_path / "m", expect=2)
    assert "expected onnx" in " ".join(said.err.split())
