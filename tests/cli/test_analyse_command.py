"""`blockseg analyse` on a model that was trained for a few steps."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from napari_blockseg.cli.analyse import describe, value_at
from napari_blockseg.core.analysis import Analysis, load_analysis


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data, run):
    """A folder with a project ("p.blockseg") and a model that was trained on it."""
    folder = tmp_path_factory.mktemp("analyse")
    root, model = folder / "p.blockseg", folder / "model"
    classes = data.masks / "classes.json"
    run("new", root, "--images", data.images, "--classes-json", classes, "--block", 16)
    run("simulate", root, "--masks", data.masks)
    run("train", root, "--steps", 10, "--batch-size", 2, "--crop", 64, "--out", model)
    return folder


@pytest.fixture(scope="module")
def analysed(trained, run):
    """What the command said about the project's blocks, and its JSON file."""
    path = trained / "found.json"
    done = run("analyse", trained / "model", trained / "p.blockseg", "--json", path)
    return done, path


def same_numbers(first, second):
    """Return whether two analyses found the same loss, scores and layers."""
    return (first.checkpoints, first.trials) == (second.checkpoints, second.trials)


def test_the_results_are_json_and_kept_beside_the_model(analysed, trained, load_json):
    done, path = analysed
    found = Analysis.model_validate(load_json(path))
    assert found == load_analysis(trained / "model")
    assert str(trained / "model" / "analysis.json") in done.out
    assert found.model == "model"
    assert (found.images, found.block, found.scale) == (3, 16, 0.5)
    assert found.truth.startswith("blocks of 16 pixels")
    assert [one.moment for one in found.checkpoints] == ["start", "early", "end"]
    assert [one.decoder_stride for one in found.trials] == [4, 8, 16, 32]
    # Half scale: nothing finer than a quarter cycle per pixel of the image can be seen.
    assert found.end.loss.cutoffs[-1] == found.end.layers[0].cutoffs[-1] == 0.25


def test_the_table_tells_what_is_in_the_file(analysed, load_json):
    done, path = analysed
    found = Analysis.model_validate(load_json(path))
    lines = [line.split() for line in done.out.splitlines()]
    (end,) = [line for line in lines if line[:2] == ["end", "10"]]
    nyquist = found.end.loss.cutoffs.index(0.5 / 16)
    assert end[2:] == [
        f"{value:.3f}"
        for value in (
            found.end.loss.cross_entropy,
            found.end.loss.discrepancy[nyquist],
            found.end.loss.discrepancy_of_mean[nyquist],
            found.end.miou,
            found.end.pixel_accuracy,
        )
    ]
    fused = next(one for one in found.end.layers if one.name == "fused features")
    (row,) = [line for line in lines if line[:2] == ["fused", "features"]]
    # Stride 4 at half scale is 8 pixels of the image; twice as coarse shows 0.5 / 16.
    shares = fused.activations[nyquist], fused.gradients[nyquist]
    assert row[2:] == ["4", *(f"{share:.3f}" for share in shares), str(fused.truncatable_to)]
    for trial in found.trials:
        assert [f"{trial.cross_entropy:.3f}", f"{trial.miou:.3f}"] in [
            line[i : i + 2] for line in lines for i in (1, 2)
        ]
    assert f"Recommended decoder stride: {found.recommended_stride}." in done.out
    assert found.reason in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 100


def test_dense_masks_are_scored_as_the_prediction_is(trained, data, run, load_json, tmp_path):
    """mIoU of a prediction by ``predict`` and ``evaluate``, to what tiles may differ."""
    model, root = trained / "model", trained / "p.blockseg"
    run("analyse", model, root, "--masks", data.masks, "--no-layers", "--json", tmp_path / "a.json")
    run("predict", model, root, "--out", tmp_path / "masks")
    run(
        *("evaluate", "--predictions", tmp_path / "masks", "--masks", data.masks),
        *("--json", tmp_path / "scores.json"),
    )
    found = Analysis.model_validate(load_json(tmp_path / "a.json"))
    scores = load_json(tmp_path / "scores.json")
    assert found.truth.startswith("dense masks, 99%")  # a corner of one mask is void
    assert found.end.miou == pytest.approx(scores["miou"], abs=0.002)
    assert found.end.pixel_accuracy == pytest.approx(scores["pixel_accuracy"], abs=0.002)
    assert found.pixels == 3 * 128 * 160 - 16 * 32


