"""How a training begins: a shortcut that is fitted before the first step."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import BlockSegError, ModelError
from napari_blockseg.core.reports import TrainStep
from napari_blockseg.learn.beginning import crops_to_look_at, settling_norms
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.interactive.background import Background
from napari_blockseg.learn.interactive.features import FrozenEncoder
from napari_blockseg.learn.interactive.head import Sample, fit, fitting, measure_scaling
from napari_blockseg.learn.kept import kept_checkpoints
from napari_blockseg.learn.strides import _without_stride
from napari_blockseg.learn.train import Training, train
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import pad_to_multiple

CPU = torch.device("cpu")
PLAIN = NetworkConfig(shortcut=False)


def ready(training):
    """Let a training come to where its first step is next."""
    if not training.begun:
        for _ in training._begin():
            pass
    assert training.begun
    return training


def image_of(one):
    return torch.from_numpy(one.pixels).permute(2, 0, 1)[None].float() / 255


def some_head(frozen, images, n_classes):
    """Return a head fitted to a few points of the first image, and features of all of it."""
    padded = pad_to_multiple(images, 32)
    stages = frozen.stages(padded)
    channels = sum(stage.shape[1] for stage in stages)
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(60, channels, generator=draw)
    classes = torch.arange(60) % 2

    class Tile:
        def __init__(self):
            self.stages = tuple(stage[0] for stage in stages)

    return fit(Sample.whole(points, classes, n_classes), measure_scaling([Tile()])), stages


def test_it_knows_before_the_first_step_what_is_where(make_images, classes, quick, tmp_path):
    images = make_images(3)
    trainings = [
        ready(Training(images, classes, network, quick(), out=tmp_path / name))
        for name, network in (("a", NetworkConfig()), ("b", PLAIN))
    ]
    fitted, plain = (training.live_model() for training in trainings)
    right = {}
    for name, model in (("fitted", fitted), ("plain", plain)):
        with torch.inference_mode():
            found = model.network(image_of(images[0]))[0].argmax(0).numpy() + 1
        right[name] = np.mean(found == images[0].labels.to_mask())
    assert right["fitted"] > 0.9
    assert right["plain"] < 0.8


@pytest.mark.parametrize(
    ("weights", "brightness", "most"),
    [("imagenet", 1.0, 0.2), ("none", 1.0, 0.3), ("imagenet", 0.12, 0.6)],
)
def test_the_first_steps_see_what_was_fitted(
    make_images, classes, quick, tmp_path, weights, brightness, most
):
    """In training mode norms go by the batch: the fit must hold there, not in eval mode alone."""
    images = [
        dataclasses.replace(one, pixels=(one.pixels * brightness).astype(np.uint8))
        for one in make_images(3)
    ]
    config = NetworkConfig(weights=weights)
    training = Training(images, classes, config, quick(batch_size=8), out=tmp_path)
    losses = [one.loss for one in training.reports() if isinstance(one, TrainStep)]
    assert losses[0] < most  # chance is 0.69
    assert losses[-1] < losses[0] * 1.1, "nothing is lost that has to be learned again"


def test_norms_settle_on_the_crops_and_nothing_else_changes(make_images, classes, quick, tmp_path):
    training = Training(make_images(2), classes, PLAIN, quick(), out=tmp_path)
    network, sampler = training._network, training._data.sampler
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch.manual_seed(0)
    list(settling_norms(network.encoder, sampler, 8))
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed
    assert all("running_" in key or "num_batches" in key for key in changed)
    norms = [one for one in network.encoder.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    with torch.no_grad():
        images = pad_to_multiple(sampler.draw(32).images, 32)
        stem = network.encoder.backbone.conv_stem(
            (images - network.encoder.mean) / network.encoder.std
        )
    mean = network.encoder.backbone.bn1.running_mean
    assert float((mean - stem.mean((0, 2, 3))).abs().max()) < 0.3 * float(stem.std())


def test_norms_settle_where_memory_is_short(make_images, classes, quick, tmp_path, monkeypatch):
    training = Training(make_images(1), classes, PLAIN, quick(), out=tmp_path)
    encoder, sampler = training._network.encoder, training._data.sampler
    sizes, whole = [], type(encoder).forward

    def forward(self, images):
        if len(images) > 2:
            raise MemoryError
        sizes.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(type(encoder), "forward", forward)
    list(settling_norms(encoder, sampler, 5))
    assert sum(sizes) == 4 * 5
    assert set(sizes) <= {1, 2}

    def broken(self, images):
        sizes.append(len(images))
        raise RuntimeError("something else")

    sizes.clear()
    monkeypatch.setattr(type(encoder), "forward", broken)
    with pytest.raises(RuntimeError, match="something else"):
        list(settling_norms(encoder, sampler, 4))
    assert sizes == [4], "only what is short of memory is tried again"


def test_nothing_else_is_drawn_differently(make_images, classes, quick, tmp_path):
    """Runs with and without are paired: same weights, same crops, same changes of them."""
    images, drawn, weights = make_images(2), {}, {}
    for name, config in (("with", NetworkConfig()), ("without", PLAIN)):
        training = ready(Training(images, classes, config, quick(), out=tmp_path / name))
        weights[name] = training.live_model().network.state_dict()
        with training._state.own_randomness():
            drawn[name] = training._data.sampler.draw(3)
    assert torch.equal(drawn["with"].images, drawn["without"].images)
    # The shortcut's network begins with norms that have seen some crops.
    others = [
        key
        for key in weights["without"]
        if not key.startswith("decoder.head.") and "running_" not in key and "num_" not in key
    ]
    assert all(torch.equal(weights["with"][key], weights["without"][key]) for key in others)


def test_a_class_that_nobody_painted_is_unlikely_not_impossible(make_images, quick, tmp_path):
    three = make_classes(["ground", "disk", "later"])
    training = ready(Training(make_images(2), three, NetworkConfig(), quick(), out=tmp_path))
    shortcut = training.live_model().network.shortcut.state_dict()
    bias = shortcut["head.bias"]
    assert bias[:2].min() - 3 < bias[2] < bias[:2].min()
    assert float(shortcut["head.weight"][2].abs().max()) < 1e-3


def test_one_class_in_the_crops_changes_nothing(make_images, classes, quick, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "napari_blockseg.learn.beginning.label_points",
        lambda cells, width: (np.ones((3, 2), np.float32), np.zeros(3, np.int64)),
    )
    training = ready(Training(make_images(1), classes, NetworkConfig(), quick(), out=tmp_path))
    network = training.live_model().network
    assert not network.shortcut.head.weight.any()
    assert network.decoder.head.weight.any(), "it begins as a network without a shortcut does"


@pytest.mark.parametrize(
    ("length", "crops"),
    [
        ({"steps": 1000}, 96),
        ({"steps": 200}, 80 * 2),
        ({"steps": 1}, 8),
        ({"minutes": 10}, 96),
        ({"minutes": 1}, 24),
        ({"minutes": 0.1}, 8),
    ],
)
def test_a_short_run_looks_at_few_crops(length, crops):
    assert crops_to_look_at(TrainConfig(**length)) == min(96, crops)


def as_before(folder, out):
    """Copy a model made without a shortcut, as it was written before there were any."""
    shutil.copytree(folder, out)
    spec = json.loads((out / "model.json").read_text())
    del spec["network"]["shortcut"]
    (out / "model.json").write_text(json.dumps(spec))
    return out


def test_models_of_earlier_versions_have_none(make_images, classes, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, PLAIN, quick(), out=tmp_path / "new"))
    old = load_model(as_before(tmp_path / "new", tmp_path / "old"), "cpu")
    assert old.network.shortcut is None
    new = load_model(tmp_path / "new", "cpu")
    with torch.inference_mode():
        same = [model.network(image_of(images[0])) for model in (old, new)]
    assert torch.equal(*same)
    # And a network that has one starts from them as they are.
    training = Training(
        images, classes, NetworkConfig(), quick(), out=tmp_path / "next", init=tmp_path / "old"
    )
    with torch.inference_mode():
        begun = training.live_model().network(image_of(images[0]))
    torch.testing.assert_close(begun, same[0])


def test_a_model_with_one_does_not_start_a_network_without(make_images, classes, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, NetworkConfig(), quick(steps=1), out=tmp_path / "with"))
    with pytest.raises(ModelError, match=r"with a shortcut, for one without.*Leave --no-shortcut"):
        Training(images, classes, PLAIN, quick(), out=tmp_path / "next", init=tmp_path / "with")


def test_said_outright_or_left_to_the_form_it_is_one_network(make_images, classes, quick, tmp_path):
    images = make_images(1)
    run = train(images, classes, NetworkConfig(), quick(steps=4), out=tmp_path)
    while next(run).type != "train_step":
        pass
    run.close()
    same = NetworkConfig(shortcut=True)
    reports = list(train(images, classes, same, quick(steps=4), out=tmp_path, resume=True))
    assert reports[-1].steps == 4
    assert _without_stride(NetworkConfig(form="paper")) == _without_stride(
        NetworkConfig(form="paper", shortcut=False)
    )


def test_runs_of_earlier_versions_go_on_without(make_images, classes, quick, tmp_path):
    images, out = make_images(1), tmp_path / "run"
    steps = train(images, classes, PLAIN, quick(steps=6), out=out)
    while next(steps).type != "train_step":
        pass
    steps.close()
    state = out / "resume.safetensors"
    tensors = load_file(state)
    from safetensors import safe_open

    with safe_open(state, framework="pt") as file:
        about = json.loads(file.metadata()["state"])
    del about["network"]["shortcut"]
    save_file(tensors, state, metadata={"state": json.dumps(about)})
    reports = list(train(images, classes, NetworkConfig(), quick(steps=6), out=out, resume=True))
    assert reports[-1].steps == 6
    assert load_model(out, "cpu").network.shortcut is None


def test_the_network_behind_begins_as_the_head(make_images, classes, quick):
    images = make_images(1)
    network = build_network(NetworkConfig(decoder_stride=4), 2)
    frozen = FrozenEncoder(network.encoder, NetworkConfig(), CPU)
    head, stages = some_head(frozen, image_of(images[0]), 2)
    behind = Background(
        network, frozen, images, classes, NetworkConfig(decoder_stride=4), quick(), print
    )
    behind._begin_with(head)
    said = head.coarse(stages, frozen.strides)
    with torch.inference_mode():
        found = behind.model(None, 0.0).network.coarse_logits(image_of(images[0]))
    torch.testing.assert_close(found, said, rtol=1e-3, atol=1e-3)
    # What the decoder has learned meanwhile stays when the head learns something new.
    behind._network.decoder.head.weight.data.fill_(0.5)
    other, _ = some_head(frozen, image_of(images[0]) * 0.5, 2)
    behind._begin_with(other)
    assert float(behind._network.decoder.head.weight.detach().min()) == 0.5
    expected = other.folded()[0].T
    torch.testing.assert_close(behind._network.shortcut.head.weight.detach()[:, :, 0, 0], expected)
    behind.learn(other)
    report = behind.learn(other)
    assert report is None or np.isfinite(report)
    moved = behind._network.shortcut.head.weight.detach()[:, :, 0, 0]
    assert not torch.equal(moved, expected), "it learns on from the head, and is not set back to it"


@pytest.mark.parametrize("what", [{"network": "linear"}, {"form": "smp", "encoder": "resnet18"}])
def test_what_cannot_have_one_says_so(what):
    with pytest.raises((BlockSegError, ValueError), match="has no shortcut; take deeplabv3plus"):
        NetworkConfig(shortcut=True, **what)


def test_who_has_one():
    assert NetworkConfig().has_shortcut
    assert NetworkConfig(network="dan").has_shortcut
    assert not NetworkConfig(form="paper").has_shortcut
    assert not NetworkConfig(network="deeplabv3").has_shortcut
    assert not NetworkConfig(shortcut=False).has_shortcut
    assert NetworkConfig(form="paper", shortcut=True).has_shortcut


def test_dense_masks_do_not_fill_the_memory(make_images, classes, quick, tmp_path, monkeypatch):
    """Of dense masks a crop has thousands of labelled points; few of each are looked at."""
    seen = []
    monkeypatch.setattr(
        "napari_blockseg.learn.beginning.fitting",
        lambda sample, scaling: seen.append(len(sample.points)) or fitting(sample, scaling),
    )
    monkeypatch.setattr("napari_blockseg.learn.beginning.MAX_POINTS", 800)
    ready(Training(make_images(1, block=1), classes, NetworkConfig(), quick(), out=tmp_path))
    assert 400 <= seen[0] <= 800


# -- in turns ------------------------------------------------------------------------------------


def test_getting_ready_takes_turns(make_images, classes, quick, tmp_path):
    """Others are served between its pieces: a batch of crops, a crop, some iterations."""
    others, theirs = torch.get_rng_state(), []
    turns = Training(make_images(1), classes, NetworkConfig(), quick(), out=tmp_path).turns()
    for report in turns:
        theirs.append(torch.equal(torch.get_rng_state(), others))
        if report is not None:
            break
    assert report.type == "train_started"
    assert len(theirs) > 4 + 8 + 1
    assert all(theirs), "what is drawn is drawn from its own generator"
    turns.close()


@pytest.mark.parametrize("pieces", [1, 3, 7, 13])
def test_stopped_while_getting_ready_it_gets_ready_when_it_goes_on(
    make_images, classes, quick, tmp_path, pieces
):
    images = make_images(1)
    list(train(images, classes, NetworkConfig(), quick(), out=tmp_path / "straight"))
    turns = Training(images, classes, NetworkConfig(), quick(), out=tmp_path / "stopped").turns()
    assert [next(turns) for _ in range(pieces)] == [None] * pieces
    turns.close()
    assert load_model(tmp_path / "stopped", "cpu").spec.steps == 0
    again = train(images, classes, NetworkConfig(), quick(), out=tmp_path / "stopped", resume=True)
    assert [report.type for report in again][:2] == ["train_started", "train_step"]
    one, two = (
        load_model(tmp_path / name, "cpu").network.state_dict() for name in ("straight", "stopped")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert kept_checkpoints(tmp_path / "stopped")[0].step == 0


def test_a_shortcut_is_fitted_once(make_images, classes, quick, tmp_path):
    images = make_images(1)
    turns = Training(images, classes, NetworkConfig(), quick(), out=tmp_path).turns()
    while next(turns) is None:
        pass
    turns.close()
    again = Training(images, classes, NetworkConfig(), quick(), out=tmp_path, resume=True)
    assert again.begun
    assert next(again.turns()).type == "train_started"
