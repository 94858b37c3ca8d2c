"""An interactive session: a head from few strokes, previews that follow, a network behind."""

from __future__ import annotations

import itertools
import json
import sys
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.reports import Notice, TrainStep, Validation
from napari_blockseg.learn.checkpoint import load_model
from napari_blockseg.learn.data import TrainingImage, WorkingGrid
from napari_blockseg.learn.interactive import background, behind, fitted, painted
from napari_blockseg.learn.interactive.features import Features, PlaneFeatures
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.head import (
    Sample,
    fit,
    gather,
    label_points,
    measure_scaling,
    thinned,
)
from napari_blockseg.learn.interactive.holdout import MIN_TRAIN, SIDE, GrowingHoldout
from napari_blockseg.learn.interactive.scoring import (
    Points,
    Window,
    block_numbers,
    lead_of,
    score,
)
from napari_blockseg.learn.interactive.session import Interactive
from napari_blockseg.learn.interactive.view import Preview, View
from napari_blockseg.learn.predict import predict
from napari_blockseg.nets.build import draws_decoder

sys.path.insert(0, str(Path(__file__).parent))
from interactive_scene import (
    BLOCK,
    CLASSES,
    COLS,
    GRID,
    ROWS,
    TRAIN,
    Scene,
    begin,
    is_preview,
    truth_of,
    until,
)


@pytest.fixture(scope="module")
def foundation():
    torch.manual_seed(0)
    return Foundation(NetworkConfig(weights="none"), TRAIN, 1, len(CLASSES), None)


def test_a_few_strokes_are_enough_on_a_synthetic_image(foundation, tmp_path):
    scene = Scene()
    with closing(begin(scene, foundation, tmp_path).reports()) as reports:
        next(reports)
        scene.paint(1, 2, slice(1, 6))
        assert next(reports) is not None  # one class is not enough, and it says so
        time.sleep(0.3)
        began = time.perf_counter()
        scene.paint(2, slice(3, 8), 18)
        preview, _ = until(reports, is_preview)
        assert preview.source == "interactive"
        assert preview.seconds <= time.perf_counter() - began  # since the stroke that let it be
        assert preview.mask.shape == (ROWS, COLS)
        assert set(np.unique(preview.mask)) == {1, 2}
        known = scene.truth != 3
        assert (preview.mask == scene.truth)[known].mean() > 0.9
        scene.paint(3, 10, slice(6, 9))
        preview, _ = until(reports, is_preview)
        assert (preview.mask == scene.truth).mean() > 0.93
        scene.paint(0, slice(None), slice(None))
        scene.paint(1, 2, slice(1, 6))
        scene.paint(2, slice(3, 8), 18)
        preview, _ = until(reports, is_preview)
        assert 3 not in preview.mask  # erased: never predicted again


def test_views_are_parts_of_the_whole_and_other_planes_count(foundation, tmp_path):
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path)
    with closing(session.reports()) as reports:
        whole, _ = until(reports, is_preview)
        session.look_at(View("a", (17, 63, 40, 121)))
        part, _ = until(reports, is_preview)
        assert part.region == (17, 63, 40, 121)
        np.testing.assert_array_equal(part.mask, whole.mask[17:63, 40:121])
        session.look_at(View("a", (100, 5000, -20, 10)))
        part, _ = until(reports, is_preview)
        assert part.region == (100, ROWS, 0, 10)
        # Another plane is previewed without a label of its own, and its labels count once it has.
        session.look_at(View("b"))
        other, _ = until(reports, is_preview)
        np.testing.assert_array_equal(other.mask, whole.mask)
        scene.paint(3, 0, slice(None), name="b")
        changed, _ = until(reports, is_preview)
        assert (changed.mask != other.mask).any()


