"""What an interactive session keeps, and what it goes on without."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.reports import Validation
from napari_blockseg.learn.checkpoint import load_spec
from napari_blockseg.learn.interactive import behind
from napari_blockseg.learn.interactive.foundation import Foundation

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
    scene.values["a"][scene.values["a"] == 3] = 0
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
