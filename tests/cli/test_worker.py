"""The worker, driven as a real process."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_blockseg.core.analysis import load_analysis
from napari_blockseg.core.labels import diff
from napari_blockseg.files.project import Project

sys.path.insert(0, str(Path(__file__).parent))
from worker_client import Worker

from .conftest import NAMES, untrained_model

MANY = 100_000  # steps: a training that ends only when told to


@pytest.fixture(scope="module")
def long_worker():
    started = Worker()
    yield started
    started.end()


@pytest.fixture
def worker(long_worker):
    """Return a worker that other tests have used and will use."""
    long_worker.seen.clear()
    yield long_worker
    long_worker.calm()


@pytest.fixture
def own_worker():
    """Return a worker that the test may end."""
    started = Worker()
    yield started
    started.end()


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory, data, run):
    root = tmp_path_factory.mktemp("worker") / "scenes.blockseg"
    classes = data.masks / "classes.json"
    run("new", root, "--images", data.images, "--classes-json", classes, "--block", 16)
    run("simulate", root, "--masks", data.masks)
    return root


def test_greeting_comes_before_torch(worker):
    assert worker.hello["id"] == 0
    assert worker.hello["protocol"] == 1
    assert worker.hello["pid"] == worker.process.pid
    assert "cpu" in worker.hello["devices"]


def test_another_protocol_is_refused_and_ends_it():
    worker = Worker(hello=False)
    try:
        worker.write({"id": 0, "type": "hello", "protocol": 2})
        error = worker.wait_for("error", 0)
        assert "protocol 2" in error["message"]
        assert worker.process.wait(timeout=10) == 1
    finally:
        worker.end()


def test_something_else_than_hello_first_is_refused():
    worker = Worker(hello=False)
    try:
        worker.write({"id": 3, "type": "pause"})
        assert worker.wait_for("error", 3)["kind"] == "WorkerError"
        assert worker.process.wait(timeout=10) == 1
    finally:
        worker.end()


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b"\xff\xfe", b'{"id": 7, "type": "dance"}', b'{"id": 7, "type": "predict"}'],
)
def test_a_broken_request_is_answered_and_survived(worker, line):
    worker.write_line(line)
    error = worker.wait_for("error")
    assert error["kind"] == "WorkerError"
    assert error["id"] == (7 if b"7" in line else None)
    number = worker.ask("pause")
    assert worker.wait_for("state", number)["state"] == "idle"


def test_shutdown_says_bye(own_worker):
    number = own_worker.ask("shutdown")
    own_worker.wait_for("bye", number)
    assert own_worker.process.wait(timeout=10) == 0


def test_nothing_but_messages_reaches_the_output(tmp_path, shared_project):
    """A library that prints while it is imported must not break the protocol."""
    noisy = tmp_path / "sitecustomize.py"
    noisy.write_text(
        "import builtins, os\n"
        "real = builtins.__import__\n"
        "def loud(name, *args, **kwargs):\n"
        "    if name == 'torch':\n"
        "        print('noise from print')\n"
        "        os.write(1, b'noise from fd 1\\n')\n"
        "        builtins.__import__ = real\n"
        "    return real(name, *args, **kwargs)\n"
        "builtins.__import__ = loud\n"
    )
    worker = Worker(PYTHONPATH=str(tmp_path))
    try:
        number = worker.ask("pause")
        worker.wait_for("state", number)  # json.loads fails on noise
        time.sleep(0.2)
        assert b"noise from print" in b"".join(worker.errors)
        assert b"noise from fd 1" in b"".join(worker.errors)
    finally:
        worker.end()


def test_a_training_reports_and_leaves_a_model(worker, shared_project):
    number = worker.train(shared_project, run="short", steps=3)
    done = worker.wait_for("train_done", number)
    assert done["steps"] == 3
    assert not done["stopped"]
    kinds = [message["type"] for message in worker.seen if message["id"] == number]
    assert kinds.count("train_step") == 3
    assert kinds.index("train_started") < kinds.index("train_step")
    assert (shared_project / "models" / "short" / "model.safetensors").exists()
    again = worker.train(shared_project, run="short", steps=3)
    assert worker.wait_for("error", again)["kind"] == "ModelError"


def test_pause_holds_and_resume_goes_on(worker, shared_project):
    number = worker.train(shared_project, run="pausing", steps=MANY)
    worker.wait_for("train_step", number)
    pause = worker.ask("pause")
    assert worker.wait_for("state", pause)["state"] == "paused"
    assert worker.no_more_than(1.0) == []
    resume = worker.ask("resume")
    assert worker.wait_for("state", resume)["state"] == "training"
    worker.wait_for("train_step", number)


def test_pause_acts_within_one_step(worker, shared_project):
    number = worker.train(shared_project, run="one-step", steps=MANY)
    worker.wait_for("train_step", number)
    pause = worker.ask("pause")
    seen = len(worker.seen)
    worker.wait_for("state", pause)
    between = [m for m in worker.seen[seen:] if m["type"] == "train_step"]
    # One step may have been on its way in the pipe, one at work when the request came.
    assert len(between) <= 2


def test_stop_saves_and_says_so_and_can_be_resumed(worker, shared_project):
    number = worker.train(shared_project, run="stopped", steps=MANY)
    worker.wait_for("train_step", number)
    stop = worker.ask("stop")
    done = worker.wait_for("train_done", number)
    assert done["stopped"]
    assert done["steps"] >= 1
    assert worker.wait_for("state", stop)["state"] == "idle"
    folder = shared_project / "models" / "stopped"
    assert (folder / "model.safetensors").exists()
    again = worker.train(shared_project, run="stopped", resume=True, steps=done["steps"] + 2)
    assert worker.wait_for("train_started", again)["resumed_at"] == done["steps"]
    assert worker.wait_for("train_done", again)["steps"] == done["steps"] + 2


def test_a_second_training_waits_for_nobody(worker, shared_project):
    first = worker.train(shared_project, run="first", steps=MANY)
    second = worker.train(shared_project, run="second", steps=MANY)
    assert "still runs" in worker.wait_for("error", second)["message"]
    worker.wait_for("train_step", first)


def test_errors_name_their_kind(worker, tmp_path, data, run, shared_project):
    missing = worker.train(tmp_path / "nowhere")
    assert worker.wait_for("error", missing)["kind"] == "ProjectError"
    no_model = worker.predict(shared_project, "scene_0", "never-trained")
    assert worker.wait_for("error", no_model)["kind"] == "ModelError"
    no_training = worker.predict(shared_project, "scene_0", "live")
    assert worker.wait_for("error", no_training)["kind"] == "ModelError"
    root = tmp_path / "empty.blockseg"
    run("new", root, "--images", data.images, "--classes", "a,b")
    unlabelled = worker.train(root)
    assert worker.wait_for("error", unlabelled)["kind"] == "LabelError"


def test_predicts_a_region_and_a_whole_image(worker, shared_project):
    worker.wait_for("train_done", worker.train(shared_project, run="model", steps=2))
    number = worker.predict(shared_project, "scene_0", "model", uncertainty=True)
    done = worker.wait_for("predict_done", number)
    assert any(m["type"] == "predict_progress" and m["id"] == number for m in worker.seen)
    mask = tifffile.imread(shared_project / done["path"])
    assert mask.shape == (128, 160)
    assert set(np.unique(mask)) <= {1, 2, 3}
    assert sum(done["classes"].values()) == mask.size
    doubt = tifffile.imread(shared_project / done["uncertainty"])
    assert doubt.shape == mask.shape
    assert 0 <= doubt.min() <= doubt.max() <= 1
    region = [17, 83, 31, 111]
    part = worker.predict(
        shared_project, "scene_0", "model", region=region, out="predictions/p/é 1.tif"
    )
    done = worker.wait_for("predict_done", part)
    assert done["region"] == region
    piece = tifffile.imread(shared_project / "predictions" / "p" / "é 1.tif")
    assert np.mean(piece == mask[17:83, 31:111]) > 0.99


@pytest.mark.parametrize("out", ["../outside.tif", "/tmp/outside.tif", "a.png", "a/../../b.tif"])
def test_a_prediction_cannot_leave_the_project(worker, shared_project, out):
    number = worker.predict(shared_project, "scene_0", "live", out=out)
    assert worker.wait_for("error", number)["kind"] == "WorkerError"


def test_a_live_prediction_comes_between_training_steps(worker, shared_project):
    number = worker.train(shared_project, run="live-run", steps=MANY)
    worker.wait_for("train_step", number)
    preview = worker.predict(shared_project, "scene_1", "live", out="predictions/live.tif")
    worker.wait_for("predict_done", preview, timeout=30)
    assert tifffile.imread(shared_project / "predictions" / "live.tif").shape == (128, 160)
    worker.wait_for("train_step", number)


def test_live_predictions_leave_the_training_as_it_was(worker, shared_project):
    """The weights after 6 steps are the same with previews between the steps and without."""
    plain = worker.train(shared_project, run="without-previews", steps=6)
    worker.wait_for("train_done", plain)
    number = worker.train(shared_project, run="with-previews", steps=6)
    for _ in range(3):
        worker.wait_for("train_step", number)
        preview = worker.predict(shared_project, "scene_2", "live")
        worker.wait_for("predict_done", preview)
    if not any(m["type"] == "train_done" and m["id"] == number for m in worker.seen):
        worker.wait_for("train_done", number)
    weights = [
        (shared_project / "models" / run / "model.safetensors").read_bytes()
        for run in ("without-previews", "with-previews")
    ]
    assert weights[0] == weights[1]


def test_cancel_ends_a_prediction(worker, shared_project):
    worker.train(shared_project, run="busy", steps=MANY)
    first = worker.predict(shared_project, "scene_0", "live")
    second = worker.predict(shared_project, "scene_1", "live", out="predictions/never.tif")
    cancel = worker.ask("cancel", of=second)
    assert worker.wait_for("error", second)["kind"] == "Cancelled"
    assert worker.wait_for("state", cancel)["state"] == "training"
    assert not (shared_project / "predictions" / "never.tif").exists()
    assert first


def test_labels_painted_while_training_are_learned(worker, project):
    """Erasing everything ends the training, so what is painted does reach it, within 2 seconds."""
    number = worker.train(project, run="followed", steps=MANY)
    worker.wait_for("train_step", number)
    before = worker.work_seconds()
    with Project.open(project, write=True) as opened:
        for image_id in opened.image_ids:
            old = opened.load_labels(image_id).values
            opened.record(image_id, diff(old, np.zeros_like(old)), "clear")
    done = worker.wait_for("train_done", number, timeout=30)
    assert done["stopped"]
    assert worker.work_seconds() - before < 2
    steps = [m["step"] for m in worker.seen if m["type"] == "train_step" and m["id"] == number]
    assert steps == list(range(1, len(steps) + 1))


def test_it_leaves_when_its_input_ends(own_worker):
    own_worker.process.stdin.close()
    assert own_worker.process.wait(timeout=5) == 0


def test_it_leaves_within_two_seconds_also_in_the_middle_of_a_step(own_worker, project):
    """A crop of 1024 pixels and many of them: a step takes far longer than two seconds."""
    number = own_worker.train(project, run="deep", steps=MANY, crop=1024, batch_size=64, scale=1.0)
    own_worker.wait_for("train_started", number)
    time.sleep(0.5)
    start = time.monotonic()
    own_worker.process.stdin.close()
    own_worker.process.wait(timeout=10)
    assert time.monotonic() - start < 2.5
    assert not any(m["type"] == "train_step" for m in own_worker.seen)


def test_it_leaves_when_nobody_reads(own_worker, shared_project):
    own_worker.train(shared_project, run="unread", steps=MANY)
    own_worker.process.stdout.close()
    own_worker.process.wait(timeout=60)


def test_it_computes_with_all_cores_but_one():
    from napari_blockseg.cli.worker import process

    code = (
        "import torch, napari_blockseg.cli.worker.process as p\n"
        "p.usable_cores = lambda: 2\n"
        "p._leave_a_core_free()\n"
        "print(torch.get_num_threads())\n"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert process.usable_cores() >= 1


# -- analysis ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def analysed_run(long_worker, shared_project):
    long_worker.wait_for(
        "train_done", long_worker.train(shared_project, run="to-analyse", steps=10, crop=96)
    )
    return "to-analyse"


def analyse(worker, project, run, **fields):
    return worker.ask("analyse", project=str(project), model=run, **fields)


def test_an_analysis_reports_and_is_kept_beside_the_model(worker, shared_project, analysed_run):
    number = analyse(worker, shared_project, analysed_run, max_images=2)
    done = worker.wait_for("analysis_done", number)
    assert done["path"] == f"models/{analysed_run}/analysis.json"
    found = load_analysis(shared_project / "models" / analysed_run)
    assert found.images == 2
    assert [one.moment for one in found.checkpoints] == ["start", "early", "end"]
    assert [one.step for one in found.checkpoints] == [0, 1, 10]
    assert found.recommended_stride == done["recommended_stride"]
    assert len(found.end.layers) == 9
    progress = [m for m in worker.seen if m["type"] == "analysis_progress" and m["id"] == number]
    assert [m["done"] for m in progress] == list(range(1, 2 + 3 * 2 + 1))
    assert progress[-1]["total"] == progress[-1]["done"]


def test_an_analysis_without_layers(worker, shared_project, analysed_run):
    number = analyse(worker, shared_project, analysed_run, max_images=1, layers=False)
    worker.wait_for("analysis_done", number)
    found = load_analysis(shared_project / "models" / analysed_run)
    assert found.end.layers == ()
    assert found.end.miou is not None


def test_an_analysis_comes_between_training_steps_and_behind_previews(
    worker, shared_project, analysed_run
):
    training = worker.train(shared_project, run="meanwhile", steps=MANY)
    worker.wait_for("train_step", training)
    number = analyse(worker, shared_project, analysed_run)
    preview = worker.predict(shared_project, "scene_0", "live", out="predictions/while.tif")
    worker.wait_for("analysis_done", number)
    worker.wait_for("train_step", training)
    order = [m["type"] for m in worker.seen]
    first = order.index("analysis_progress")
    last = order.index("analysis_done")
    assert "train_step" in order[first:last]
    assert "predict_done" in order[:last]
    assert any(m["type"] == "predict_done" and m["id"] == preview for m in worker.seen)


def test_a_cancelled_analysis_writes_nothing(worker, shared_project, analysed_run):
    path = shared_project / "models" / analysed_run / "analysis.json"
    path.unlink(missing_ok=True)
    number = analyse(worker, shared_project, analysed_run)
    worker.wait_for("analysis_progress", number)
    cancel = worker.ask("cancel", of=number)
    assert worker.wait_for("error", number)["kind"] == "Cancelled"
    assert worker.wait_for("state", cancel)["state"] == "idle"
    assert not path.exists()
    assert worker.no_more_than(0.5) == []


@pytest.mark.parametrize("model", ["never-trained", "live", "../elsewhere", ""])
def test_what_cannot_be_analysed_is_an_error(worker, shared_project, model):
    number = analyse(worker, shared_project, model)
    kind = "ModelError" if model == "never-trained" else "WorkerError"
    assert worker.wait_for("error", number)["kind"] == kind


def test_blocks_to_label_next_are_answered_and_can_be_cancelled(worker, shared_project):
    untrained_model(shared_project / "models" / "untrained", NAMES)
    fields = {"project": str(shared_project), "model": "untrained"}
    number = worker.ask("suggest", **fields)
    cancel = worker.ask("cancel", of=number)
    assert worker.wait_for("error", number)["kind"] == "Cancelled"
    assert worker.wait_for("state", cancel)["state"] == "idle"
    done = worker.wait_for("suggest_done", worker.ask("suggest", **fields))
    assert done["block"] == 16
    found = {(one["image_id"], one["row"], one["col"]) for one in done["suggestions"]}
    assert found == {("scene_0", 0, 0), ("scene_0", 0, 1)}, "only its void corner is unlabelled"
    number = worker.ask("suggest", **fields, method="best")
    assert worker.wait_for("error", number)["kind"] == "WorkerError"
