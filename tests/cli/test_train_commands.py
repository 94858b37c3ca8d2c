"""`train`, `predict` and `cost` on small data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from .conftest import untrained_model

SHORT = ("--batch-size", 2, "--crop", 64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, run):
    """Return a project, and a model trained on it for two steps."""
    folder = tmp_path_factory.mktemp("trained")
    root, model = folder / "p.blockseg", folder / "model"
    classes = data.masks / "classes.json"
    run("new", root, "--images", data.images, "--classes-json", classes)
    run("simulate", root, "--masks", data.masks)
    args = ("--steps", 2, *SHORT, "--out", model, "--json", folder / "train.json")
    run("train", root, *args, own_process=True)
    return folder


def test_train_writes_its_results(trained, load_json):
    result = load_json(trained / "train.json")
    chosen = {"decoder_stride", "stride_choice"}
    assert set(result) == {"steps", "seconds", "val_miou", "model"} | chosen
    assert result["steps"] == 2
    assert result["model"] == str(trained / "model")


def test_train_without_a_labelled_block_says_what_to_do(data, run, tmp_path):
    root = tmp_path / "p.blockseg"
    run("new", root, "--images", data.images, "--classes", "a,b")
    said = run("train", root, expect=1).err
    assert f"No block of {root} is labelled. Paint some (blockseg annotate)" in said


def test_a_network_that_does_not_go_with_the_one_to_start_from_is_refused(project, run, tmp_path):
    model = untrained_model(tmp_path / "dan", network="dan")
    said = run("train", project, "--init", model, "--form", "smp", expect=1).err
    assert "These settings cannot be used. Got form smp; form 'smp' is one of" in said


def test_train_names_new_runs_itself(trained, run):
    done = run("train", trained / "p.blockseg", "--steps", 1, *SHORT)
    (folder,) = (trained / "p.blockseg" / "models").iterdir()
    assert str(folder) in done.out


def test_train_replaces_no_model(trained, run):
    done = run(
        *("train", trained / "p.blockseg", "--steps", 1, "--out", trained / "model"), expect=1
    )
    assert "holds a model already. Go on with it (--resume)" in done.err


def test_resume_keeps_the_settings_of_the_run(trained, run, tmp_path, load_json):
    root, model, out = trained / "p.blockseg", tmp_path / "model", tmp_path / "t.json"
    run("train", root, "--steps", 1, *SHORT, "--decoder-stride", 8, "--out", model)
    run("train", root, "--steps", 3, "--resume", "--out", model, "--json", out)
    spec = json.loads((model / "model.json").read_text())
    assert spec["network"]["decoder_stride"] == 8
    assert spec["train"]["crop"] == 64
    assert load_json(out)["steps"] == 3


def test_resumed_and_uninterrupted_runs_are_the_same(trained, run, tmp_path):
    root = trained / "p.blockseg"
    run("train", root, "--steps", 4, *SHORT, "--out", tmp_path / "whole")
    _train_and_interrupt(root, tmp_path / "parts", "--steps", 4)
    run("train", root, "--resume", "--out", tmp_path / "parts")
    whole, parts = (tmp_path / name / "model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def _train_and_interrupt(root, model, *args) -> str:
    """Press Ctrl-C at the first step, and return what the command said after that."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "-m", "napari_blockseg", "train", str(root)),
            *map(str, (*args, *SHORT, "--out", model)),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    for line in process.stdout:
        if "step" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait(timeout=60) == 1
    return rest


def test_ctrl_c_stops_saves_and_says_how_to_go_on(trained, tmp_path):
    model = tmp_path / "model"
    said = _train_and_interrupt(trained / "p.blockseg", model, "--steps", 100_000)
    assert "--resume goes on" in said
    assert (model / "model.safetensors").exists()
    assert (model / "resume.safetensors").exists()


def test_predict_writes_masks_like_the_images(trained, data, run, tmp_path, load_json):
    picture = np.asarray(Image.open(data.images / "scene_0.png"))
    folder, out = tmp_path / "images", tmp_path / "masks"
    folder.mkdir()
    tifffile.imwrite(
        folder / "scanned.tif",
        picture[:70, :90],
        photometric="rgb",
        resolution=(2.0, 4.0),
        resolutionunit="CENTIMETER",
    )
    Image.fromarray(picture).save(folder / "plain.png")
    run(
        *("predict", trained / "model", folder, "--out", out, "--probabilities"),
        *("--json", tmp_path / "p.json"),
    )
    assert load_json(tmp_path / "p.json")["images"] == 2
    plain = np.asarray(Image.open(out / "plain.png"))
    assert plain.shape == (128, 160)
    assert plain.dtype == np.uint8
    assert set(np.unique(plain)) <= {1, 2, 3}
    with tifffile.TiffFile(out / "scanned.tif") as tiff:
        assert tiff.asarray().shape == (70, 90)
        assert tiff.pages[0].tags["XResolution"].value[0] / tiff.pages[0].tags["XResolution"].value[
            1
        ] == pytest.approx(2.0)
    chances = tifffile.imread(out / "probabilities" / "plain.tif")
    assert chances.shape == (3, 128, 160)
    assert np.allclose(chances.sum(0, dtype=np.float32), 1, atol=0.01)
    # After two steps many pixels are undecided: half precision settles those differently.
    first, second = np.sort(chances.astype(np.float32), axis=0)[:-3:-1]
    decided = first - second > 5e-4  # one step of half precision at 1/3 is 2.4e-4
    assert decided.mean() > 0.2
    assert np.array_equal(chances.argmax(0)[decided] + 1, plain[decided])
    names = [row["name"] for row in json.loads((out / "classes.json").read_text())["classes"]]
    assert names == ["field", "wood", "water"]


def test_predictions_can_be_evaluated(trained, data, run, tmp_path):
    run("predict", trained / "model", trained / "p.blockseg", "--out", tmp_path / "masks")
    done = run("evaluate", "--predictions", tmp_path / "masks", "--masks", data.masks)
    assert "mIoU" in done.out


def test_predict_tells_images_of_one_name_apart(trained, data, run, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.png").write_bytes((data.images / "scene_0.png").read_bytes())
    run("predict", trained / "model", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"x.png", "b_x.png"}


def test_predict_refuses_an_image_with_other_channels(trained, run, tmp_path):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "grey.png")
    done = run(
        *("predict", trained / "model", tmp_path / "grey.png", "--out", tmp_path / "out"), expect=1
    )
    assert "channel" in done.err


def test_cost_has_a_row_for_each_stride(run, load_json, tmp_path):
    # Block means: every stride has the same parameters.
    run("cost", "--size", 64, "--truncation", "area", "--json", tmp_path / "c.json")
    result = load_json(tmp_path / "c.json")
    assert set(result) >= {"strides", "encoder_only"}
    assert [row["stride"] for row in result["strides"]] == [4, 8, 16, 32]
    keys = {"stride", "cells", "macs", "params", "seconds", "peak_mib"}
    assert all(set(row) >= keys for row in result["strides"])
    macs = [row["macs"] for row in result["strides"]]
    assert macs == sorted(macs, reverse=True)
    assert len({row["params"] for row in result["strides"]}) == 1
    assert set(result["encoder_only"]) >= {"macs", "seconds"}
