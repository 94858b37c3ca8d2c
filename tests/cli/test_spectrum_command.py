"""`spectrum` on masks and on block labels."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_blockseg.cli.spectrum.examples import painted_example
from napari_blockseg.core.ceilings import BLOCKS
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.labels import BlockLabels

TOP = {"recommended_block", "reason", "images", "skipped", "pixels_used", "blocks"}
TOP |= {"unresolved", "predictions", "notes", "curves"}
PER_BLOCK = {"miou", "pixel_accuracy", "energy", "band_limited_miou", "boundary_f", "classes"}
PER_BLOCK |= {"energy_with_dc", "band_limited_boundary_f", "error"}
PER_CLASS = {"iou", "energy", "energy_with_dc", "boundary_f", "owned_blocks"}
PER_CLASS |= {"band_limited_iou", "band_limited_boundary_f"}


def _check_shape(result, names):
    assert result.keys() >= TOP
    assert set(result["blocks"]) >= {str(block) for block in BLOCKS}
    for row in result["blocks"].values():
        assert set(row) == PER_BLOCK
        assert set(row["classes"]) == set(names)
        assert all(set(one) == PER_CLASS for one in row["classes"].values())
    curves = result["curves"]
    for one in (curves, *curves["classes"].values()):
        assert len(one["energy"]) == len(one["energy_with_dc"]) == len(curves["cutoffs"])
    assert set(curves["classes"]) == set(names)


def _write_classes(folder, names):
    classes = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))


def test_masks_are_measured(data, run, load_json, tmp_path):
    done = run("spectrum", data.masks, "--json", tmp_path / "s.json", "--report", tmp_path / "r")
    result = load_json(tmp_path / "s.json")
    _check_shape(result, ("field", "wood", "water"))
    # Three masks of 128 x 160, cut to 128 x 128, one with a void corner of 16 x 32.
    assert (result["images"], result["skipped"]) == (3, 0)
    assert result["pixels_used"] == 3 * 128 * 128 - 16 * 32
    accuracy = [result["blocks"][str(block)]["pixel_accuracy"] for block in BLOCKS]
    assert accuracy == sorted(accuracy, reverse=True)
    assert " ".join(result["reason"].split()) in " ".join(done.out.split())
    # A folder's name is as long as it is.
    lines = [line for line in done.out.splitlines() if not line.startswith("Wrote ")]
    assert max(map(len, lines)) <= 80
    with Image.open(tmp_path / "r" / "spectrum.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(2**24)) > 20
    assert load_json(tmp_path / "r" / "spectrum.json") == result


def test_small_masks_are_skipped_and_counted(tmp_path, run, load_json):
    _write_classes(tmp_path, "abc")
    big = np.ones((64, 130), np.uint8)
    big[:, 64:] = 2
    Image.fromarray(big).save(tmp_path / "big.png")
    Image.fromarray(np.ones((63, 200), np.uint8)).save(tmp_path / "small.png")
    run("spectrum", tmp_path, "--json", tmp_path / "out.json")
    result = load_json(tmp_path / "out.json")
    assert (result["images"], result["skipped"], result["pixels_used"]) == (1, 1, 64 * 128)
    assert result["blocks"]["64"]["miou"] == 1.0
    absent = result["blocks"]["2"]["classes"]["c"]
    assert absent == {**dict.fromkeys(PER_CLASS), "owned_blocks": 0}


def test_only_small_masks_are_measured_with_the_blocks_that_fit(tmp_path, run, load_json):
    _write_classes(tmp_path, "ab")
    small = np.ones((63, 200), np.uint8)
    small[:, 100:] = 2
    Image.fromarray(small).save(tmp_path / "small.png")
    done = run("spectrum", tmp_path, "--json", tmp_path / "out.json")
    result = load_json(tmp_path / "out.json")
    # Cut to multiples of 32: 32 x 192 pixels.
    assert (result["images"], result["skipped"], result["pixels_used"]) == (1, 0, 32 * 192)
    assert result["blocks"]["64"]["miou"] is None
    assert result["blocks"]["32"]["miou"] < result["blocks"]["4"]["miou"] == 1.0
    assert "smaller than 64 pixels" in done.out
    assert "smaller than 64 pixels" in result["notes"][0]


@pytest.mark.parametrize(("shape", "words"), [((1, 90), "smaller than 2"), ((70, 70), "void")])
def test_masks_that_say_nothing_are_refused(tmp_path, run, shape, words):
    _write_classes(tmp_path, "ab")
    Image.fromarray(np.full(shape, 255, np.uint8)).save(tmp_path / "void.png")
    assert words in run("spectrum", tmp_path, expect=1).err


def test_one_class_alone_is_no_error(tmp_path, run, load_json):
    _write_classes(tmp_path, "a")
    Image.fromarray(np.ones((70, 90), np.uint8)).save(tmp_path / "all.png")
    run("spectrum", tmp_path, "--json", tmp_path / "out.json", "--report", tmp_path / "r")
    result = load_json(tmp_path / "out.json")
    assert result["blocks"]["64"]["miou"] == 1.0
    # Nothing but its mean: no energy to have a share of, but all of it counting the mean.
    assert result["curves"]["classes"]["a"]["energy"][-1] is None
    assert result["curves"]["classes"]["a"]["energy_with_dc"][0] == 1.0


def test_stacks_are_measured_plane_by_plane(tmp_path, run, load_json):
    _write_classes(tmp_path, "ab")
    planes = np.ones((3, 64, 96), np.uint8)
    planes[:, :, 40:] = 2
    tifffile.imwrite(tmp_path / "stack.tif", planes, photometric="minisblack")
    run("spectrum", tmp_path, "--json", tmp_path / "out.json")
    assert load_json(tmp_path / "out.json")["images"] == 3


def test_block_labels_are_estimated(project, run, load_json, tmp_path):
    done = run("spectrum", project, "--json", tmp_path / "s.json", "--report", tmp_path / "r")
    result = load_json(tmp_path / "s.json")
    _check_shape(result, ("field", "wood", "water"))
    assert result["estimated_from_block"] == 16
    assert "estimated from blocks of 16 pixels" in done.out
    assert result["blocks"]["8"]["miou"] > result["blocks"]["32"]["miou"]
    # What blocks cannot know is not invented.
    assert result["blocks"]["2"]["miou"] is None
    assert result["blocks"]["16"]["pixel_accuracy"] is None
    assert (tmp_path / "r" / "spectrum.png").exists()


def test_pixel_labels_are_measured(tmp_path, data, run, load_json):
    root = tmp_path / "p.blockseg"
    classes = data.masks / "classes.json"
    run("new", root, "--images", data.images, "--classes-json", classes, "--block", 1)
    run("simulate", root, "--masks", data.masks)
    run("spectrum", root, "--json", tmp_path / "project.json")
    run("spectrum", data.masks, "--json", tmp_path / "masks.json")
    assert load_json(tmp_path / "project.json") == load_json(tmp_path / "masks.json")


def test_a_project_without_paint_is_told_what_to_do(tmp_path, data, run):
    run("new", tmp_path / "p.blockseg", "--images", data.images, "--classes", "a,b")
    assert "Paint some" in run("spectrum", tmp_path / "p.blockseg", expect=1).err


def test_blocks_larger_than_the_image_are_shown_in_the_room_of_the_image():
    mask = np.ones((20, 30), np.uint8)
    painted = [BlockLabels.from_mask(mask, 500, 2)]
    tracemalloc.start()
    example = painted_example(painted, ["a"], make_classes(["a", "b"]), lambda name: None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [view.block for view in example.views] == [500, 1000, 2000]
    assert all(np.array_equal(view.values, mask) for view in example.views)
    assert peak < 2**20, "a block has 4 million pixels, the image 600"


@pytest.mark.slow
@pytest.mark.skipif("BLOCKSEG_DATA" not in os.environ, reason="BLOCKSEG_DATA is not set")
def test_ceilings_of_road_scenes_are_those_of_the_table(run, load_json, tmp_path):
    """Energy in band, mIoU of band-limited argmax and of block majority, pixel accuracy."""
    table = {
        "2": (0.977, 0.987, 0.934, 0.985),
        "4": (0.954, 0.952, 0.882, 0.972),
        "8": (0.920, 0.886, 0.803, 0.951),
        "16": (0.869, 0.796, 0.697, 0.920),
        "32": (0.794, 0.685, 0.575, 0.872),
        "64": (0.657, 0.533, 0.452, 0.803),
    }
    masks = Path(os.environ["BLOCKSEG_DATA"]) / "camvid" / "labels" / "test"
    run("spectrum", masks, "--json", tmp_path / "s.json")
    blocks = load_json(tmp_path / "s.json")["blocks"]
    keys = ("energy", "band_limited_miou", "miou", "pixel_accuracy")
    found = {block: tuple(round(blocks[block][key], 3) for key in keys) for block in table}
    assert found == table
