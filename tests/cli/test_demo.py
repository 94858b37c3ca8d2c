"""The demo: it does what it says, and its scores come from the labels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_blockseg.cli.demo.job import Curve, run_sample, shuffle
from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.reports import TrainStep, Validation
from napari_blockseg.files.samples import sample, sample_project


def test_demo_prints_and_writes_all_it_promises(tmp_path, run, load_json):
    out, report = tmp_path / "out", tmp_path / "demo.json"
    done = run("demo", "--out", out, "--steps", 2, "--json", report)
    for word in ("What was painted", "blocks (", "Recommended block", "loss", "mIoU", "never"):
        assert word in done.out
    found = load_json(report)["samples"]
    assert set(found) == {"textures", "nuclei"}
    for name, one in found.items():
        assert {"miou", "pixel_accuracy", "boundary_f", "classes", "blocks"} <= set(one)
        assert one["blocks"] > 100
        for kind in ("overlay", "spectrum"):
            with Image.open(out / f"{name}_{kind}.png") as picture:
                assert picture.width > 800
                assert np.asarray(picture).std() > 10
        assert len(list((out / f"{name}_predictions").glob("test_*"))) >= 2


def test_a_second_demo_leaves_the_first_project_alone(tmp_path, run):
    for _ in range(2):
        run("demo", "--out", tmp_path, "--sample", "textures", "--steps", 1)
    names = {path.name for path in tmp_path.glob("*.blockseg")}
    assert names == {"textures.blockseg", "textures_2.blockseg"}


def test_shuffled_labels_are_as_many_in_the_same_places(tmp_path):
    with sample_project(tmp_path / "p.blockseg", "textures") as project:
        before = [project.load_labels(one).values.copy() for one in project.image_ids]
        shuffle(project, seed=0)
        after = [project.load_labels(one).values for one in project.image_ids]
    assert all(np.array_equal(a > 0, b > 0) for a, b in zip(before, after, strict=True))
    counts = [np.bincount(np.concatenate([v.ravel() for v in part])) for part in (before, after)]
    assert np.array_equal(*counts)
    assert not all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_curves_are_drawn_from_first_to_last():
    curve = Curve()
    for step in range(1, 200):
        loss = 1 / step
        curve.add(
            TrainStep(step=step, steps=None, loss=loss, learning_rate=1, seconds=1, progress=0)
        )
    curve.add(Validation(step=5, miou=None, iou={}, pixel_accuracy=None))
    curve.add(Validation(step=9, miou=0.5, iou={}, pixel_accuracy=None))
    loss, miou = curve.lines()
    assert "█" in loss.split()[1][0]
    assert loss.split()[1].endswith("▁")
    assert miou.endswith("0.500 -> 0.500")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_with_shuffled_labels_the_score_falls_below_half(tmp_path):
    """Otherwise the demo would show something else than what was painted."""
    config = TrainConfig(steps=60, crop=64, batch_size=4, validation=False)
    miou = [
        run_sample(sample("textures"), tmp_path / str(mixed), config, shuffle_labels=mixed)["miou"]
        for mixed in (False, True)
    ]
    assert miou[0] > 0.5
    assert miou[1] < miou[0] / 2
