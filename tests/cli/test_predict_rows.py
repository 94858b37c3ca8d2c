"""Predictions go into files row by row, and are those that are made at once."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_blockseg.cli.prediction import Source, predict_files, predict_planes
from napari_blockseg.cli.worker import jobs
from napari_blockseg.cli.worker.messages import Predict
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.files.images import read_image
from napari_blockseg.files.lazy import LazyArray
from napari_blockseg.files.masks import read_values
from napari_blockseg.files.project import Project
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.predict import predict

from .conftest import untrained_model

CONFIG = PredictConfig(tile=64, halo=32, device="cpu")
ROWS, COLS = 300, 70


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return untrained_model(tmp_path_factory.mktemp("model"), decoder_stride=16)


@pytest.fixture
def stack(tmp_path):
    """Two planes of 16-bit colors in strips: (path, pixels)."""
    values = np.random.default_rng(0).integers(0, 5000, (2, ROWS, COLS, 3), dtype=np.uint16)
    path = tmp_path / "stack.tif"
    tags = {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 32}
    tifffile.imwrite(path, values, metadata={"axes": "ZYXS"}, **tags)
    return path


def test_files_hold_what_arrays_hold(model_folder, stack, tmp_path, monkeypatch):
    model = load_model(model_folder, "cpu")
    expected, chances = predict_planes(
        model, read_image(stack).pixels, CONFIG, lambda share, text: None, probabilities=True
    )
    rows_read = []
    original = LazyArray.__array__

    def recorded(self, dtype=None, copy=None):
        rows_read.append(self.shape[0])
        return original(self, dtype, copy)

    monkeypatch.setattr(LazyArray, "__array__", recorded)
    written = predict_files(model, [Source("a", stack)], tmp_path / "out", CONFIG, True)
    found = read_values(tmp_path / "out" / "a.tif")
    np.testing.assert_array_equal(found, expected)
    assert written == {"a": str(tmp_path / "out" / "a.tif")}
    assert rows_read
    assert max(rows_read) < ROWS / 2
    told = tifffile.imread(tmp_path / "out" / "probabilities" / "a.tif")
    np.testing.assert_allclose(told.reshape(chances.shape), chances, atol=1e-3)


def ask(bench, project, **more):
    """Return the last message of a prediction."""
    request = {"id": 1, "project": str(project.root), "image_id": project.spec.images[0].id}
    request |= {"type": "predict", "model": "run", "out": "predictions/p.tif", "uncertainty": True}
    request |= {"config": CONFIG.model_dump(), "slice": [1]}
    return list(bench.predict(Predict.model_validate(request | more)))[-1]


@pytest.mark.parametrize("small", [0, 2**30])
def test_the_worker_writes_what_the_arrays_hold(model_folder, stack, tmp_path, monkeypatch, small):
    with Project.create(tmp_path / "p", [stack], make_classes(["a", "b"]), 8) as project:
        project.models_dir.mkdir(exist_ok=True)
        (project.models_dir / "run").symlink_to(model_folder)
        monkeypatch.setattr(jobs, "_SMALL_BYTES", small)
        looks = []
        original = jobs.image_limits
        monkeypatch.setattr(jobs, "image_limits", lambda *a: looks.append(a) or original(*a))
        bench = jobs.Workbench()
        model = load_model(model_folder, "cpu")
        steps = predict(model, read_image(stack).pixels[1], CONFIG, uncertainty=True)
        expected = yield_to_end(steps)
        done = ask(bench, project)
        mask = tifffile.imread(project.root / done["path"])
        np.testing.assert_array_equal(mask, expected.mask)
        unsure = tifffile.imread(project.root / done["uncertainty"])
        assert unsure.dtype == np.float32
        np.testing.assert_allclose(unsure, expected.uncertainty, atol=2e-3)
        counts = {"a": int((mask == 1).sum()), "b": int((mask == 2).sum())}
        assert done["classes"] == counts
        ask(bench, project, region=[40, 90, 3, 50], out="predictions/part.tif")
        part = tifffile.imread(project.root / "predictions" / "part.tif")
        assert (part == mask[40:90, 3:50]).mean() > 0.98
        assert len(looks) == 1
        assert (type(bench._image[1]) is LazyArray) == (small == 0)


def yield_to_end(steps):
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