def test_the_preview_changes_hands_only_for_a_clear_lead_and_says_so(
    foundation, tmp_path, monkeypatch
):
    # Wrong points of the network and of the head, score after score, and who previews then.
    script = [
        (0, 0, "interactive"),
        (0, 1, "interactive"),  # ahead, but within what scores waver
        (0, 60, "network"),
        (1, 0, "network"),
        (0, 1, "network"),
        (60, 0, "interactive"),
        (1, 0, "interactive"),
    ]
    monkeypatch.setattr(behind, "_SCORE_SECONDS", 0.0)
    monkeypatch.setattr(behind, "_SCORE_PATIENCE", 0.0)
    turns = iter(script)
    now = None

    def network_says(model, windows):
        nonlocal now
        now = next(turns, script[-1])
        yield
        return truth_of(windows, now[0])

    monkeypatch.setattr(behind, "network_says", network_says)
    monkeypatch.setattr(behind.Behind, "_head_says", lambda _, h, w: truth_of(w, now[1]))
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path, full=True)
    seen, scored = [], 0
    with closing(session.reports()) as reports:
        while scored < len(script):
            report = next(reports)
            seen.append(report)
            if isinstance(report, Validation):
                assert report.source == script[scored][2], scored
                scored += 1
                mine, other = report.miou, report.other_miou
                assert mine >= other - behind.LEAD
    said = [report.message for report in seen if isinstance(report, Notice)]
    said = [message for message in said if "previews from now on" in message]
    assert [message.split(" previews")[0] for message in said] == ["The network", "The quick head"]
    assert "of the network 100 %" in said[0]
    shown = [report.source for report in seen if isinstance(report, Preview)]
    assert [one for i, one in enumerate(shown) if one != (shown[i - 1] if i else None)] == [
        *("interactive", "network", "interactive")
    ]


def test_the_network_learns_from_the_head_and_takes_over_when_it_is_better(
    foundation, tmp_path, monkeypatch
):
    monkeypatch.setattr(behind, "_SCORE_SECONDS", 0.0)
    monkeypatch.setattr(behind, "_SCORE_PATIENCE", 0.0)

    def perfect(model, windows):
        yield
        return truth_of(windows)

    start = {k: v.clone() for k, v in foundation.network.state_dict().items()}
    scene = Scene()
    scene.paint_truth()
    with closing(begin(scene, foundation, tmp_path, full=True).reports()) as reports:
        _, seen = until(reports, lambda r: isinstance(r, Validation))
        assert any(isinstance(report, TrainStep) for report in seen)
        assert seen[-1].source == "interactive"
        monkeypatch.setattr(behind, "network_says", perfect)
        notice, seen = until(reports, lambda r: isinstance(r, Notice) and "previews" in r.message)
        assert "network" in notice.message
        assert seen[-2].source == "network"
        assert seen[-2].miou == 1.0
        assert 0 < seen[-2].other_miou < 1.0
        preview, _ = until(reports, is_preview)
        assert preview.source == "network"
        assert preview.mask.shape == (ROWS, COLS)
        best = load_model(tmp_path, "cpu")
        assert best.spec.val_miou == 1.0
    log = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [one["step"] for one in log if one["type"] == "train_step"][:1] == [1]
    assert {"validation", "notice"} <= {one["type"] for one in log}
    last = load_model(tmp_path / "last", "cpu")
    assert last.spec.steps >= best.spec.steps >= 1
    assert last.spec.network.decoder_stride == 4
    for name, tensor in foundation.network.state_dict().items():
        assert torch.equal(tensor, start[name]), name  # the next session begins where this one did


@pytest.mark.parametrize("drawn", [True, False])
def test_the_network_behind_begins_without_what_short_training_cannot_unlearn(
    foundation, monkeypatch, drawn
):
    """Atrous taps at rest, where they were drawn; those of a file stay as they were read."""
    monkeypatch.setattr(background, "draws_decoder", lambda config: drawn)
    scene = Scene()
    scene.paint_truth()
    images = [TrainingImage("a", scene.image, scene.changed()["a"])]
    network, encoder = foundation.network, foundation.maker.encoder
    behind_it = background.Background(
        *(network, encoder, images, CLASSES, foundation.config, TRAIN, lambda *_: None)
    )

    def around(network):
        """Sum up what lies around the central taps."""
        atrous = [
            m.weight for m in network.decoder.modules() if max(getattr(m, "dilation", [1])) > 1
        ]
        assert len(atrous) == 3
        return sum(float((w.abs().sum() - w[..., 1, 1].abs().sum()).detach()) for w in atrous)

    assert around(network) > 1, "the next session begins where this one did"
    found = around(behind_it.model(None, 0.0).network)
    assert found == pytest.approx(0 if drawn else around(network), abs=1e-4)


