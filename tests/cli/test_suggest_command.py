"""``blockseg suggest``, and the same of the worker's bench."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_blockseg.cli.next_blocks import next_blocks
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice, PredictProgress
from napari_blockseg.files.project import Project

from .conftest import untrained_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained_model(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def painted(tmp_path, data, run) -> Path:
    """Return a project of the model's classes: one image all painted, one in its left half."""
    root = tmp_path / "p.blockseg"
    run("new", root, "--images", data.images, "--classes", "b,a", "--block", 32)
    with Project.open(root, write=True) as project:
        for image_id, cols in (("scene_0", 5), ("scene_1", 2)):
            values = np.zeros(project.grid(image_id).shape, np.uint8)
            values[:, :cols] = 1
            project.save_labels(image_id, BlockLabels(project.grid(image_id), values))
    return root


def test_unlabelled_blocks_are_listed_best_first(painted, model, run, load_json, tmp_path):
    path = tmp_path / "s.json"
    out = run("suggest", model, painted, "--count", 6, "--json", path).out
    found = load_json(path)
    assert (found["method"], found["block"]) == ("diverse", 32)
    blocks = found["suggestions"]
    assert len(blocks) == 6
    assert {one["image_id"] for one in blocks} <= {"scene_1", "scene_2"}
    assert all(one["col"] >= 2 for one in blocks if one["image_id"] == "scene_1")
    scores = [one["score"] for one in blocks]
    assert scores == sorted(scores, reverse=True)
    for one in blocks:
        row, col = 32 * one["row"], 32 * one["col"]
        assert one["pixels"] == [row, row + 32, col, col + 32]
    lines = out.splitlines()[-6:]
    assert [line.split()[0] for line in lines] == [one["image_id"] for one in blocks]
    run("suggest", model, painted, "--count", 6, "--json", path)
    assert load_json(path) == found, "the same again"


def test_methods_differ_and_random_goes_by_its_seed(painted, model, run, load_json, tmp_path):
    def places(*options):
        run("suggest", model, painted, "--count", 8, "--json", tmp_path / "s.json", *options)
        blocks = load_json(tmp_path / "s.json")["suggestions"]
        return {(one["image_id"], one["row"], one["col"]) for one in blocks}

    drawn = places("--method", "random")
    assert drawn == places("--method", "random")
    assert drawn != places("--method", "random", "--seed", 1)
    assert drawn != places("--method", "uncertainty")


@pytest.fixture(scope="module")
def ready(model):
    from napari_blockseg.learn.checkpoint import load_model

    return load_model(model, device="cpu")


def searched(ready, project, **options):
    """Return what a search for 4 blocks says, and finds."""
    said, steps = [], next_blocks(ready, project, 4, **options)
    while True:
        try:
            said.append(next(steps))
        except StopIteration as stop:
            return said, stop.value


def colours(*leading, seed=0):
    return np.random.default_rng(seed).random((*leading, 64, 64, 3), dtype=np.float32)


def test_images_that_cannot_be_predicted_are_left_out_with_the_reason(ready, tmp_path):
    images = {"fine": colours(), "grey": colours()[..., 0], "holes": colours(), "gone": colours()}
    images["holes"][3, 4] = np.nan
    paths = [tmp_path / f"{name}.tif" for name in images]
    for path, pixels in zip(paths, images.values(), strict=True):
        photometric = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(path, pixels, photometric=photometric)
    with Project.create(tmp_path / "p.blockseg", paths, ["a", "b"], block=16) as project:
        paths[-1].unlink()  # after the project was opened
        said, found = searched(ready, project)
        assert {one.image_id for one in found} == {"fine"}
        warnings = [one.message for one in said if isinstance(one, Notice)]
        for name, reason in (("grey", "channel"), ("holes", "NaN"), ("gone", "is not at")):
            (message,) = [one for one in warnings if f"Image '{name}' is left out" in one]
            assert reason in message
        assert (said[-1].done, said[-1].total, said[-1].what) == (4, 4, "images")
        paths[0].unlink()
        with pytest.raises(LabelError, match=r"No image of[^?]*'fine'[^?]* is not at"):
            searched(ready, project)


@pytest.mark.parametrize("unusable", [(), (1,)])
def test_planes_of_one_stack_are_counted_and_those_that_cannot_be_used_left_out(
    ready, tmp_path, unusable
):
    pixels = colours(4)
    for index in unusable:
        pixels[index, 0, 0] = np.nan
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", metadata={"axes": "ZYXS"})
    with Project.create(tmp_path / "p.blockseg", [path], ["a", "b"], 16, "ZYXC") as project:
        said, found = searched(ready, project)
    counts = [(one.done, one.total) for one in said if isinstance(one, PredictProgress)]
    assert counts == [(i, 4) for i in range(5) if i not in unusable]
    assert {one.what for one in said if isinstance(one, PredictProgress)} == {"planes"}
    assert len(found) == 4
    assert not any(one.index[0] in unusable for one in found)
    warnings = [one.message for one in said if isinstance(one, Notice)]
    assert len(warnings) == len(unusable)
    assert all("Of image 'stack', planes [1] are left out" in one for one in warnings)


def test_a_class_that_the_project_no_longer_has_is_neither_rare_nor_named(
    painted, tmp_path, monkeypatch
):
    from napari_blockseg.learn.checkpoint import load_model

    folder = untrained_model(tmp_path / "m", names=("junk", "a", "b"))
    given = {}

    def spy(planes, names, labelled, *rest):
        given.update(names=names, labelled=labelled.tolist())
        return []

    monkeypatch.setattr("napari_blockseg.cli.next_blocks.suggest_blocks", spy)
    project = Project.open(painted)
    searched(load_model(folder, device="cpu"), project, method="random")
    assert given["names"] == [None, "a", "b"]
    most = max(given["labelled"])
    assert most > 0
    assert given["labelled"] == [most, 0, most]


def test_nothing_left_to_label_is_said(painted, model, run):
    with Project.open(painted, write=True) as project:
        for image_id in project.image_ids:
            values = np.ones(project.grid(image_id).shape, np.uint8)
            project.save_labels(image_id, BlockLabels(project.grid(image_id), values))
    assert "Every block is labelled." in run("suggest", model, painted, "--method", "random").out


def test_a_model_of_other_classes_is_refused(model, project, run):
    err = run("suggest", model, project, expect=1).err
    assert "Classes match by name" in err


def test_the_worker_says_the_same_as_the_command(painted, model, run, load_json, tmp_path):
    from napari_blockseg.cli.worker.jobs import Workbench
    from napari_blockseg.cli.worker.messages import parse_request
    from napari_blockseg.core.reports import report_from_json, to_json

    run("suggest", model, painted, "--count", 4, "--json", tmp_path / "s.json")
    expected = load_json(tmp_path / "s.json")["suggestions"]
    (painted / "models").mkdir(exist_ok=True)
    model_there = painted / "models" / "m"
    model_there.symlink_to(model, target_is_directory=True)
    line = f'{{"id": 1, "type": "suggest", "project": "{painted}", "model": "m", "count": 4}}'
    *progress, done = Workbench().suggest(parse_request(line))
    assert [one["done"] for one in progress if one["type"] == "predict_progress"][-1] == 3
    assert done["block"] == 32
    sent = report_from_json(to_json(report_from_json(_json(done))))
    for one, other in zip(sent.suggestions, expected, strict=True):
        assert (one.image_id, one.row, one.col) == (
            other["image_id"],
            other["row"],
            other["col"],
        )
        assert one.score == pytest.approx(other["score"])


def _json(message) -> str:
    import json

    return json.dumps(message)