def test_classes_match_by_name_whatever_their_ids(trained, data, run, tmp_path):
    """Masks whose ids are other numbers, in another order, say the same."""
    model, root = trained / "model", trained / "p.blockseg"
    other = tmp_path / "other"
    other.mkdir()
    ids = np.zeros(256, np.uint8)
    ids[[1, 2, 3, 255]] = 30, 10, 20, 99
    for path in data.masks.glob("*.png"):
        Image.fromarray(ids[np.asarray(Image.open(path))]).save(other / path.name)
    classes = [
        {"id": 10, "name": "wood"},
        {"id": 20, "name": "water"},
        {"id": 30, "name": "field"},
    ]
    (other / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": 99}))
    found = []
    for masks in (data.masks, other):
        run("analyse", model, root, "--masks", masks, "--no-layers", "--images", 2)
        found.append(load_analysis(model))
    assert same_numbers(*found)


def test_project_classes_match_by_name_too(trained, data, run, tmp_path):
    """A project that numbers its classes in another way, and knows one that the model does not."""
    model, root = trained / "model", tmp_path / "renumbered.blockseg"
    run(
        *("new", root, "--images", data.images, "--classes", "water,unicorn,field,wood"),
        *("--block", 16),
    )
    run("simulate", root, "--masks", data.masks)
    run("analyse", model, trained / "p.blockseg", "--no-layers")
    expected = load_analysis(model)
    done = run("analyse", model, root, "--no-layers")
    assert same_numbers(load_analysis(model), expected)
    assert "does not know unicorn" in done.err


def test_projects_and_masks_without_a_common_class_are_refused(trained, data, run, tmp_path):
    model, root = trained / "model", tmp_path / "others.blockseg"
    run("new", root, "--images", data.images, "--classes", "cat,dog", "--block", 16)
    done = run("analyse", model, root, expect=1)
    assert "No block" in done.err
    masks = tmp_path / "masks"
    shutil.copytree(data.masks, masks)
    classes = [{"id": i, "name": name} for i, name in enumerate(("cat", "dog", "cow"), 1)]
    (masks / "classes.json").write_text(json.dumps({"classes": classes, "ignore_id": 255}))
    done = run("analyse", model, trained / "p.blockseg", "--masks", masks, expect=1)
    assert "match by name" in done.err
    run("simulate", root, "--masks", masks)
    assert "match by name" in run("analyse", model, root, expect=1).err


def test_few_images_are_said_so(trained, run):
    done = run("analyse", trained / "model", trained / "p.blockseg", "--images", 2, "--no-layers")
    assert "2 of 3 images, evenly spread." in done.out
    assert "Layers at the end" not in done.out


def test_a_report_is_written(trained, run, tmp_path):
    args = ("--images", 1, "--report", tmp_path / "report")
    done = run("analyse", trained / "model", trained / "p.blockseg", *args)
    assert str(tmp_path / "report" / "index.html") in done.out
    assert (tmp_path / "report" / "index.html").is_file()


def test_a_model_that_cannot_be_written_beside_is_analysed_all_the_same(
    trained, run, tmp_path, monkeypatch
):
    def refuse(*args):
        raise PermissionError("read-only file system")

    monkeypatch.setattr("napari_blockseg.core.analysis.save_analysis", refuse)
    args = ("--images", 1, "--no-layers", "--json", tmp_path / "a.json")
    done = run("analyse", trained / "model", trained / "p.blockseg", *args)
    assert "could not be kept beside the model: read-only" in done.err
    assert (tmp_path / "a.json").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_it_and_writes_nothing(trained, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(trained / "model", model)
    (model / "analysis.json").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_blockseg", "analyse", model, trained / "p.blockseg"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "analysing" in first
    assert process.returncode == 1, err
    assert "nothing was written" in out
    assert not (model / "analysis.json").exists()


def test_a_bundled_sample_takes_less_than_30_s_of_cpu(run, tmp_path):
    from napari_blockseg.files.samples import sample_project

    sample_project(tmp_path / "p.blockseg", "textures").close()
    run(
        *("train", tmp_path / "p.blockseg", "--steps", 2, "--batch-size", 1, "--crop", 32),
        *("--out", tmp_path / "model"),
    )
    start = time.process_time()
    run("analyse", tmp_path / "model", tmp_path / "p.blockseg")
    assert time.process_time() - start < 30


def test_value_at_takes_the_cutoff_at_or_below():
    cutoffs, values = (0.1, 0.2, 0.4), (1.0, None, 3.0)
    assert value_at(cutoffs, values, 0.1) == 1.0
    assert value_at(cutoffs, values, 0.1 - 1e-12) == 1.0
    assert value_at(cutoffs, values, 0.3) is None
    assert value_at(cutoffs, values, 0.5) == 3.0
    assert value_at(cutoffs, values, 0.05) is None


def test_without_scores_the_text_has_dashes(analysed, load_json):
    found = Analysis.model_validate(load_json(analysed[1]))
    empty = found.model_copy(
        update={
            "recommended_stride": None,
            "checkpoints": (found.end.model_copy(update={"miou": None, "layers": ()}),),
        }
    )
    text = describe(empty)
    assert "Recommended decoder stride: none." in text
    (end,) = [line.split() for line in text.splitlines() if line.startswith("end")]
    assert end[-2] == "-"