def test_decoders_are_drawn_but_for_those_from_a_file():
    assert draws_decoder(NetworkConfig())
    assert draws_decoder(NetworkConfig(weights="encoder.safetensors"))
    assert draws_decoder(NetworkConfig(form="smp", weights="none"))
    assert not draws_decoder(NetworkConfig(form="smp", weights="whole.pth"))


@pytest.mark.parametrize("after", ["stopping", "a checkpoint"])
def test_a_head_that_previews_is_kept_as_a_model_that_predicts_the_same(tmp_path, after):
    torch.manual_seed(0)
    # Its own: with three channels, on another encoder and output stride.
    settings = {"encoder": "resnet18", "output_stride": 32, "weights": "none"}
    foundation = Foundation(NetworkConfig(**settings), TRAIN, 3, len(CLASSES), None)
    scene = Scene()
    scene.image = np.concatenate([scene.image, scene.image[::-1], 255 - scene.image], -1)
    scene.paint_truth()
    ticks = itertools.count(0.0, 50.0)  # a checkpoint is due before every step
    session = Interactive(
        *(scene, foundation, CLASSES, BLOCK, TRAIN, tmp_path, View("a")),
        clock=lambda: next(ticks) if after == "a checkpoint" else 0.0,
    )
    with closing(session.reports()) as reports:
        preview, _ = until(reports, is_preview)
        if after == "a checkpoint":
            until(reports, lambda r: isinstance(r, TrainStep))
            kept = load_model(tmp_path, "cpu")
        live = session.live_model()
    if after == "stopping":
        kept = load_model(tmp_path, "cpu")
    assert kept.spec.network.network == live.spec.network.network == "linear"
    assert kept.spec.n_labelled_blocks == BlockLabels(scene.grid, scene.values["a"]).n_labelled
    mask = predicted(kept, scene.image)
    # Features are kept in half precision, a model computes them anew: a pixel may fall elsewhere.
    assert (mask == preview.mask).mean() > 0.999
    assert (preview.mask == scene.truth).mean() > 0.8
    np.testing.assert_array_equal(predicted(live, scene.image), mask)
    assert all(p.requires_grad for p in foundation.network.parameters())


def predicted(model, image):
    steps = predict(model, image)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value.mask


def test_a_linear_network_cannot_learn_behind_the_head_that_it_is():
    with pytest.raises(NetworkError, match="learns behind it"):
        Foundation(NetworkConfig(network="linear", weights="none"), TRAIN, 1, 3, None)


def test_strokes_come_between_while_it_scores(foundation, tmp_path, monkeypatch):
    monkeypatch.setattr(behind, "_SCORE_SECONDS", 0.0)
    scored = []

    def endless(model, windows):
        while True:
            scored.append(1)
            yield

    monkeypatch.setattr(behind, "network_says", endless)
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path, full=True)
    with closing(session.reports()) as reports:
        until(reports, lambda r: isinstance(r, TrainStep))
        while len(scored) < 3:
            next(reports)
        scene.paint(3, 0, slice(0, 4))
        until(reports, is_preview, most=5)
        session.look_at(View("a", (0, 20, 0, 30)))
        preview, _ = until(reports, is_preview, most=5)
        assert preview.mask.shape == (20, 30)


def test_labels_painted_later_reach_the_network_without_a_restart(foundation, tmp_path):
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path, full=True)
    with closing(session.reports()) as reports:
        until(reports, lambda r: isinstance(r, TrainStep))
        steps = session.steps
        scene.paint_truth("c")
        scene.paint(1, 0, 0)
        until(reports, is_preview)
        until(reports, lambda r: isinstance(r, TrainStep))
        assert session.steps == steps + 1
        assert session._behind._network.names == ["a", "c"]


def test_what_is_wrong_with_one_image_is_said_and_the_rest_goes_on(foundation, tmp_path):
    scene = Scene()
    scene.paint_truth()
    bad = np.full((ROWS, COLS, 1), np.nan, np.float32)
    scene.pixels = lambda name: bad if name == "bad" else scene.image
    session = begin(scene, foundation, tmp_path)
    with closing(session.reports()) as reports:
        until(reports, is_preview)
        session.look_at(View("bad"))
        scene.paint(1, 0, 0, name="bad")
        notice, _ = until(reports, lambda r: isinstance(r, Notice))
        assert notice.level == "warning"
        session.look_at(View("a"))
        until(reports, is_preview)


