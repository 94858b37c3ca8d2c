from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn import export
from napari_blockseg.learn.checkpoint import Model, ModelSpec
from napari_blockseg.learn.export import export_onnx
from napari_blockseg.nets.build import build_network

CLASSES = (
    ClassInfo(value=1, name="Boden", color=(1, 2, 3), id=7),
    ClassInfo(value=2, name="Zelle für \u00fcben", color=(250, 0, 9)),
)
SIZES = ((1, 64, 96), (3, 31, 33), (1, 1, 1), (2, 100, 257))


def make_model(n_channels=3, **options) -> Model:
    """Return a model whose batch norms do something, as after training."""
    torch.manual_seed(0)
    config = NetworkConfig(weights="none", **options)
    network = build_network(config, len(CLASSES), n_channels).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    spec = ModelSpec(
        classes=CLASSES,
        network=config,
        train=TrainConfig(),
        normalization=Normalization(low=3, high=900),
        n_channels=n_channels,
        block=16,
        scale=0.5,
    )
    return Model(spec, network, torch.device("cpu"))


@pytest.mark.parametrize(
    ("n_channels", "options"),
    [
        (3, {"decoder_stride": 8}),
        (1, {"decoder_stride": 4, "form": "paper"}),
        (7, {"decoder_stride": 32, "image_pooling": True, "output_stride": 8}),
        (3, {"network": "dan", "decoder_stride": 8, "truncation": "strided"}),
        (3, {"form": "smp", "encoder": "resnet18", "decoder_stride": 16}),
    ],
)
def test_onnx_runtime_gives_the_same_logits_at_any_size(tmp_path, n_channels, options):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = make_model(n_channels, **options)
    done = export_onnx(model, tmp_path / "m.onnx", softmax=n_channels == 3)
    runner = export.session(done.path, threads=1)
    for n, rows, cols in SIZES:
        images = torch.rand(n, n_channels, rows, cols)
        with torch.inference_mode():
            expected = model.network(images)
        logits, *more = runner.run(None, {"images": images.numpy()})
        # Float32 sums in another order: 2e-5 of the largest logit, and no less than of 1.
        tolerance = 2e-5 * max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=tolerance)
        for probabilities in more:
            np.testing.assert_allclose(probabilities, expected.softmax(1).numpy(), atol=1e-5)
    assert bool(more) == (n_channels == 3)
    assert done.max_difference <= 2e-5 * max(1.0, done.max_logit)


def test_the_file_says_what_it_needs(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = make_model(decoder_stride=16)
    done = export_onnx(model, tmp_path / "sub" / "m.onnx")
    graph = onnx.load(str(done.path))
    said = {prop.key: json.loads(prop.value) for prop in graph.metadata_props}
    assert said["classes"] == [
        {"value": 1, "name": "Boden", "color": [1, 2, 3], "export_id": 7},
        {"value": 2, "name": "Zelle für \u00fcben", "color": [250, 0, 9], "export_id": 2},
    ]
    assert said["normalization"] == {"kind": "range", "low": 3, "high": 900}
    assert (said["scale"], said["block"], said["decoder_stride"]) == (0.5, 16, 16)
    assert said["working_grid"] == {"unit": 16, "side": 8}
    assert said["halo"] == model.network.halo
    assert said["blockseg_format"] == 1
    shape = [d.dim_param or d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["n", 3, "rows", "cols"]
    assert [p.name for p in done.path.parent.iterdir()] == ["m.onnx"]


def test_the_ideal_low_pass_is_refused(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = make_model(decoder_stride=8, truncation="lowpass")
    with pytest.raises(ModelError, match="cannot be written as ONNX"):
        export_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_differs_is_not_written(tmp_path, monkeypatch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    model = make_model()

    class Wrong(torch.nn.Module):
        def forward(self, images):
            return torch.cat([images[:, :1] + 1, images[:, 1:2]], 1)

    other = export._trace
    monkeypatch.setattr(export, "_trace", lambda network, *more: other(Wrong(), *more))
    with pytest.raises(ModelError, match="other logits than torch"):
        export_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_operation_that_onnx_lacks_is_named(tmp_path):
    pytest.importorskip("onnx")

    class Spectrum(torch.nn.Module):
        def forward(self, images):
            return torch.fft.irfft2(torch.fft.rfft2(images))

    with pytest.raises(ModelError, match="cannot be written as ONNX"):
        export.write_graph(Spectrum(), torch.rand(1, 3, 32, 32), tmp_path / "f.onnx", ["logits"])


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"needs onnxruntime.*napari-blockseg\[onnx\]"):
        export_onnx(make_model(), tmp_path / "m.onnx")
