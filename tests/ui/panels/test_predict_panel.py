"""The Predict panel and its jobs: preview, whole images, stop, export, against a fake worker."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image
from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.classes import make_classes
from napari_blockseg.files.predictions import class_notes
from napari_blockseg.ui.export import export_masks, new_folder
from napari_blockseg.ui.panels.predict import LIVE, PredictChoice, PredictPanel
from napari_blockseg.ui.predict_jobs import PredictJobs, middle
from napari_blockseg.ui.runs import RunInfo, list_runs, run_title


class FakeTraining(QObject):
    live_changed = Signal(bool)
    learned = Signal()
    runs_listed = Signal(object)
    run = "run-1"
    interactive = False


@pytest.fixture
def panel(session, qtbot):
    widget = PredictPanel(session)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def begin(session, panel, make_client):
    """Return a maker of the jobs that join the panel with a fake worker and a fake training."""
    made = []

    def make(how: str) -> PredictJobs:
        made.append(PredictJobs(session, make_client(how), panel, FakeTraining()))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


def test_without_a_model_nothing_can_be_predicted(panel):
    assert panel.value().model == ""
    assert "train one first" in panel.model.currentText()
    assert not panel.preview.isEnabled()
    assert not panel.export.isEnabled()


def test_models_are_listed_and_the_network_in_training_is_chosen(panel):
    told = []
    panel.value_changed.connect(lambda: told.append(panel.value().model))
    panel.set_runs([RunInfo("b", 0.51, False), RunInfo("a")])
    panel.set_live(True)
    assert [panel.model.itemText(i) for i in range(3)] == ["in training", "b, mIoU 0.51", "a"]
    assert panel.value().model == LIVE
    panel.set_live(False)
    assert panel.value().model == "b"
    assert told == ["b", LIVE, "b"]


def test_a_new_list_keeps_what_was_chosen(panel):
    panel.set_runs([RunInfo("b"), RunInfo("a")])
    panel.set_value(PredictChoice("a", True, 0.25))
    panel.set_runs([RunInfo("c"), RunInfo("b"), RunInfo("a")])
    assert panel.value() == PredictChoice("a", True, 0.25)


def test_a_preview_shows_the_region_in_view(panel, session, begin, qtbot):
    begin("plain")
    panel.set_live(True)
    panel.preview.click()
    qtbot.waitUntil(lambda: bool(session.shown))
    image_id, mask, region = session.shown[0]
    assert (image_id, region) == ("a", (0, 64, 0, 96))
    assert mask.shape == (64, 96)
    assert (mask == 2).all()
    qtbot.waitUntil(lambda: not list(session.project.cache_dir.iterdir()))
    assert "sky" in panel.result.text()
    assert panel.preview.isEnabled()


def test_all_images_are_predicted_and_kept_the_damaged_one_is_left_out(
    panel, session, begin, qtbot
):
    jobs = begin("plain")
    panel.set_runs([RunInfo("final")])
    panel.all_images.click()
    qtbot.waitUntil(lambda: not jobs.busy)
    kept = sorted(path.name for path in (session.project.predictions_dir / "final").iterdir())
    assert kept == ["a.tif", "b.tif"]
    qtbot.waitUntil(lambda: bool(session.shown))
    assert [shown[0] for shown in session.shown] == ["a"], "only the shown image gets a layer"


def test_a_whole_image_by_the_network_in_training_goes_to_its_run(panel, session, begin, qtbot):
    jobs = begin("plain")
    panel.set_live(True)
    panel.image.click()
    qtbot.waitUntil(lambda: not jobs.busy)
    assert (session.project.predictions_dir / "run-1" / "a.tif").is_file()


def test_stop_gives_up_and_says_so(panel, session, begin, qtbot):
    jobs = begin("hang")
    panel.set_runs([RunInfo("final")])
    panel.all_images.click()
    qtbot.waitUntil(lambda: not panel.bar.isHidden())
    assert not panel.preview.isEnabled()
    panel.bar.stop.click()
    assert not jobs.busy
    assert panel.bar.isHidden()
    assert panel.message.text() == "Stopped."
    assert panel.preview.isEnabled()


def test_a_plane_of_a_stack_does_not_pass_for_the_whole(panel, session, begin, qtbot):
    jobs = begin("plain")
    session.shapes["a"] = (3, 640, 640)
    session.index = (2,)
    panel.set_runs([RunInfo("final")])
    panel.all_images.click()
    qtbot.waitUntil(lambda: not jobs.busy)
    folder = session.project.predictions_dir / "final"
    assert [path.name for path in folder.iterdir()] == ["b.tif"]
    assert "Left out, as stacks: a." in panel.message.text()
    panel.image.click()
    assert not jobs.busy
    assert "Left out, as stacks: a." in panel.message.text()


def test_failures_are_counted_and_told(panel, session, begin, qtbot):
    jobs = begin("no-model")
    panel.set_runs([RunInfo("final")])
    panel.all_images.click()
    qtbot.waitUntil(lambda: not jobs.busy)
    assert "2 of 2 images failed. The model is damaged." in panel.message.text()
    panel.preview.click()
    qtbot.waitUntil(lambda: not jobs.busy)
    assert panel.message.text().endswith("The model is damaged.")
    assert "2 of 2" not in panel.message.text()


def test_nothing_in_view_is_said(panel, session, begin):
    begin("plain")
    session.view = None
    panel.set_live(True)
    panel.preview.click()
    assert "No part of the image is in view" in panel.message.text()


def camera_of(session):
    return getattr(session.viewer, "scene", session.viewer).camera


def test_keeping_up_to_date_follows_the_view_and_the_training(panel, session, begin, qtbot):
    jobs = begin("plain")
    panel.set_live(True)
    panel.follow.setChecked(True)
    qtbot.waitUntil(lambda: len(session.shown) == 1)
    camera_of(session).zoom = 3
    qtbot.waitUntil(lambda: len(session.shown) == 2)
    jobs._training.learned.emit()
    qtbot.waitUntil(lambda: len(session.shown) == 3)
    panel.follow.setChecked(False)
    camera_of(session).zoom = 4
    jobs._training.learned.emit()
    qtbot.wait(500)
    assert len(session.shown) == 3


def test_an_interactive_session_shows_its_own_previews(panel, session, begin, qtbot):
    jobs = begin("plain")
    jobs._training.interactive = True
    panel.set_live(True)
    panel.follow.setChecked(True)
    qtbot.wait(400)  # the view rests
    assert session.shown == []
    assert not jobs.busy
    panel.uncertainty.setChecked(True)
    with qtbot.waitSignal(jobs._reader.done, timeout=60_000):
        pass
    assert session.shown == [], "asked where it is unsure, its mask stays out of the way"
    panel.uncertainty.setChecked(False)
    panel.preview.click()
    qtbot.waitUntil(lambda: len(session.shown) == 1)


def test_opacity_goes_to_the_layer(panel, session, begin):
    layer = SimpleNamespace(opacity=1.0)
    session.prediction_layer = lambda: layer
    begin("plain")
    panel.opacity.setValue(20)
    assert layer.opacity == 0.2


def test_the_bar_divides_its_width(panel):
    panel.show_result({"sky": 75, "road": 25, "tree": 0}, "a")
    assert panel.shares.segments(200) == [(0, 150), (150, 50)]
    assert "sky&nbsp;75" in panel.result.text()
    panel.show_result({"sky": 0}, "a")
    assert panel.shares.isHidden()


@pytest.mark.parametrize(
    ("region", "expected"),
    [((0, 10, 0, 10), (0, 10, 0, 10)), ((0, 100, 5, 15), (30, 70, 5, 15))],
)
def test_a_preview_is_cut_to_its_middle(region, expected):
    assert middle(region, side=40) == expected


def test_export_writes_ids_classes_and_the_model(session, tmp_path):
    predictions, model = tmp_path / "predictions" / "final", tmp_path / "models" / "final"
    for folder in (predictions, model):
        folder.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "model.json").write_text("{}")
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(image)
    mask = np.ones((8, 12), np.uint8)
    mask[2] = 3
    tifffile.imwrite(predictions / "a.tif", mask)
    classes = tuple(info.model_copy(update={"id": 10 * info.value}) for info in session.classes)
    out = tmp_path / "out"
    images = {"a": (image, None), "b": (tmp_path / "gone.png", None)}
    assert list(export_masks(predictions, images, classes, out, model)) == [(0, 1), (1, 1)]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "a.png")), 10 * mask)
    assert json.loads((out / "classes.json").read_text())["classes"][0]["id"] == 10
    assert (out / "model" / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("says", ["in the mask", "in the model"])
def test_export_goes_by_the_names_of_classes_not_by_old_values(session, tmp_path, says):
    """Classes A, B, C; A was deleted since: what was 2 is 1 now, and what was A has no class."""
    predictions, model = tmp_path / "predictions" / "final", tmp_path / "models" / "final"
    for folder in (predictions, model):
        folder.mkdir(parents=True)
    then, now = make_classes(["A", "B", "C"]), make_classes(["B", "C"])
    spec = {"classes": [info.model_dump() for info in then]}
    (model / "model.json").write_text(json.dumps(spec if says == "in the model" else {}))
    (model / "model.safetensors").write_bytes(b"weights")
    image = tmp_path / "a.png"
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(image)
    mask = np.array([[1, 2, 3], [0, 3, 2]], np.uint8)
    note = json.dumps(class_notes(then)) if says == "in the mask" else None
    tifffile.imwrite(predictions / "a.tif", mask, description=note, metadata=None)
    steps = export_masks(predictions, {"a": (image, None)}, now, tmp_path / "out", model)

    def said():
        return (yield from steps)

    done = said()
    assert [next(done), next(done)] == [(0, 1), (1, 1)]
    with pytest.raises(StopIteration) as end:
        next(done)
    assert end.value.value == ["A"]
    found = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(found, [[255, 1, 2], [255, 2, 1]])


def test_export_without_predictions_says_what_to_press(session, tmp_path):
    with pytest.raises(ValueError, match="Press 'Whole image'"):
        list(export_masks(tmp_path / "none", {"a": (tmp_path, None)}, (), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_export_never_writes_into_a_folder_that_exists(tmp_path):
    (tmp_path / "p-run").mkdir()
    (tmp_path / "p-run-2").mkdir()
    assert new_folder(tmp_path, "p-run") == tmp_path / "p-run-3"


def test_runs_are_listed_newest_first_and_a_broken_description_does_no_harm(tmp_path):
    import os

    for age, (name, text) in enumerate({"new": '{"val_miou": 0.5}', "old": "{broken"}.items()):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
        (tmp_path / name / "model.json").write_text(text)
        os.utime(tmp_path / name / "model.safetensors", (1000 - age, 1000 - age))
    (tmp_path / "unfinished").mkdir()
    assert list_runs(tmp_path) == [RunInfo("new", 0.5), RunInfo("old")]
    assert list_runs(tmp_path / "none") == []


def test_names_of_runs_are_readable():
    assert run_title("20261122-130812-ab3f") == "11-22 13:08:12"
    assert run_title("my run") == "my run"


@pytest.mark.parametrize(
    ("description", "resumable"),
    [
        ({"steps": 5, "train": {"steps": 10}}, True),
        ({"steps": 10, "train": {"steps": 10}}, False),
        ({"steps": 10, "seconds": 59.0, "train": {"minutes": 1}}, True),
        ({"steps": 10, "seconds": 61.0, "train": {"minutes": 1}}, False),
        ({}, True),
    ],
)
def test_only_an_unfinished_run_can_go_on(tmp_path, description, resumable):
    (tmp_path / "run").mkdir()
    for name in ("model.safetensors", "resume.safetensors"):
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / "model.json").write_text(json.dumps(description))
    assert list_runs(tmp_path)[0].resumable == resumable
    (tmp_path / "run" / "resume.safetensors").unlink()
    assert not list_runs(tmp_path)[0].resumable


def test_a_worker_that_dies_ends_the_queue_and_no_other_one_is_started(
    panel, session, begin, qtbot
):
    jobs = begin("die")
    panel.set_runs([RunInfo("final")])
    panel.all_images.click()
    qtbot.waitUntil(lambda: not jobs.busy)
    assert jobs._client.status == "dead"
    assert jobs._client.pid is None
    assert "1 of 2 images failed. The worker ended (exit code 3)" in panel.message.text()
    assert panel.preview.isEnabled()


def test_previews_that_nobody_came_for_are_removed(panel, session, begin, qtbot):
    import os

    cache = session.project.cache_dir
    cache.mkdir()
    for name, age in (("preview-old.tif", 1000), ("preview-new.tif", 0), ("other.tif", 1000)):
        (cache / name).touch()
        now = (cache / name).stat().st_mtime
        os.utime(cache / name, (now - age, now - age))
    begin("plain")
    panel.set_live(True)
    panel.preview.click()
    qtbot.waitUntil(lambda: bool(session.shown))
    assert sorted(path.name for path in cache.iterdir()) == ["other.tif", "preview-new.tif"]
