"""Interactive mode in the worker, driven as a real process on strokes that a journal takes."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_blockseg.cli.worker.interactive import InteractiveDesk, PaintedProject, only_renamed
from napari_blockseg.cli.worker.messages import Interactive
from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.labels import diff
from napari_blockseg.files.project import Project
from napari_blockseg.learn.checkpoint import load_model, load_spec
from napari_blockseg.learn.interactive import background, behind, carrying

sys.path.insert(0, str(Path(__file__).parent))
from worker_client import Worker

NETWORK = {"weights": "none"}
TRAIN = {"device": "cpu", "crop": 64}
#: Blocks (rows, cols) of 16 pixels in the first scene, by class.
STROKES = {1: (slice(0, 1), slice(0, 8)), 2: (slice(6, 8), slice(0, 2))}


@pytest.fixture(scope="module")
def worker():
    started = Worker()
    yield started
    started.end()


@pytest.fixture
def painting(tmp_path, data, run):
    """Return a project without labels, open for painting."""
    root = tmp_path / "scenes.blockseg"
    classes = data.masks / "classes.json"
    run("new", root, "--images", data.images, "--classes-json", classes, "--block", 16)
    with Project.open(root, write=True) as project:
        yield project


def paint(project, image_id, strokes):
    old = project.load_labels(image_id).values
    new = old.copy()
    for value, where in strokes.items():
        new[where] = value
    project.record(image_id, diff(old, new), "paint")


def begin(worker, project, run, **fields):
    settings = {"network": NETWORK, "train": TRAIN, "image_id": "scene_0", **fields}
    return worker.ask("interactive", project=str(project.root), run=run, **settings)


def preview_of(worker, project, number, timeout=60):
    found = worker.wait_for("interactive_preview", number, timeout)
    return found, tifffile.imread(project.root / found["path"])


def stop(worker, number):
    state = worker.ask("stop")
    done = worker.wait_for("train_done", number)
    assert worker.wait_for("state", state)["state"] == "idle"
    return done


def test_features_are_made_before_there_are_strokes_and_found_again(worker, painting):
    ask = {"project": str(painting.root), "network": NETWORK, "train": TRAIN}
    number = worker.ask("features", image_id="scene_0", **ask)
    first = worker.wait_for("features_done", number, timeout=120)  # the worker imports torch first
    assert (first["tiles"], first["computed"]) == (1, 1)
    assert len(list((painting.cache_dir / "features").glob("*.npz"))) == 1
    again = worker.wait_for("features_done", worker.ask("features", image_id="scene_0", **ask))
    assert (again["tiles"], again["computed"]) == (1, 0)
    missing = worker.ask("features", image_id="nothing", **ask)
    assert worker.wait_for("error", missing)["kind"] == "ProjectError"


def test_strokes_become_previews_while_it_runs(worker, painting):
    number = begin(worker, painting, "quick", full=False)
    worker.wait_for("train_started", number)
    paint(painting, "scene_0", {1: STROKES[1]})
    time.sleep(0.6)
    assert not any(m["type"] == "interactive_preview" for m in worker.seen)
    paint(painting, "scene_0", {2: STROKES[2]})
    found, mask = preview_of(worker, painting, number)
    assert found["source"] == "interactive"
    assert found["region"] == [0, 128, 0, 160]
    assert mask.shape == (128, 160)
    assert set(np.unique(mask)) == {1, 2}
    assert found["classes"] == {
        "field": int((mask == 1).sum()),
        "wood": int((mask == 2).sum()),
        "water": 0,
    }
    assert (mask[:16, :128] == 1).mean() > 0.9
    # What is painted while it runs is there within two seconds; nothing restarts.
    began = worker.work_seconds()
    paint(painting, "scene_0", {3: (slice(4, 6), slice(3, 5))})
    _, mask = preview_of(worker, painting, number)
    assert worker.work_seconds() - began < 2
    assert 3 in mask
    # Another image's labels count too, and another view is previewed.
    paint(painting, "scene_1", {1: (slice(0, 1), slice(0, 8))})
    preview_of(worker, painting, number)
    look = worker.ask("view", image_id="scene_1", region=[10, 50, 20, 90])
    assert worker.wait_for("state", look)["state"] == "training"
    found, mask = preview_of(worker, painting, number)
    while found["image_id"] != "scene_1":
        found, mask = preview_of(worker, painting, number)
    assert found["region"] == [10, 50, 20, 90]
    assert mask.shape == (40, 70)
    done = stop(worker, number)
    assert done["stopped"]
    assert done["steps"] == 0
    assert sum(m["type"] == "train_started" for m in worker.seen if m["id"] == number) == 1
    assert len(list(painting.cache_dir.glob("preview-*.tif"))) <= 4


def test_the_network_learns_behind_pauses_and_is_kept(worker, painting, run):
    paint(painting, "scene_0", STROKES)
    number = begin(worker, painting, "behind")
    preview_of(worker, painting, number)
    step = worker.wait_for("train_step", number)
    assert step["steps"] is None
    pause = worker.ask("pause")
    seen = len(worker.seen)
    assert worker.wait_for("state", pause)["state"] == "paused"
    assert sum(m["type"] == "train_step" for m in worker.seen[seen:]) <= 2
    assert worker.no_more_than(0.7) == []
    assert worker.wait_for("state", worker.ask("resume"))["state"] == "training"
    worker.wait_for("train_step", number)
    live = worker.predict(painting.root, "scene_0", "live", out="predictions/live.tif")
    worker.wait_for("predict_done", live)
    done = stop(worker, number)
    assert done["steps"] >= 2
    folder = painting.models_dir / "behind"
    assert done["source"] == "interactive"
    assert load_model(folder, "cpu").spec.network.network == "linear"
    assert load_model(folder / "last", "cpu").spec.steps == done["steps"]
    again = worker.predict(painting.root, "scene_1", "behind")
    worker.wait_for("predict_done", again)
    taken = begin(worker, painting, "behind")
    assert worker.wait_for("error", taken)["kind"] == "ModelError"


def test_classes_that_are_added_are_learned(worker, painting):
    paint(painting, "scene_0", STROKES)
    number = begin(worker, painting, "more", full=False)
    preview_of(worker, painting, number)
    painting.set_classes([*painting.classes, "sky"])
    message = worker.wait_for("notice", number)["message"]
    assert "more stays as it is" in message
    paint(painting, "scene_0", {4: (slice(3, 5), slice(3, 5))})
    found, mask = preview_of(worker, painting, number)
    while 4 not in mask:
        found, mask = preview_of(worker, painting, number)
    assert found["classes"]["sky"] > 0
    folder = Path(stop(worker, number)["model"])
    assert folder.name in message
    known = {name: len(load_spec(painting.models_dir / name).classes) for name in painting.runs()}
    assert known == {"more": 3, folder.name: 4}


def test_strokes_come_in_while_the_network_learns_and_a_kill_loses_no_model(painting):
    worker = Worker()
    try:
        paint(painting, "scene_0", STROKES)
        number = begin(worker, painting, "killed", train={**TRAIN, "checkpoint_seconds": 1})
        worker.wait_for("train_step", number)
        for row in (3, 4):
            began = worker.work_seconds()
            paint(painting, "scene_0", {3: (row, slice(3, 7))})
            _, mask = preview_of(worker, painting, number)
            assert worker.work_seconds() - began < 2
            assert 3 in mask
            worker.wait_for("train_step", number)
        folder = painting.models_dir / "killed"
        kept = (folder, folder / "last")
        while not all((one / "model.json").exists() for one in kept):
            worker.wait_for("train_step", number)
        worker.process.kill()
        worker.process.wait()
        messages = [m for m in worker.seen if m["id"] == number]
        assert sum(m["type"] == "train_started" for m in messages) == 1
        steps = [m["step"] for m in messages if m["type"] == "train_step"]
        assert steps == list(range(1, len(steps) + 1))
    finally:
        worker.end()
    head, last = (load_model(one, "cpu") for one in kept)
    assert head.spec.network.network == "linear"
    assert 1 <= last.spec.steps <= len(steps) + 1
    assert "killed" in painting.runs()


def test_it_saves_when_its_client_goes_away(worker, painting):
    """Last of all: it ends the worker that the others have used."""
    paint(painting, "scene_0", STROKES)
    number = begin(worker, painting, "left")
    worker.wait_for("train_step", number)
    worker.process.stdin.close()
    assert worker.process.wait(timeout=5) == 0
    assert (painting.models_dir / "left" / "model.safetensors").exists()


# -- in this process: what a session makes of other classes ------------------------------------


@pytest.fixture
def desk():
    return InteractiveDesk(Project.open)


def run_session(desk, project, folder, **fields):
    request = Interactive(
        id=1,
        type="interactive",
        project=str(project.root),
        run=folder.name,
        image_id="scene_0",
        network=NETWORK,
        train=TRAIN,
        **fields,
    )
    return desk.run(request, folder)


def until(messages, kind, most=400):
    """Return the first message of a kind, and all up to it."""
    seen = []
    for _ in range(most):
        message = next(messages)
        if message is not None:
            seen.append(message)
            if message["type"] == kind:
                return message, seen
    raise AssertionError(f"no {kind} in {most} turns; {seen[-2:]}")


def content(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_classes_with_other_names_are_the_same_classes(desk, painting):
    paint(painting, "scene_0", STROKES)
    folder = painting.models_dir / "renamed"
    with closing(run_session(desk, painting, folder)) as messages:
        step, _ = until(messages, "train_step")
        session = desk.session
        painting.set_classes(["meadow", "wood", "water"])
        later, seen = until(messages, "train_step")
        assert {one["type"] for one in seen} <= {"train_step", "interactive_preview", "validation"}
        assert later["step"] == step["step"] + 1
        assert desk.session is session
        assert session.live_model().spec.classes[0].name == "meadow"
        paint(painting, "scene_0", {3: (slice(4, 6), slice(3, 5))})
        assert "meadow" in until(messages, "interactive_preview")[0]["classes"]
    for kept in (folder, folder / "last"):
        assert [info.name for info in load_spec(kept).classes] == ["meadow", "wood", "water"]


def test_a_class_that_is_added_takes_nothing_of_what_was_learned(desk, painting, monkeypatch):
    monkeypatch.setattr(carrying, "FROM_HEAD", 2)
    monkeypatch.setattr(background, "FROM_HEAD", 2)
    monkeypatch.setattr(behind, "FROM_HEAD", 2)
    paint(painting, "scene_0", STROKES)
    folder = painting.models_dir / "first"
    with closing(run_session(desk, painting, folder)) as messages:
        while (step := until(messages, "train_step")[0]["step"]) < 3:
            pass
        painting.set_classes(["meadow", "wood", "water", "sky"])
        notice, _ = until(messages, "notice")
        assert "first stays as it is" in notice["message"]
        assert "goes on with what it has learned" in notice["message"]
        kept = content(folder)
        was = load_model(folder / "last", "cpu")
        assert [info.name for info in was.spec.classes] == ["meadow", "wood", "water"]
        assert was.spec.steps == step
        next(messages)
        carried = desk.session._behind._learned.network.state_dict()
        for name, tensor in was.network.state_dict().items():
            assert torch.equal(carried[name][: len(tensor)] if tensor.ndim else tensor, tensor)
        assert until(messages, "train_step")[0]["step"] == step + 1
        new = desk.folder
        assert new.parent == painting.models_dir
        assert new.name in notice["message"]
    assert content(folder) == kept
    assert load_spec(new / "last").steps == step + 1
    assert len(load_spec(new / "last").classes) == 4
    assert len((new / "metrics.jsonl").read_text().splitlines()) == 1


def test_classes_in_another_order_are_not_taken_for_renamed_ones():
    classes = make_classes(["a", "b", "c"])
    assert only_renamed(classes, make_classes(["a", "x", "c"]))
    assert not only_renamed(classes, make_classes(["a", "c", "b"]))
    assert not only_renamed(classes, make_classes(["b", "c", "d"]))
    assert not only_renamed(classes, classes[:2])


def test_a_preview_that_the_disk_does_not_take_ends_nothing(desk, painting, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    paint(painting, "scene_0", STROKES)
    with closing(run_session(desk, painting, painting.models_dir / "full", full=False)) as messages:
        with monkeypatch.context() as patch:
            patch.setattr(tifffile, "imwrite", full)
            notice, _ = until(messages, "notice")
            assert "No space left" in notice["message"]
            paint(painting, "scene_0", {3: (slice(4, 6), slice(3, 5))})
            time.sleep(0.3)
            assert [next(messages) for _ in range(8)] == [None] * 8, "it is said once"
        paint(painting, "scene_0", {3: (slice(3, 4), slice(3, 5))})
        until(messages, "interactive_preview")


def test_a_slice_with_labels_does_not_keep_its_stack(tmp_path):
    stack, axes = np.zeros((5, 64, 64), np.uint8), {"axes": "ZYX"}
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata=axes)
    with Project.create(tmp_path / "p.blockseg", [tmp_path / "stack.tif"], ["a", "b"], 8) as made:
        images = PaintedProject(made)
        planes = [images.pixels(images.look_up("stack", (at,))) for at in (0, 1)]
    for plane in planes:
        assert plane.shape == (64, 64, 1)
        assert not np.shares_memory(plane, images._last[1])
