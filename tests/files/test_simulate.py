"""Painting from dense masks: the share is exact and uniform, what exists is kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.project import Project
from napari_blockseg.files.simulate import SimulateDone, draw_blocks, simulate_project

SHAPE = (64, 48)


def mask_of(seed):
    mask = np.random.default_rng(seed).integers(1, 3, (8, 6)).repeat(8, 0).repeat(8, 1)
    mask[:20, :20] = 255
    return mask.astype(np.uint8)


@pytest.fixture
def project(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i, name in enumerate(("a", "b", "c")):
        Image.fromarray(np.zeros(SHAPE, np.uint8)).save(tmp_path / "images" / f"{name}.png")
        if name != "c":
            Image.fromarray(mask_of(i)).save(tmp_path / "masks" / f"{name}.png")
    Image.fromarray(mask_of(9)).save(tmp_path / "masks" / "alone.png")
    rows = [{"id": 2, "name": "v"}, {"id": 1, "name": "u"}]
    (tmp_path / "classes.json").write_text(json.dumps({"classes": rows}))
    with Project.create(tmp_path / "p", [tmp_path / "images"], ["u", "v"], block=8) as project:
        yield project


def run(project, **options) -> SimulateDone:
    generator = simulate_project(project, project.root.parent / "masks", **options)
    seen = []
    while True:
        try:
            seen.append(next(generator))
        except StopIteration as stop:
            assert [one.done for one in seen] == list(range(1, seen[-1].total + 1))
            return stop.value


def test_blocks_are_the_majority_by_name(project):
    done = run(project)
    for i, name in enumerate(("a", "b")):
        mask = np.where(mask_of(i) == 255, 0, mask_of(i))  # ids 1, 2 are u, v: values 1, 2
        expected = BlockLabels.from_mask(mask, 8, 2)
        assert project.load_labels(name) == expected
    assert project.load_labels("c").n_labelled == 0
    assert (done.images, done.images_without_mask, done.masks_without_image) == (2, 1, 1)
    assert done.labelable_blocks == done.chosen_blocks == done.painted_blocks
    assert sum(done.classes.values()) == done.painted_blocks
    assert Project.open(project.root).load_labels("a") == project.load_labels("a")


def test_mostly_void_blocks_stay_unlabelled(project):
    run(project)
    values = project.load_labels("a").values
    assert not values[:2, :2].any()
    assert values[2, 2] != 0  # a quarter of it is void
    run(project, policy="pure", force=True)
    assert project.load_labels("a").values[2, 2] == 0


def test_the_share_is_exact_and_repeatable(project):
    total = run(project).labelable_blocks
    first = run(project, fraction=0.25, seed=3, force=True)
    assert first.chosen_blocks == round(0.25 * total)
    labels = project.load_labels("a")
    assert labels.n_labelled + project.load_labels("b").n_labelled == first.chosen_blocks
    run(project, fraction=0.25, seed=3, force=True)
    assert project.load_labels("a") == labels
    run(project, fraction=0.25, seed=4, force=True)
    assert project.load_labels("a") != labels


def test_labels_that_exist_are_kept_without_force(project):
    old = BlockLabels.empty(project.grid("a"))
    values = old.values.copy()
    values[0, 0], values[5, 5] = 2, 1
    project.save_labels("a", old.with_values(values))
    done = run(project)
    after = project.load_labels("a").values
    assert (after[0, 0], after[5, 5]) == (2, 1)
    assert done.kept_blocks == 2
    done = run(project, force=True)
    assert project.load_labels("a").values[0, 0] == 0
    assert done.kept_blocks == 0


def test_every_block_has_the_same_chance():
    """Two images of 10 and 90 blocks, one drawn in ten: 2000 seeds, five standard errors."""
    small = BlockLabels(BlockGrid((2, 5), 1), np.ones((2, 5), np.uint8))
    large = BlockLabels(BlockGrid((9, 10), 1), np.ones((9, 10), np.uint8))
    counts = np.zeros(100)
    for seed in range(2000):
        drawn = draw_blocks([small, large], 0.1, seed)
        assert sum(one.n_labelled for one in drawn) == 10
        counts += np.concatenate([one.values.ravel() for one in drawn])
    assert abs(counts / 2000 - 0.1).max() < 5 * np.sqrt(0.1 * 0.9 / 2000)


def test_classes_that_the_project_lacks_become_void(project):
    project.set_classes(["u"])
    done = run(project)
    assert done.void_classes == ("v",)
    assert set(np.unique(project.load_labels("a").values)) == {0, 1}


@pytest.mark.parametrize("trouble", ["shape", "value", "names", "stems", "fraction"])
def test_trouble_paints_nothing(project, trouble):
    masks, fraction = project.root.parent / "masks", 1.0
    if trouble == "shape":
        Image.fromarray(np.ones((10, 10), np.uint8)).save(masks / "b.png")
    elif trouble == "value":
        Image.fromarray(np.full(SHAPE, 9, np.uint8)).save(masks / "b.png")
    elif trouble == "names":
        project.set_classes(["x", "y"])
    elif trouble == "stems":
        for name in ("a", "b"):
            (masks / f"{name}.png").rename(masks / f"{name}_mask.png")
    else:
        fraction = 1.5
    with pytest.raises(LabelError):
        run(project, fraction=fraction)
    assert not any((project.root / "labels").iterdir())
