"""What an interactive session keeps, and what it goes on without."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import LabelError, ModelError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.reports import Notice, TrainStep, Validation
from napari_blockseg.learn.checkpoint import load_spec
from napari_blockseg.learn.interactive import background, behind, painted
from napari_blockseg.learn.interactive import view as view_module
from napari_blockseg.learn.interactive.features import PlaneFeatures
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.view import View

sys.path.insert(0, str(Path(__file__).parent))
from interactive_scene import BLOCK, CLASSES, GRID, TRAIN, Scene, begin, is_preview, truth_of, until


@pytest.fixture(scope="module")
def foundation():
    torch.manual_seed(0)
    return Foundation(NetworkConfig(weights="none"), TRAIN, 1, len(CLASSES), None)


@pytest.fixture
def wrong(monkeypatch):
    """Score all the time; a test says how many points the network has wrong, the head 60."""
    monkeypatch.setattr(behind, "_SCORE_SECONDS", 0.0)
    monkeypatch.setattr(behind, "_SCORE_PATIENCE", 0.0)
    by_network = [0]

    def network_says(model, windows):
        yield
        return truth_of(windows, by_network[0])

    monkeypatch.setattr(behind, "network_says", network_says)
    monkeypatch.setattr(behind.Behind, "_head_says", lambda _, h, w: truth_of(w, 60))
    return by_network


def is_score(report):
    return isinstance(report, Validation)


def test_the_best_network_is_the_best_of_those_scored_on_the_same_blocks(
    foundation, tmp_path, wrong
):
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path, full=True)
    with closing(session.reports()) as reports:
        first, _ = until(reports, is_score)
        assert (first.source, first.miou) == ("network", 1.0)
        wrong[0] = 4
        worse, _ = until(reports, is_score)
        assert worse.miou < 1
        next(reports)
        assert load_spec(tmp_path).val_miou == 1.0, "on the same blocks the best one stays"
        # One of the blocks that are held out is another class now.
        row, col = np.argwhere(session._painted.holdout.mask("a"))[0]
        scene.paint(scene.values["a"][row, col] % 3 + 1, row, col)
        held = session._painted.held_out()[0].classes
        other, _ = until(reports, lambda r: is_score(r) and r.miou != worse.miou)
        next(reports)
        assert (session._painted.held_out()[0].classes != held).any()
        assert load_spec(tmp_path).val_miou == session.best == other.miou < 1


def test_a_network_that_does_not_know_a_class_is_no_measure_for_one_that_does(
    foundation, tmp_path, wrong
):
    scene = Scene()
    scene.paint_truth()
    scene.paint(0, *np.nonzero(scene.values["a"] == 3))
    session = begin(scene, foundation, tmp_path, full=True)
    with closing(session.reports()) as reports:
        until(reports, is_score)
        held = session._painted.holdout.mask("a")
        wrong[0] = 4
        row, col = np.argwhere(~held)[0]
        scene.paint(3, row, col)
        until(reports, is_preview)
        until(reports, is_score)  # it may have begun before the stroke
        later, _ = until(reports, is_score)
        np.testing.assert_array_equal(session._painted.holdout.mask("a"), held)
        next(reports)
        assert load_spec(tmp_path).val_miou == later.miou < 1


def is_step(report):
    return isinstance(report, TrainStep)


def is_notice(report):
    return isinstance(report, Notice)


@pytest.mark.parametrize("odd", ["16 bits", "RGB", "another size"])
def test_a_stroke_on_an_odd_image_is_refused_and_all_the_rest_goes_on(foundation, tmp_path, odd):
    scene = Scene()
    scene.paint_truth()
    others = {
        "16 bits": scene.image.astype(np.uint16) * 200,
        "RGB": np.repeat(scene.image, 3, -1),
        "another size": scene.image[:64, :64],
    }
    scene.pixels = lambda name: scene.image if name == "a" else others[odd]
    session = begin(scene, foundation, tmp_path, full=True)
    with closing(session.reports()) as reports:
        until(reports, is_step)
        scene.paint(2, 3, 3, name="odd one")
        notice, _ = until(reports, is_notice)
        assert notice.level == "warning"
        assert "'odd one'" in notice.message
        _, seen = until(reports, is_step)
        scene.paint(0, 3, 3, name="odd one")
        seen += until(reports, is_step)[1]
        assert list(session._painted.planes) == ["a"]
        if odd != "another size":
            session.look_at(View("odd one"))
            seen += until(reports, is_step)[1]
            assert not any(is_preview(report) for report in seen)
        assert not any(is_notice(report) for report in seen), "it is said once"
        session.look_at(View("a", (0, 20, 0, 30)))
        assert until(reports, is_preview)[0].view == session.view


def test_an_image_with_other_channels_than_the_network_takes_is_no_reference(foundation, tmp_path):
    scene = Scene()
    wide = np.repeat(scene.image, 3, -1).astype(np.float32)
    scene.pixels = lambda name: wide if name == "a" else scene.image
    scene.paint_truth("a")
    scene.paint_truth("b")
    session = begin(scene, foundation, tmp_path, view=View("b"))
    with closing(session.reports()) as reports:
        _, seen = until(reports, is_preview)
        (notice,) = (report for report in seen if is_notice(report))
        assert "'a' with 3 channel(s)" in notice.message


def test_a_network_that_cannot_learn_tries_again_with_other_labels(
    foundation, tmp_path, monkeypatch
):
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path, full=True)
    read, tried = background.Background.read, []

    def refuse(self, images, note):
        tried.append([image.image_id for image in images])
        if len(tried) == 1:
            raise LabelError("Got nothing of use.")
        read(self, images, note)

    with closing(session.reports()) as reports:
        until(reports, is_step)
        monkeypatch.setattr(background.Background, "read", refuse)
        scene.paint(1, 0, slice(None), name="b")
        notice, _ = until(reports, is_notice)
        assert "has stopped" in notice.message
        assert all(next(reports) is None for _ in range(5))
        assert len(tried) == 1
        scene.paint(2, 0, 0)
        until(reports, is_step)
        assert tried == [["a", "b"], ["a", "b"]]
        assert session._behind._network.names == ["a", "b"]


# -- previews on the way -----------------------------------------------------------------------


class Wide(Scene):
    """A picture of three tiles side by side, strokes of two classes in the first one."""

    def __init__(self) -> None:
        super().__init__()
        self.image = np.tile(self.image, (1, 13, 1))
        self.grid = BlockGrid(self.image.shape[:2], BLOCK)
        self.values = {}
        self.paint(1, 2, slice(1, 6))
        self.paint(2, slice(3, 8), 18)

    def identity(self, name):
        return ["wide", name, id(self)]


@pytest.fixture
def slow_network(monkeypatch):
    """Let a preview of the network take ten pieces; what is done before each may be set."""
    before: list = [lambda: None]

    def predict(model, pixels, config, region):
        for _ in range(10):
            before[0]()
            yield
        rows, cols = region[1] - region[0], region[3] - region[2]
        return SimpleNamespace(mask=np.ones((rows, cols), np.uint8))

    monkeypatch.setattr(view_module, "predict", predict)
    return before


def shows_network(session, reports):
    """Let the network preview from now on."""
    until(reports, is_step)
    session._behind.source = "network"
    session._asked = session._clock()


def test_a_preview_is_of_the_view_that_it_names(foundation, tmp_path):
    scene = Wide()
    session = begin(scene, foundation, tmp_path, view=View("a", (0, 20, 0, 30)))
    with closing(session.reports()) as reports:
        next(reports)
        assert next(reports) is None  # its tile is about to be made
        session.look_at(View("a", (40, 100, 50, 90)))
        first, _ = until(reports, is_preview)
    assert first.view == session.view
    assert first.region == (40, 100, 50, 90)
    assert first.mask.shape == (60, 40)


def test_strokes_that_never_end_are_in_a_preview_that_they_do_not_delay(foundation, tmp_path):
    scene = Wide()
    session = begin(scene, foundation, tmp_path)
    with closing(session.reports()) as reports:
        next(reports)
        for turn in range(8):
            scene.paint(3, 10, slice(6, 7 + turn))
            preview = next(reports)
            if is_preview(preview):
                break
        assert turn == 3, "a turn for each tile"
        assert 3 in preview.mask
        assert session._asked is None


def test_another_view_ends_a_long_preview_of_the_network(foundation, tmp_path, slow_network):
    scene = Scene()
    scene.paint_truth()
    now = [0.0]
    session = begin(scene, foundation, tmp_path, full=True, clock=lambda: now[0])
    with closing(session.reports()) as reports:
        shows_network(session, reports)
        now[0] += 1
        assert [next(reports) for _ in range(3)] == [None] * 3
        session.look_at(View("a", (0, 20, 0, 30)))
        preview, _ = until(reports, is_preview, most=13)
        assert preview.source == "network"
        assert preview.mask.shape == (20, 30)
        assert preview.seconds == 1, "since what was asked first"


def test_strokes_come_in_on_the_way_of_a_network_s_preview(foundation, tmp_path, slow_network):
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path, full=True)
    with closing(session.reports()) as reports:
        shows_network(session, reports)
        for turn in range(10):
            scene.paint(turn % 3 + 1, 0, 0)
            assert next(reports) is None
            assert session._painted.cells["a"][0, 0] == turn % 3
        assert is_preview(next(reports))


def test_a_network_that_is_slow_to_preview_learns_for_longer(
    foundation, tmp_path, slow_network, monkeypatch
):
    scene = Scene()
    scene.paint_truth()
    now = [0.0]
    session = begin(scene, foundation, tmp_path, full=True, clock=lambda: now[0])

    def tick(*_):
        now[0] += 1.0

    with closing(session.reports()) as reports:
        shows_network(session, reports)
        monkeypatch.setattr(behind.Behind, "due_to_score", lambda _: False)
        monkeypatch.setattr(behind.Behind, "learn", tick)
        slow_network[0] = tick
        until(reports, is_preview)
        shown = now[0]
        until(reports, is_preview)
        assert now[0] - shown == pytest.approx(10 * 10 + 10, abs=2)


def test_a_pause_is_not_work(foundation, tmp_path):
    scene = Scene()
    scene.paint_truth()
    now = [0.0]

    def clock():
        now[0] += 0.01
        return now[0]

    session = begin(scene, foundation, tmp_path, full=True, clock=clock)
    with closing(session.reports()) as reports:
        until(reports, is_step)
        now[0] += 1000
        until(reports, is_step)
        assert 0 < session.live_model().spec.seconds < 100
        assert 0 < session.network_model().spec.seconds < 100
    assert 0 < load_spec(tmp_path / "last").seconds < 100


# -- a disk that is full -----------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """Refuse to save while the first item is true; count the tries."""
    state = [True, 0]

    def refused(save):
        def try_it(*args):
            state[1] += 1
            if state[0]:
                raise OSError(28, "No space left on device")
            save(*args)

        return try_it

    for module in (background, behind):
        monkeypatch.setattr(module, "save_model", refused(module.save_model))
    return state


def test_a_full_disk_is_said_once_and_saved_to_when_there_is_room(
    foundation, tmp_path, full_disk, wrong
):
    scene = Scene()
    scene.paint_truth()
    now = [0.0]

    def clock():
        now[0] += 50.0  # a checkpoint is due before every step
        return now[0]

    session = begin(scene, foundation, tmp_path, full=True, clock=clock)
    with closing(session.reports()) as reports:
        first, seen = until(reports, is_score)
        assert first.source == "network"
        for _ in range(3):
            seen += until(reports, is_score)[1]
        assert full_disk[1] > 3
        (warning,) = [one for one in seen if is_notice(one) and one.level == "warning"]
        assert "No space left" in warning.message
        assert str(tmp_path) in warning.message
        assert session.best is None
        full_disk[0] = False
        until(reports, is_score)
        next(reports)
        assert load_spec(tmp_path).val_miou == session.best == 1.0
        full_disk[0] = True
        with pytest.raises(ModelError, match="No space left"):
            reports.close()


def test_what_ends_a_session_is_not_hidden_by_a_full_disk(
    foundation, tmp_path, full_disk, monkeypatch
):
    scene = Scene()
    scene.paint_truth()
    with closing(begin(scene, foundation, tmp_path, full=True).reports()) as reports:
        until(reports, is_step)
        monkeypatch.setattr(behind.Behind, "learn", lambda *_: {}["no such thing"])
        with pytest.raises(KeyError, match="no such thing"):
            until(reports, is_preview)
    assert full_disk[1] == 1


# -- what is held out --------------------------------------------------------------------------


def test_what_is_held_out_is_given_back_when_training_is_erased_on_another_plane(
    foundation, tmp_path
):
    scene = Scene()
    for name in ("a", "b"):
        scene.paint_truth(name)
    session = begin(scene, foundation, tmp_path, full=True)
    planes = session._painted
    with closing(session.reports()) as reports:
        until(reports, is_step)
        value = int(scene.values["a"][planes.holdout.mask("a")].max())
        held = planes.holdout.mask("a") & (scene.values["a"] == value)
        assert held.any()
        scene.paint(0, *np.nonzero((scene.values["a"] == value) & ~held), name="a")
        until(reports, is_step)
        held = planes.holdout.mask("a") & (scene.values["a"] == value)
        assert held.any(), "there is enough of it on the other plane"
        scene.paint(0, *np.nonzero(scene.values["b"] == value), name="b")
        until(reports, is_step)
        assert not (planes.holdout.mask("a") & (scene.values["a"] == value)).any()
        counts = session._behind._network._data.sampler.counts
        assert counts[value - 1] == (scene.values["a"] == value).sum() > 0
        found = [points for points in planes.held_out() if points.plane is planes.planes["a"]]
        assert not any((points.classes == value - 1).any() for points in found)


def test_what_is_kept_of_many_labels_is_thinned_but_for_rare_classes_and_held_out_blocks(
    foundation, monkeypatch
):
    scene = Wide()
    cells = np.tile(scene.truth[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK], (1, 13))
    cells = cells.astype(np.int16) - 1
    cells[cells == 2] = 0
    cells[4:7, 3:6] = 2
    plane = PlaneFeatures(["many"], scene.image, Normalization.for_dtype(np.uint8), GRID)

    def gathered(max_bytes):
        monkeypatch.setattr(painted, "MAX_BYTES", max_bytes)
        monkeypatch.setattr(painted, "MAX_POINTS", 100)
        planes = painted.PaintedPlanes(foundation.maker, len(CLASSES), seed=0)
        planes.update("a", plane, scene.grid, cells)
        for place in planes.open:
            planes.gather(place)
        return planes

    whole = gathered(2**30)
    everything = whole.sample(10**6)
    assert whole.n_points == 4 * cells.size
    size = everything.points.numel() * 2
    few = gathered(size // 3)
    sample = few.sample(10**6)
    assert sample.points.numel() * 2 <= size // 3
    kept = torch.bincount(sample.classes).numpy()
    assert kept[2] == 4 * 9, "rare: whole"
    assert 0.4 < kept[0] / kept[1] < 2.5
    np.testing.assert_allclose(sample.counts, everything.counts, rtol=0.15)
    for points, others in zip(few.held_out(), whole.held_out(), strict=True):
        assert len(points.classes) == len(others.classes)
    # Painted on, the tile is gathered by the same rule.
    changed = cells.copy()
    changed[0, 0] = 2
    few.update("a", plane, scene.grid, changed)
    for place in few.open:
        few.gather(place)
    assert abs(few.n_points - len(sample.classes)) <= 4
