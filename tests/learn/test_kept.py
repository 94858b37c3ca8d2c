"""Which checkpoints a training keeps, and of which step."""

from __future__ import annotations

import json

import pytest
import torch

from napari_blockseg.core.errors import ModelError
from napari_blockseg.learn.checkpoint import read_weights
from napari_blockseg.learn.kept import kept_checkpoints
from napari_blockseg.learn.train import Training, train


def steps_of(folder):
    return {one.moment: one.step for one in kept_checkpoints(folder)}


def weights_of(folder, moment):
    (kept,) = [one for one in kept_checkpoints(folder) if one.moment == moment]
    return read_weights(kept.path)


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_start_is_before_the_first_step_and_early_after_a_tenth(
    make_images, classes, network, quick, tmp_path
):
    training = Training(make_images(1), classes, network, quick(steps=20), out=tmp_path)
    live = training.live_model().network
    copies = {}
    for report in training.reports():
        if report.type in ("train_started", "train_step"):
            step = getattr(report, "step", 0)
            copies[step] = {name: value.clone() for name, value in live.state_dict().items()}
            if step == 3:
                break
    assert steps_of(tmp_path) == {"start": 0, "early": 2}
    assert same(weights_of(tmp_path, "start"), copies[0])
    assert same(weights_of(tmp_path, "early"), copies[2])
    assert not same(copies[0], copies[2])
    index = json.loads((tmp_path / "checkpoints" / "checkpoints.json").read_text())
    assert index["moments"] == {"start": {"step": 0}, "early": {"step": 2}}


def test_the_keys_are_those_of_the_model(make_images, classes, network, quick, tmp_path):
    list(train(make_images(1), classes, network, quick(steps=2), out=tmp_path))
    model = read_weights(tmp_path / "model.safetensors")
    assert weights_of(tmp_path, "start").keys() == model.keys()


def test_resume_keeps_the_start_of_the_run(make_images, classes, network, quick, tmp_path):
    images, config = make_images(1), quick(steps=20)
    reports = train(images, classes, network, config, out=tmp_path)
    for report in reports:
        if report.type == "train_step":
            break
    reports.close()
    start = weights_of(tmp_path, "start")
    assert steps_of(tmp_path) == {"start": 0}
    for report in train(images, classes, network, config, out=tmp_path, resume=True):
        if report.type == "train_step" and report.step == 3:
            break
    assert same(weights_of(tmp_path, "start"), start)
    assert steps_of(tmp_path) == {"start": 0, "early": 2}


def test_going_on_after_the_early_part_leaves_it(make_images, classes, network, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, network, quick(steps=2), out=tmp_path))
    early = weights_of(tmp_path, "early")
    list(train(images, classes, network, quick(steps=3), out=tmp_path, resume=True))
    assert steps_of(tmp_path) == {"start": 0, "early": 1}
    assert same(weights_of(tmp_path, "early"), early)


def test_a_new_run_forgets_those_of_the_old_one(make_images, classes, network, quick, tmp_path):
    images = make_images(1)
    list(train(images, classes, network, quick(steps=2), out=tmp_path))
    reports = train(images, classes, network, quick(steps=50, seed=1), out=tmp_path)
    next(reports)
    assert steps_of(tmp_path) == {"start": 0}
    reports.close()


def test_nothing_is_kept_unless_asked_for(make_images, classes, network, quick, tmp_path):
    config = quick(steps=2, keep_checkpoints=False)
    list(train(make_images(1), classes, network, config, out=tmp_path))
    assert kept_checkpoints(tmp_path) == []
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"moments": {"start": {}}}'])
def test_a_damaged_index_is_named(tmp_path, text):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoints.json").write_text(text)
    with pytest.raises(ModelError, match=r"checkpoints.json is damaged.*delete the folder"):
        kept_checkpoints(tmp_path)
