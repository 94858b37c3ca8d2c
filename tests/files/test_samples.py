"""The bundled samples: painted to train on, dense truth to test on, never the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from napari_blockseg.core.errors import ProjectError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.images import read_image
from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask
from napari_blockseg.files.project import Project
from napari_blockseg.files.samples import sample, sample_project, samples
from napari_blockseg.files.spec import image_stem


def test_there_are_two_and_they_are_small():
    assert [one.name for one in samples()] == ["textures", "nuclei"]
    folder = samples()[0].train_masks_dir.parents[2]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 3_000_000
    assert "CC0" in (folder / "LICENSES.md").read_text()
    assert "BSD 3-Clause" in (folder / "LICENSES.md").read_text()


@pytest.mark.parametrize("name", ["textures", "nuclei"])
class TestSample:
    def test_every_image_has_a_mask_with_every_class(self, name):
        one = sample(name)
        for images, masks in (
            (one.train_images, one.train_masks_dir),
            (one.test_images, one.test_masks_dir),
        ):
            table = find_classes_json(masks)
            matched, unmatched = match_masks([image_stem(path) for path in images], masks)
            assert (len(matched), unmatched) == (len(images), [])
            for path in images:
                mask = read_mask(matched[image_stem(path)], table)
                assert mask.shape == read_image(path).info.spatial_shape
                assert np.unique(mask).tolist() == [c.value for c in one.classes]

    def test_painting_is_partial_and_mostly_right(self, name, tmp_path):
        one = sample(name)
        table = find_classes_json(one.train_masks_dir)
        with sample_project(tmp_path / "p", name) as project:
            assert project.problems == {}
            assert project.block == one.block
            for image_id in project.image_ids:
                labels = project.load_labels(image_id)
                assert 0.1 < labels.n_labelled / labels.values.size < 0.5
                assert labels.counts(len(one.classes))[1:].min() >= 20
                path = match_masks([image_id], one.train_masks_dir)[0][image_id]
                truth = BlockLabels.from_mask(read_mask(path, table), one.block, 2 + 1).values
                painted = labels.values > 0
                assert (labels.values == truth)[painted].mean() > 0.97
        again = Project.open(tmp_path / "p")
        assert again.problems == {}
        assert again.spec.images[0].path.startswith("images/")

    def test_test_images_hold_nothing_that_is_trained_on(self, name):
        """No 12 x 12 pixels of a test image occur in a training image."""
        one = sample(name)
        seen = set()
        for path in one.train_images:
            seen |= {w.tobytes() for w in _windows(read_image(path).pixels[..., 0], 1)}
        for path in one.test_images:
            found = [w.tobytes() in seen for w in _windows(read_image(path).pixels[..., 0], 8)]
            assert found
            assert not any(found)


def _windows(pixels, step):
    return sliding_window_view(pixels, (12, 12))[::step, ::step].reshape(-1, 144)


def test_unknown_names_and_existing_folders_are_refused(tmp_path):
    with pytest.raises(ProjectError, match="textures or nuclei"):
        sample_project(tmp_path / "p", "cats")
    with pytest.raises(ProjectError, match="exists"):
        sample_project(tmp_path)
