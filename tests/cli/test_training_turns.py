"""A training in the worker gives the others a turn wherever it computes for long."""

from __future__ import annotations

import json

import pytest

from napari_blockseg.cli.worker.jobs import Workbench
from napari_blockseg.cli.worker.messages import Predict, Train
from napari_blockseg.core.errors import ModelError


@pytest.fixture
def training(project):
    """Return a bench, and the messages of a training on it that is scored after every step."""
    bench = Workbench()
    config = {"steps": 50, "batch_size": 2, "crop": 64, "device": "cpu", "validate_every": 1}
    request = {"id": 1, "type": "train", "project": str(project), "run": "run", "train": config}
    steps = bench.train(Train.model_validate(request))
    yield bench, steps
    steps.close()


def kinds_until(steps, kind):
    seen = []
    while not seen or seen[-1] != kind:
        message = next(steps)
        seen.append(message and message["type"])
    return seen


def test_others_have_a_turn_before_the_first_step_and_while_it_is_scored(training, project):
    bench, steps = training
    assert kinds_until(steps, "train_started").count(None) > 4
    assert None not in kinds_until(steps, "train_step")
    assert next(steps) is None, "pause and stop are heard before all is scored"
    steps.close()
    assert bench.stopped_report()["steps"] == 1
    assert json.loads((project / "models" / "run" / "model.json").read_text())["steps"] == 1


def test_a_network_that_is_not_ready_is_not_previewed(training, project):
    bench, steps = training
    kinds_until(steps, None)
    request = {"id": 2, "type": "predict", "project": str(project), "image_id": "scene_0"}
    live = Predict.model_validate(request | {"model": "live", "out": "predictions/live.tif"})
    with pytest.raises(ModelError, match=r"made ready.*Ask again in a few seconds"):
        list(bench.predict(live))
    kinds_until(steps, "train_started")
    assert list(bench.predict(live))[-1]["type"] == "predict_done"
