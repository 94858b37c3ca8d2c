"""`new` and `simulate` through the real entry point."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.project import Project


def test_new_makes_a_project_that_opens(tmp_path, data, run, load_json):
    done = run(
        *("new", tmp_path / "p.blockseg", "--images", data.images, "--classes", "a,b,c"),
        *("--block", 8, "--json", tmp_path / "new.json"),
    )
    assert "3 images" in done.out
    with Project.open(tmp_path / "p.blockseg") as project:
        assert project.image_ids == ["scene_0", "scene_1", "scene_2"]
        assert [info.name for info in project.classes] == ["a", "b", "c"]
        assert [info.export_id for info in project.classes] == [1, 2, 3]
        assert project.block == 8
    assert load_json(tmp_path / "new.json")["images"] == ["scene_0", "scene_1", "scene_2"]


def test_new_takes_several_files_after_one_option(tmp_path, data, run):
    files = sorted(data.images.iterdir())
    root = tmp_path / "p.blockseg"
    run("new", root, "--images", files[0], files[2], "--classes", "a,b")
    with Project.open(root) as project:
        assert project.image_ids == ["scene_0", "scene_2"]


def test_new_lists_and_skips_what_it_cannot_read_in_a_folder(tmp_path, data, run):
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "notes.txt").write_text("no image")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / "good.png")
    done = run("new", tmp_path / "p.blockseg", "--images", folder, "--classes", "a,b")
    assert "notes.txt" in done.err
    assert "1 images" in done.out


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--images", "{images}", "--classes", "a,b"), 1),  # the project exists
        (("--images", "{images}/nothing.png", "--classes", "a,b"), 1),
        (("--images", "{empty}", "--classes", "a,b"), 1),
        (("--images", "{images}", "--classes", "a,a"), 1),
        (("--images", "{images}"), 2),
        (("--classes", "a,b"), 2),
        (("--images", "{images}", "--classes", "a", "--classes-json", "x.json"), 2),
        (("--images", "{images}", "--classes", "a", "--block", "0"), 2),
    ],
)
def test_new_refuses_in_one_line(tmp_path, data, run, args, code):
    (tmp_path / "empty").mkdir()
    exists = tmp_path / "p.blockseg"
    if args == (("--images", "{images}", "--classes", "a,b")):
        exists.mkdir()
    filled = [str(a).format(images=data.images, empty=tmp_path / "empty") for a in args]
    done = run("new", exists, *filled, expect=code)
    if code == 1:
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1


def test_simulate_labels_what_the_masks_say(project, data):
    mask = np.array(Image.open(data.masks / "scene_0.png"))
    mask[mask == 255] = 0
    with Project.open(project) as opened:
        assert opened.load_labels("scene_0") == BlockLabels.from_mask(mask, 16, 3)


def test_simulate_keeps_labels_without_force(project, data, run, load_json, tmp_path):
    with Project.open(project) as opened:
        before = opened.load_labels("scene_1")
    out = tmp_path / "s.json"
    kept = run("simulate", project, "--masks", data.masks, "--policy", "pure", "--json", out)
    assert "kept" in kept.out
    assert load_json(out)["painted_blocks"] == 0
    with Project.open(project) as opened:
        assert opened.load_labels("scene_1") == before
    run("simulate", project, "--masks", data.masks, "--policy", "pure", "--force")
    with Project.open(project) as opened:
        assert opened.load_labels("scene_1").n_labelled < before.n_labelled


def test_simulate_draws_its_fraction_over_the_whole_project(tmp_path, data, run, load_json):
    root, out = tmp_path / "p.blockseg", tmp_path / "s.json"
    run("new", root, "--images", data.images, "--classes", "field,wood,water")
    done = ("simulate", root, "--masks", data.masks, "--fraction", 0.1, "--json", out)
    run(*done)
    result = load_json(out)
    assert result["painted_blocks"] == round(0.1 * result["labelable_blocks"])
    with Project.open(root) as opened:
        first = [opened.load_labels(one).values for one in opened.image_ids]
    run(*done, "--force", "--seed", 0)
    with Project.open(root) as opened:
        again = [opened.load_labels(one).values for one in opened.image_ids]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize(("fraction", "code"), [("0", 2), ("1.5", 2), ("many", 2)])
def test_simulate_refuses_a_fraction_that_is_none(project, data, run, fraction, code):
    done = run("simulate", project, "--masks", data.masks, "--fraction", fraction, expect=code)
    assert "--fraction" in done.err


@pytest.mark.parametrize("command", [("simulate", "{project}", "--masks"), ("spectrum",)])
def test_a_folder_without_masks_is_said_before_its_classes(project, tmp_path, run, command):
    (tmp_path / "empty").mkdir()
    args = [word.format(project=project) for word in command]
    done = run(*args, tmp_path / "empty", expect=1)
    assert f"There is no label image (PNG, TIFF) in {tmp_path / 'empty'}." in done.err


def test_simulate_names_masks_that_are_no_folder(project, tmp_path, run):
    done = run("simulate", project, "--masks", tmp_path / "nope", expect=1)
    assert f"{tmp_path / 'nope'} is not a folder" in done.err


def test_new_names_a_classes_json_that_is_not_there(data, tmp_path, run):
    path = tmp_path / "none.json"
    args = ("--images", data.images, "--classes-json", path)
    assert f"{path} does not exist" in run("new", tmp_path / "p", *args, expect=1).err
