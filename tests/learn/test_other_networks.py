"""Training, saving, loading and going on with every network but the default one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.reports import Notice, TrainStep
from napari_blockseg.learn.checkpoint import load_model, load_weights, read_weights
from napari_blockseg.learn.train import train
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.truncation import fit_ways

#: What a NetworkConfig of the first versions did not have.
NEW_FIELDS = ("truncation", "truncate_aspp")
NETWORKS = [
    {"network": "dan", "decoder_stride": 8},
    {"truncation": "area", "decoder_stride": 8},
    {"truncation": "strided", "decoder_stride": 16},
    {"form": "smp", "decoder_stride": 8},
    {"output_stride": 32, "truncate_aspp": True, "decoder_stride": 32},
]


@pytest.mark.parametrize("options", NETWORKS, ids=str)
def test_train_save_load(make_images, classes, quick, tmp_path, options):
    network = NetworkConfig(weights="none", **options)
    config = quick(steps=2, loss="soft")
    reports = list(train(make_images(1), classes, network, config, out=tmp_path))
    assert reports[-1].steps == 2
    model = load_model(tmp_path, "cpu")
    assert model.spec.network == network
    state = read_weights(tmp_path / "model.safetensors")
    assert all(torch.equal(state[key], t) for key, t in model.network.state_dict().items())
    with torch.inference_mode():
        logits = model.network(torch.rand(1, 3, 50, 70))
    assert logits.shape == (1, 2, 50, 70)
    assert logits.isfinite().all()


def test_a_model_from_before_the_new_fields_gives_the_same_logits(trained, tmp_path):
    folder, _ = trained
    spec = json.loads((folder / "model.json").read_text("utf-8"))
    for field in NEW_FIELDS:
        del spec["network"][field]
    (tmp_path / "model.json").write_text(json.dumps(spec), "utf-8")
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    old, new = load_model(tmp_path, "cpu"), load_model(folder, "cpu")
    # There was one way down.
    assert old.spec.network == new.spec.network.model_copy(update={"truncation": "area"})
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(old.network(image), new.network(image))


def test_a_run_from_before_the_new_fields_goes_on(make_images, classes, network, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, network, quick(steps=1), out=tmp_path))
    path = tmp_path / "resume.safetensors"
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        state = json.loads(file.metadata()["state"])
    for field in NEW_FIELDS:
        del state["network"][field]
    save_file(tensors, path, {"state": json.dumps(state)})
    reports = list(train(images, classes, network, quick(steps=2), out=tmp_path, resume=True))
    assert [r.step for r in reports if isinstance(r, TrainStep)] == [2]


@pytest.mark.parametrize("kind", ["deeplabv3plus", "dan"])
def test_init_from_another_stride(make_images, classes, quick, tmp_path, kind):
    """A learned way down has a kernel of another size at another stride; all else is the same."""
    images, options = make_images(1), {"network": kind, "truncation": "strided", "weights": "none"}
    eight, sixteen = (NetworkConfig(decoder_stride=s, **options) for s in (8, 16))
    list(train(images, classes, eight, quick(steps=1), out=tmp_path / "a"))
    config = quick(steps=1, learning_rate=1e-9, weight_decay=0)
    reports = list(train(images, classes, sixteen, config, out=tmp_path / "b", init=tmp_path / "a"))
    assert any("2 of 2 classes" in r.message for r in reports if isinstance(r, Notice))
    before = read_weights(tmp_path / "a" / "model.safetensors")
    after = read_weights(tmp_path / "b" / "model.safetensors")
    np.testing.assert_allclose(
        after["decoder.head.weight"].numpy(), before["decoder.head.weight"].numpy(), atol=1e-6
    )


def test_a_damaged_file_is_not_mended_on_loading():
    """fit_ways is for other strides only: a model's own file must hold all of its tensors."""
    config = NetworkConfig(weights="none", truncation="strided", decoder_stride=8)
    network = build_network(config, 2)
    state = {k: v for k, v in network.state_dict().items() if not k.endswith("_way.weight")}
    assert fit_ways(state, network).keys() == network.state_dict().keys()
    with pytest.raises(Exception, match="do not belong together"):
        load_weights(network, state, "a file")
