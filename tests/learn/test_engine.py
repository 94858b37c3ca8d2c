from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.learn import engine
from napari_blockseg.learn.checkpoint import Model, load_model
from napari_blockseg.learn.engine import OnnxNetwork, engine_name, for_prediction
from napari_blockseg.learn.predict import predict

from .conftest import scene


@pytest.fixture(scope="module")
def model(trained):
    return load_model(trained[0], "cpu")


def everything(model):
    steps = predict(
        model, scene(5, (200, 300))[0], PredictConfig(tile=96, halo=32), probabilities=True
    )
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_every_engine_predicts_the_same(model, name):
    if name == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    expected = everything(model)
    ready = for_prediction(model, name)
    assert engine_name(ready) == name
    found = everything(ready)
    # Half of float16's step at 1, and one more for a probability that lies on its edge.
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-3)
    assert (found.mask == expected.mask).mean() > 0.999
    images = torch.rand(2, 3, 75, 64)
    with torch.inference_mode():
        logits, whole = ready.network.coarse_logits(images), ready.network(images)
        torch.testing.assert_close(logits, model.network.coarse_logits(images), rtol=0, atol=1e-4)
    assert whole.shape == (2, 2, 75, 64)


def test_auto_takes_onnx_for_much_work_only(model, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    assert engine_name(for_prediction(model, "auto", 1e5)) == "torch"
    assert engine_name(for_prediction(model, "auto", 1e9)) == "onnx"
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    assert engine_name(for_prediction(model, "auto", 1e9)) == "torch"


def test_auto_goes_back_to_torch_where_onnx_cannot(model, monkeypatch):
    def refuse(network):
        raise ModelError("no such operation")

    monkeypatch.setattr(engine, "_session_of", refuse)
    assert engine_name(for_prediction(model, "auto", 1e9)) == "torch"
    with pytest.raises(ModelError, match="no such operation"):
        for_prediction(model, "onnx")


def test_onnx_asked_for_and_not_there(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match="Install the extra"):
        for_prediction(model, "onnx")
    elsewhere = Model(model.spec, model.network, torch.device("cuda"))
    with pytest.raises(ModelError, match="runs on the CPU"):
        for_prediction(elsewhere, "onnx")


def test_lack_of_memory_in_onnx_runtime_makes_tiles_smaller(model):
    class Full:
        def run(self, *_):
            raise RuntimeError("Failed to allocate memory for requested buffer of size 99")

    network = OnnxNetwork.__new__(OnnxNetwork)
    torch.nn.Module.__init__(network)
    network._session = Full()
    with pytest.raises(MemoryError, match="size 99"):
        network.coarse_logits(torch.zeros(1, 3, 32, 32))
