"""Saved models are whole, whenever saving is broken off."""

from __future__ import annotations

import json

import pytest
import torch

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn import checkpoint
from napari_blockseg.learn.checkpoint import (
    ModelSpec,
    load_initial_weights,
    load_model,
    load_spec,
    save_model,
)
from napari_blockseg.nets.build import build_network

CLASSES = make_classes(["ground", "früh"])
LINEAR = NetworkConfig(network="linear", weights="none", decoder_stride=4)
DEEP = NetworkConfig(weights="none", decoder_stride=4)


def save(folder, network, steps=1, seconds=1.0, weights=None):
    spec = ModelSpec(
        classes=CLASSES,
        network=network,
        train=TrainConfig(),
        normalization=Normalization.for_dtype("uint8"),
        n_channels=3,
        block=8,
        scale=1.0,
        steps=steps,
        seconds=seconds,
    )
    save_model(folder, spec, weights or build_network(network, len(CLASSES)).state_dict())


@pytest.fixture
def broken_off(tmp_path, monkeypatch):
    """Return a folder where saving a deep network over a linear one ended between two files."""
    save(tmp_path, LINEAR)

    def killed(path, values):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path, DEEP, steps=7)
    return tmp_path


def test_a_save_that_is_broken_off_leaves_a_whole_model(broken_off):
    assert json.loads((broken_off / "model.json").read_text("utf-8"))["steps"] == 1
    model = load_model(broken_off, "cpu")
    assert (model.spec.network, model.spec.steps) == (DEEP, 7)
    assert model.spec.classes == CLASSES
    assert load_spec(broken_off) == model.spec
    begun = build_network(DEEP, len(CLASSES))
    load_initial_weights(begun, CLASSES, 3, broken_off)
    head = model.network.state_dict()["decoder.head.weight"]
    assert torch.equal(begun.state_dict()["decoder.head.weight"], head)
    save(broken_off, LINEAR, steps=9)
    assert load_model(broken_off, "cpu").spec.network == LINEAR


def test_who_reads_while_another_saves_gets_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    """The reader has opened the old weights when both files are replaced."""
    save(tmp_path, LINEAR)
    read = checkpoint._read_tensors

    def overtaken(path):
        found = read(path)
        save(tmp_path, DEEP)
        return found

    monkeypatch.setattr(checkpoint, "_read_tensors", overtaken)
    assert load_model(tmp_path, "cpu").spec.network == LINEAR


@pytest.mark.parametrize("digest", ["kept", "dropped"])
def test_what_somebody_wrote_into_the_description_counts(tmp_path, digest):
    save(tmp_path, LINEAR)
    path = tmp_path / "model.json"
    values = json.loads(path.read_text("utf-8")) | {"steps": 500}
    if digest == "dropped":
        del values["saved"]
    path.write_text(json.dumps(values), "utf-8")
    assert load_model(tmp_path, "cpu").spec.steps == load_spec(tmp_path).steps == 500


def test_the_same_weights_are_the_same_file_however_long_they_took(tmp_path):
    weights = build_network(LINEAR, len(CLASSES)).state_dict()
    for name, seconds in (("a", 1.0), ("b", 2.0)):
        save(tmp_path / name, LINEAR, seconds=seconds, weights=weights)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert files[0] == files[1]
    assert [load_spec(tmp_path / name).seconds for name in "ab"] == [1.0, 2.0]