# -- the parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("block", "scale", "along"), [(16, 0.5, 2), (8, 1.0, 2), (3, 1.0, 1)])
def test_points_are_the_centers_of_the_cells_that_a_block_covers(block, scale, along):
    grid = WorkingGrid.for_scale(block, scale)
    cells = np.full((4, 5), -1, np.int16)
    cells[2, 3] = 7
    places, classes = label_points(cells, grid.side / grid.split)
    assert classes.tolist() == [7] * along**2
    side = grid.side / grid.split
    np.testing.assert_allclose(places.mean(0), [2.5 * side, 3.5 * side])
    if along == 2:
        assert set(places[:, 0].tolist()) == {18.0, 22.0}


def test_gathered_points_and_logits_are_the_same_linear_map():
    """At the centers of the LRG's cells, where interpolating before or after is one."""
    rng = np.random.default_rng(0)
    stages = tuple(
        torch.from_numpy(rng.normal(size=(c, n, n))).half() for c, n in ((3, 16), (5, 8), (7, 4))
    )
    tile = Features(stages, (4, 8, 16), (32, 64))
    rows, cols = np.mgrid[:16, :16]
    places = np.stack([rows.ravel() * 4 + 2 + 32, cols.ravel() * 4 + 2 + 64], 1)
    points = gather(tile, places.astype(np.float32))
    classes = torch.from_numpy(rng.integers(0, 2, 256))
    head = fit(Sample.whole(points, classes, 3), measure_scaling([tile]))
    expected = head.at(points).T.reshape(3, 16, 16)
    torch.testing.assert_close(head.logits(tile), expected, rtol=1e-4, atol=1e-4)
    assert not (head.at(points).argmax(1) == 2).any()  # a class without a label
    scaled = (points - head.scaling.mean) * head.scaling.factor
    power = scaled[:, :3].square().mean(0).sum()
    assert power == pytest.approx(64, rel=0.01)


def test_a_head_does_not_depend_on_where_its_fit_starts():
    rng = np.random.default_rng(1)
    tile = Features((torch.from_numpy(rng.normal(size=(6, 8, 8))).half(),), (4,), (0, 0))
    points = tile.stages[0].float().flatten(1).T
    classes = (points[:, 0] > 0).long()
    scaling = measure_scaling([tile])
    sample = Sample.whole(points, classes, 2)
    first = fit(sample, scaling)
    other = fit(Sample.whole(points, 1 - classes, 2), scaling)
    again = fit(sample, scaling, other)
    torch.testing.assert_close(first.at(points), again.at(points), rtol=0.02, atol=0.02)


