"""What an interactive session keeps, and what it goes on without."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.reports import Notice, TrainStep, Validation
from napari_blockseg.learn.checkpoint import load_spec
from napari_blockseg.learn.interactive import background, behind
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.view import View

sys.path.insert(0, str(Path(__file__).parent))
from interactive_scene import CLASSES, TRAIN, Scene, begin, is_preview, truth_of, until


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
