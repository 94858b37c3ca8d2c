"""Scoring held-out blocks: in turns, and only the tiles that say something of them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.learn import stitching, validate
from napari_blockseg.learn.checkpoint import load_spec
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.train import Training
from napari_blockseg.learn.validate import validating

from .conftest import scene

CLASSES = make_classes(["ground", "disk"])


@pytest.fixture
def tiles(monkeypatch):
    """Return how many tiles were run; they are small, and both classes are in them."""
    run, count, middle = stitching.run_tiles, [0], []

    def counted(network, images, device):
        count[0] += len(images)
        logits = run(network, images, device).clone()
        middle.append((logits[:, 0] - logits[:, 1]).median())
        logits[:, 1] += middle[0]
        return logits

    monkeypatch.setattr(stitching, "run_tiles", counted)
    monkeypatch.setattr(validate, "_TILE", 64)
    return count


def training_on(images, config, out, network=None):
    training = Training(images, CLASSES, network or NetworkConfig(), config, out=out)
    training.live_model().network.halo = 32
    return training


def image(block, shape=(413, 530)):
    """Labels by chance: no pixel may be said otherwise without showing in the score."""
    pixels, mask = scene(0, shape=shape)
    labels = BlockLabels.from_mask(mask, block, 2)
    values = np.random.default_rng(0).integers(1, 3, labels.values.shape, np.uint8)
    return TrainingImage("one", pixels, labels.with_values(values))


def score(training):
    steps = validating(training.live_model(), training._data, CLASSES, 3)
    turns = 0
    while True:
        try:
            assert next(steps) is None
            turns += 1
        except StopIteration as end:
            return turns, end.value


@pytest.mark.parametrize(
    ("block", "options"),
    [(8, {}), (16, {}), (24, {"scale": 0.5}), (1, {"scale": 0.5}), (2, {"scale": 1.0})],
)
@pytest.mark.parametrize("stride", [4, 32])
def test_scores_are_those_of_whole_images(
    quick, tmp_path, tiles, monkeypatch, block, options, stride
):
    network = NetworkConfig(shortcut=False, decoder_stride=stride)
    training = training_on([image(block)], quick(**options), tmp_path, network)
    assert training._data.holdout.kind == "superblocks"
    turns, found = score(training)
    few = tiles[0]
    assert turns >= few
    monkeypatch.setattr(
        validate, "stitch_tiles", lambda *args, wanted: stitching.stitch_tiles(*args)
    )
    _, whole = score(training)
    assert found == whole
    assert min(found.iou.values()) > 0, "it must not say one class everywhere"
    assert few < tiles[0] - few, "some tiles have nothing to say"


def test_held_out_at_the_end_of_an_image_only(quick, tmp_path, tiles):
    """Rows of tiles without any come first, and it is not known yet how many channels there are."""
    training = training_on([image(8)], quick(), tmp_path)
    data = training._data
    for at in (np.s_[-6:, -6:], np.s_[:6, :6], np.s_[30:36, :6]):
        data._held[0][:] = False
        data._held[0][at] = True
        before = tiles[0]
        _, found = score(training)
        assert 1 <= tiles[0] - before <= 4
        assert found.pixel_accuracy is not None


def test_a_run_can_be_stopped_while_it_is_scored(quick, tmp_path, tiles):
    config = quick(steps=9, validate_every=2)
    turns = Training([image(8)], CLASSES, NetworkConfig(), config, out=tmp_path).turns()
    reports = 0
    for report in turns:
        reports += report is not None and report.type == "train_step"
        if reports == 2 and report is None:
            break
    ran = tiles[0]
    assert next(turns) is None
    assert tiles[0] - ran <= 1, "it waits for a tile, not for all"
    turns.close()
    spec = load_spec(tmp_path)
    assert (spec.steps, spec.val_miou) == (2, None)


def test_reports_are_all_that_turns_say(quick, tmp_path):
    for name, ask in (("turns", Training.turns), ("reports", Training.reports)):
        training = Training([image(8)], CLASSES, NetworkConfig(), quick(), out=tmp_path / name)
        kinds = [None if one is None else one.type for one in ask(training)]
        assert (None in kinds) == (name == "turns")
        said = [kind for kind in kinds if kind is not None]
        assert said == ["train_started", *["train_step", "validation"] * 3, "train_done"]