def test_first_strokes_of_a_class_are_learned_from_and_held_out_ones_stay_so():
    held = GrowingHoldout(2)
    cells = np.full((64, 64), -1, np.int16)
    cells[:2, : MIN_TRAIN // 2] = 0
    cells[8:10, : MIN_TRAIN // 2] = 1
    held.update({"a": cells}, {"a": cells})
    assert not held.mask("a").any()
    cells = np.zeros((64, 64), np.int16)
    cells[:, 32:] = 1
    held.update({"a": cells}, {"a": cells})
    first = held.mask("a")
    assert 8 <= first.reshape(8, SIDE, 8, SIDE).all((1, 3)).sum() <= 10  # of 64
    assert not first[:2, : MIN_TRAIN // 2].any()
    assert (first.reshape(8, SIDE, 8, SIDE).std((1, 3)) == 0).all()  # whole superblocks
    erased = np.where(first, np.int16(-1), cells)
    held.update({"a": erased}, {"a": erased})
    held.update({"a": cells}, {"a": cells})
    np.testing.assert_array_equal(held.mask("a"), first)


def test_scores_by_hand():
    truth = np.array([0] * 5 + [1] * 5 + [2])
    found = np.array([0, 0, 0, 0, 1] + [1] * 5 + [0])
    seen = score(truth, found, CLASSES, per_block=1)
    assert seen.iou == {"smooth": pytest.approx(4 / 6), "rough": pytest.approx(5 / 6), "dark": None}
    assert seen.miou == pytest.approx(0.75)
    assert score(truth[:3], found[:3], CLASSES, per_block=1).miou is None


def test_a_choice_among_many_points_keeps_rare_classes_whole():
    classes = np.repeat([0, 2, 1], [5000, 30, 5000])
    chosen = thinned(classes, 1500)
    assert (np.diff(chosen) > 0).all()
    assert np.bincount(classes[chosen]).tolist() == [500, 500, 30]
    assert len(thinned(classes, len(classes))) == len(classes)


def test_a_choice_among_points_does_not_change_what_a_class_weighs():
    """Every other point of one class left out, of points that are there twice: the same head."""
    rng = np.random.default_rng(2)
    tile = Features((torch.from_numpy(rng.normal(size=(6, 8, 8))).half(),), (4,), (0, 0))
    once = tile.stages[0].float().flatten(1).T
    labels = (once[:, 0] + 0.5 * once[:, 1] > 0).long()
    twice = torch.cat([once, once[labels == 0]])
    both = Sample.whole(twice, torch.cat([labels, labels[labels == 0]]), 2)
    chosen = Sample(once, labels, both.counts)
    scaling = measure_scaling([tile])
    torch.testing.assert_close(
        fit(chosen, scaling).at(once), fit(both, scaling).at(once), rtol=0.02, atol=0.02
    )


def test_a_preview_waits_for_few_points_and_all_of_them_follow(foundation, tmp_path, monkeypatch):
    monkeypatch.setattr(fitted, "QUICK_POINTS", 200)
    looked_at = []
    whole = painted.PaintedPlanes.sample

    def sample(self, most, blind=False):
        looked_at.append(most)
        return whole(self, most, blind)

    monkeypatch.setattr(painted.PaintedPlanes, "sample", sample)
    scene = Scene()
    scene.paint_truth()
    session = begin(scene, foundation, tmp_path)
    with closing(session.reports()) as reports:
        until(reports, is_preview)
        assert looked_at == [200]
        quick = session.head
        until(reports, is_preview)
        assert looked_at == [200, fitted.MAX_POINTS]
        assert session.head.loss != quick.loss
        scene.paint(3, 0, slice(0, 4))
        until(reports, is_preview, most=5)
        assert looked_at[2:] == [200]


def test_what_was_gathered_before_a_stroke_is_not_gathered_again(foundation, monkeypatch):
    scene = Scene()
    plane = PlaneFeatures(["a"], scene.image, Normalization.for_dtype(np.uint8), GRID)
    cells = scene.truth[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK].astype(np.int16) - 1
    asked = []
    gather_all = painted.gather

    def gather_some(features, places):
        asked.append(len(places))
        return gather_all(features, places)

    monkeypatch.setattr(painted, "gather", gather_some)

    def points_of(steps):
        planes = painted.PaintedPlanes(foundation.maker, len(CLASSES), seed=0)
        for step in steps:
            planes.update("a", plane, scene.grid, step)
            for place in planes.open:
                planes.gather(place)
        return planes

    first = cells.copy()
    first[5:9, 3:8] = -1
    other = cells.copy()
    other[0, 0] = -1
    other[7, 7] = 2
    slow = points_of([other])
    asked.clear()
    quick = points_of([first, other])
    assert asked == [4 * (cells.size - 20), 4 * 20]
    one, same = slow.sample(10**6), quick.sample(10**6)
    assert torch.equal(one.points, same.points)
    assert torch.equal(one.classes, same.classes)
    quick.update("a", plane, scene.grid, other)
    assert not quick.open  # nothing has changed
    quick.update("a", plane, scene.grid, np.full_like(cells, -1))
    assert quick.n_points == 0


class TestLead:
    """A hundred blocks of four points, half of them of each class."""

    truth = np.repeat(np.arange(100) % 2, 4)
    blocks = np.repeat(np.arange(100), 4)

    def wrong(self, *blocks, points=4):
        """Return the classes with the first points of some blocks wrong."""
        found = self.truth.reshape(-1, 4).copy()
        found[list(blocks), :points] = 1 - found[list(blocks), :points]
        return found.reshape(-1)

    def lead(self, one, other, blocks=None):
        return lead_of(one, other, self.truth, 2, self.blocks if blocks is None else blocks, 4)

    def test_equal_ones_are_not_told_apart(self):
        for found in (self.truth, self.wrong(1, 2, 3)):
            lead = self.lead(found, found)
            assert (lead.mean, lead.error, lead.sure) == (0.0, 0.0, False)

    def test_four_blocks_do_not_tell_and_five_do(self):
        assert not self.lead(self.truth, self.wrong(3, 4, 5, 6)).sure
        found = self.lead(self.truth, self.wrong(2, 3, 4, 5, 6))
        assert found.sure
        assert found.mean > 0
        back = self.lead(self.wrong(2, 3, 4, 5, 6), self.truth)
        assert back.sure
        assert back.mean == pytest.approx(-found.mean)

    def test_points_of_a_block_are_no_witnesses_of_their_own(self):
        assert not self.lead(self.truth, self.wrong(5, 6)).sure
        assert self.lead(self.truth, self.wrong(5, 6), np.arange(400)).sure

    def test_parts_of_many_blocks_tell_more_than_whole_ones(self):
        """Six blocks against three: too close, unless they are quarters of four times as many."""
        quarters = self.wrong(*range(24), points=1), self.wrong(*range(30, 42), points=1)
        whole = self.wrong(*range(6)), self.wrong(30, 31, 32)
        assert self.lead(*quarters).mean == pytest.approx(self.lead(*whole).mean, rel=1e-3)
        assert self.lead(*quarters).sure
        assert not self.lead(*whole).sure

    def test_a_class_with_few_blocks_is_left_out_as_its_score_is(self):
        truth = np.r_[self.truth, 2, 2]
        one, other = np.r_[self.wrong(1), 2, 2], np.r_[self.wrong(2, 3), 1, 0]
        blocks = np.r_[self.blocks, 100, 101]
        found = lead_of(one, other, truth, 3, blocks, 4)
        scores = [score(truth, x, CLASSES, 4).miou for x in (one, other)]
        assert found.mean == pytest.approx(scores[0] - scores[1])

    @pytest.mark.parametrize("common", [0, 200, 350])
    def test_its_error_is_that_of_drawing_blocks_anew(self, common):
        """The bootstrap's; mistakes that both make do not count."""
        rng = np.random.default_rng(common)
        truth = np.repeat(rng.choice(3, 400, p=(0.6, 0.25, 0.15)), 2)
        mistakes = lambda share: np.where(  # noqa: E731
            rng.random(800) < share, rng.integers(0, 3, 800), truth
        )
        one, other = mistakes(0.15), mistakes(0.25)
        other[: 2 * common] = one[: 2 * common]
        lead = lead_of(one, other, truth, 3, np.repeat(np.arange(400), 2), 2)

        def drawn_anew():
            at = (2 * rng.integers(0, 400, 400)[:, None] + [0, 1]).reshape(-1)
            scores = [score(truth[at], x[at], CLASSES, 2).miou for x in (one, other)]
            return scores[0] - scores[1]

        assert lead.error == pytest.approx(np.std([drawn_anew() for _ in range(600)]), rel=0.12)

    def test_nothing_held_out_tells_nothing(self):
        none = np.zeros(0, np.int64)
        assert not lead_of(none, none, none, 3, none, 4).sure

    def test_points_are_numbered_by_their_block_whatever_window_they_are_in(self):
        planes = [SimpleNamespace(grid=WorkingGrid.for_scale(16, 0.5)) for _ in range(2)]

        def window(plane, *places):
            at, n = np.array(places, np.float32), len(places)
            points = Points(planes[plane], at, np.zeros(n, int), torch.zeros(n, 1))
            return Window(points, (0, 64, 0, 64))

        numbers = block_numbers(
            [
                window(0, (2, 2), (6, 2), (2, 9)),
                window(0, (7.5, 7.5)),
                window(1, (2, 2), (7, 7)),
            ]
        )
        assert numbers.tolist() == [0, 0, 1, 0, 2, 2]
        assert block_numbers([]).tolist() == []
