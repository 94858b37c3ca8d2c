"""`evaluate` on masks written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _write(folder: Path, names: dict[str, int], **masks: list[list[int]]) -> Path:
    folder.mkdir(parents=True)
    classes = [{"id": id_, "name": name, "color": [1, 2, 3]} for name, id_ in names.items()]
    (folder / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": 255}))
    for stem, rows in masks.items():
        Image.fromarray(np.array(rows, np.uint8)).save(folder / f"{stem}.png")
    return folder


@pytest.fixture
def score(run, load_json, tmp_path):
    def call(predictions: Path, masks: Path) -> dict:
        out = tmp_path / "scores.json"
        run("evaluate", "--predictions", predictions, "--masks", masks, "--json", out)
        return load_json(out)

    return call


def test_hand_computed_scores_over_two_images(tmp_path, score):
    truth = _write(tmp_path / "truth", {"a": 0, "b": 7}, one=[[0, 0, 7, 255]], two=[[7, 7, 7, 7]])
    guess = _write(tmp_path / "guess", {"a": 1, "b": 2}, one=[[1, 2, 2, 1]], two=[[2, 2, 2, 1]])
    found = score(guess, truth)
    # a: 1 right, 1 missed, 1 too many; b: 1 + 3 right, 1 missed, 1 too many; void counts nowhere.
    assert set(found) == {"miou", "pixel_accuracy", "boundary_f", "classes"}
    assert found["classes"] == pytest.approx({"a": 1 / 3, "b": 4 / 6})
    assert found["miou"] == pytest.approx(0.5)
    assert found["pixel_accuracy"] == pytest.approx(5 / 7)


def test_classes_match_by_name_not_by_id(tmp_path, score):
    truth = _write(tmp_path / "truth", {"a": 1, "b": 2}, one=[[1, 2]])
    guess = _write(tmp_path / "guess", {"b": 1, "a": 2}, one=[[2, 1]])
    assert score(guess, truth)["miou"] == 1.0


def test_a_class_that_only_the_prediction_knows_is_wrong_everywhere(tmp_path, score):
    truth = _write(tmp_path / "truth", {"a": 1, "b": 2}, one=[[1, 1, 2, 2]])
    guess = _write(tmp_path / "guess", {"a": 1, "b": 2, "c": 3}, one=[[1, 3, 2, 2]])
    assert score(guess, truth)["classes"] == {"a": 0.5, "b": 1.0}


def test_a_class_that_no_mask_has_is_null_and_not_in_the_mean(tmp_path, score):
    truth = _write(tmp_path / "truth", {"a": 1, "b": 2, "c": 3}, one=[[1, 1, 2, 2]])
    guess = _write(tmp_path / "guess", {"a": 1, "b": 2, "c": 3}, one=[[1, 1, 2, 2]])
    found = score(guess, truth)
    assert found["classes"] == {"a": 1.0, "b": 1.0, "c": None}
    assert found["miou"] == 1.0


def test_what_does_not_match_is_counted_and_skipped(tmp_path, run):
    truth = _write(tmp_path / "truth", {"a": 1, "b": 2}, one=[[1, 2]], two=[[1, 2]])
    guess = _write(tmp_path / "guess", {"a": 1, "b": 2}, one=[[1, 2]], three=[[1, 2]])
    done = run("evaluate", "--predictions", guess, "--masks", truth)
    assert "1 masks have no prediction" in done.err
    assert "1 predictions have no mask" in done.err


def test_nothing_in_common_fails(tmp_path, run):
    truth = _write(tmp_path / "truth", {"a": 1, "b": 2}, one=[[1, 2]])
    other_names = _write(tmp_path / "names", {"a": 1, "b": 2}, two=[[1, 2]])
    other_classes = _write(tmp_path / "classes", {"x": 1, "y": 2}, one=[[1, 2]])
    other_shape = _write(tmp_path / "shape", {"a": 1, "b": 2}, one=[[1, 2, 1]])
    both = "The predictions know the classes x, y; the masks have a, b."
    for guess, word in ((other_names, "name"), (other_classes, both), (other_shape, "shape")):
        done = run("evaluate", "--predictions", guess, "--masks", truth, expect=1)
        assert word in done.err
