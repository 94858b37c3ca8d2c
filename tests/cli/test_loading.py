"""What training is given, and what it is told later."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_blockseg.cli.loading import LabelWatch, ProjectImages
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.labels import diff
from napari_blockseg.files.project import Project


@pytest.fixture
def stack(tmp_path) -> Project:
    """Return a project of a stack of 3 planes (two of them painted) and a grey image."""
    planes = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    tifffile.imwrite(tmp_path / "stack.tif", planes, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "flat.tif", planes[0])
    files = [tmp_path / "stack.tif", tmp_path / "flat.tif"]
    with Project.create(tmp_path / "p.blockseg", files, ["a", "b"], block=8) as project:
        values = project.load_labels("stack").values.copy()
        values[0, 0, 0], values[2, 1, 1] = 1, 2
        project.save_labels("stack", project.load_labels("stack").with_values(values))
    return Project.open(tmp_path / "p.blockseg")


def test_labelled_planes_of_a_stack_become_images(stack):
    images = ProjectImages(stack)
    assert [one.image_id for one in images] == ["stack[0]", "stack[2]"]
    assert images[1].pixels.shape == (40, 50, 1)
    assert images[1].pixels[0, 0, 0] == 2 * 40 * 50
    assert images[1].labels.values[1, 1] == 2
    assert images[-1].image_id == "stack[2]"
    assert [one.image_id for one in images[:1]] == ["stack[0]"]


def test_images_are_read_when_asked_for_and_one_is_held(stack, monkeypatch):
    read = []
    load = Project.load_image

    def counted(project, image_id):
        read.append(image_id)
        return load(project, image_id)

    monkeypatch.setattr(Project, "load_image", counted)
    images = ProjectImages(stack)
    assert read == []
    assert len(list(images)) == 2
    assert read == ["stack"]


def test_an_image_with_a_damaged_journal_is_trained_on_with_a_warning(stack):
    with Project.open(stack.root, write=True) as project:
        journal = project.root / "journal" / "stack.jsonl"
    journal.write_bytes(journal.read_bytes() + b"garbage\n" + b"{}\n")
    images = ProjectImages(Project.open(stack.root))
    assert len(images) == 2
    assert "damaged" in images.notices[0].message
    assert images.notices[0].level == "warning"


def test_an_image_that_is_gone_is_left_out_with_a_warning(stack):
    stack.image_path("stack").unlink()
    images = ProjectImages(Project.open(stack.root))
    assert len(images) == 0
    assert "stack" in images.notices[0].message
    assert images.notices[0].level == "warning"
    with pytest.raises(LabelError, match=r"No labelled image of .* can be used"):
        images.require_one()


def test_paint_is_noticed_once(stack):
    watch = LabelWatch(ProjectImages(stack), seconds=0)
    assert watch.changed() == {}
    with Project.open(stack.root, write=True) as other:
        old = other.load_labels("stack").values
        new = old.copy()
        new[2, 0, 0] = 1
        other.record("stack", diff(old, new), "paint")
        changed = watch.changed()
    assert set(changed) == {"stack[0]", "stack[2]"}
    assert changed["stack[2]"].values[0, 0] == 1
    watch.changed()  # closing wrote the labels file
    assert watch.changed() == {}


def test_paint_on_labels_that_were_just_read_is_noticed(stack, monkeypatch):
    """Thousands of images take a while to read: the first may be painted on meanwhile."""
    load = Project.load_labels

    def painted_behind(project, image_id):
        labels = load(project, image_id)
        if image_id == "stack":
            monkeypatch.undo()
            with Project.open(project.root, write=True) as other:
                new = labels.values.copy()
                new[2, 0, 0] = 1
                other.record("stack", diff(labels.values, new), "paint")
        return labels

    monkeypatch.setattr(Project, "load_labels", painted_behind)
    images = ProjectImages(stack)
    assert images[1].labels.values[0, 0] == 0
    changed = LabelWatch(images, seconds=0).changed()
    assert changed["stack[2]"].values[0, 0] == 1


@pytest.mark.parametrize("change", ["a class is deleted", "other blocks", "a class is added"])
def test_labels_that_mean_something_else_are_followed_no_longer(stack, change):
    """A model of classes a and b must not take what is now value 1, once b, for a."""
    watch = LabelWatch(ProjectImages(stack), seconds=0)
    with Project.open(stack.root, write=True) as other:
        if change == "a class is deleted":
            other.set_classes(["b"], {1: 0, 2: 1})
        elif change == "other blocks":
            other.set_block(4)
        else:
            other.set_classes(["a", "b", "c"])
        values = other.load_labels("stack").values.copy()
        values[0, 0, 1] = 1
        other.save_labels("stack", other.load_labels("stack").with_values(values))
        changed = watch.changed()
        if change == "a class is added":
            assert changed["stack[0]"].values[0, 1] == 1
            assert not watch.notices
            return
        assert changed == {}
        assert [one.level for one in watch.notices] == ["warning"]
        assert "start a new one" in watch.notices.pop().message
        other.save_labels("stack", other.load_labels("stack").with_values(np.ones_like(values)))
    assert watch.changed() == {}
    assert not watch.notices, "said once"


def test_files_are_looked_at_only_so_often(stack):
    watch = LabelWatch(ProjectImages(stack), seconds=60)
    with Project.open(stack.root, write=True) as other:
        other.save_labels(
            "stack", other.load_labels("stack").with_values(old := np.ones((3, 5, 7), np.uint8))
        )
    assert old.any()
    assert watch.changed() == {}
