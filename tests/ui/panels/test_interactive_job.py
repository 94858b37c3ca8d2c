"""Interactive mode in the panel and its job, against a fake worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.reports import FeaturesDone, TrainStarted, Validation
from napari_blockseg.ui.interactive_job import InteractiveJob, view_fields
from napari_blockseg.ui.panels.train import TrainPanel, TrainSettings
from napari_blockseg.ui.train_job import TrainJob


@pytest.fixture
def panel(session, qtbot):
    widget = TrainPanel(session)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def jobs(session, panel, make_client):
    """Return the two jobs that share a fake worker."""
    client = make_client("ok")
    predict = SimpleNamespace(value=lambda: SimpleNamespace(opacity=0.5))
    training = TrainJob(session, client, panel)
    previews = InteractiveJob(session, client, panel, predict, training)
    yield training, previews
    previews.close()
    training.close()


def camera_of(session):
    # napari 0.9 moved the camera to the scene.
    return getattr(session.viewer, "scene", session.viewer).camera


def test_the_switch_is_part_of_the_settings(panel, qtbot):
    assert panel.value().mode == "full"
    assert panel.length.isEnabled()
    with qtbot.waitSignal(panel.value_changed):
        panel.mode.buttons["interactive"].click()
    assert panel.value().mode == "interactive"
    assert not panel.length.isEnabled()
    panel.set_value(TrainSettings(train=TrainConfig(steps=7)))
    assert panel.value() == TrainSettings(train=TrainConfig(steps=7))
    assert not panel.mode.buttons["interactive"].isChecked()


def test_previews_are_shown_and_follow_the_view(session, panel, jobs, qtbot):
    training, _ = jobs
    live, learned = [], []
    training.live_changed.connect(live.append)
    training.learned.connect(lambda: learned.append(1))
    panel.mode.buttons["interactive"].click()
    panel.start.click()
    assert session.flushed == 1
    qtbot.waitUntil(lambda: len(session.shown) == 1)
    image_id, mask, region = session.shown[0]
    assert (image_id, mask.shape, tuple(region)) == ("a", (64, 96), (0, 64, 0, 96))
    assert (mask == 2).all()
    assert "The quick head previews, 0.4 s" in panel.status.text()
    assert not list((session.project.root / "cache").iterdir())
    assert training.interactive
    session.view = (10, 40, 20, 60)
    camera_of(session).zoom *= 2
    qtbot.waitUntil(lambda: len(session.shown) == 2)
    assert session.shown[1][1].shape == (30, 40)
    qtbot.waitUntil(lambda: "Network behind: step 1" in panel.status.text())
    # What previews can be asked for more: the other images, where it is unsure.
    assert live == [True]
    # The Predict panel previews nothing over the session's own previews by itself.
    assert not learned
    panel.stop.click()
    qtbot.waitUntil(lambda: panel.state == "idle")
    assert live == [True, False]
    assert not training.interactive


def test_another_image_is_previewed_when_it_is_shown(session, panel, jobs, qtbot):
    panel.mode.buttons["interactive"].click()
    panel.start.click()
    qtbot.waitUntil(lambda: len(session.shown) == 1)
    session.set_image("b")
    qtbot.waitUntil(lambda: len(session.shown) == 2)
    assert session.shown[1][0] == "b"


def test_scores_say_whose_they_are(panel):
    score = {"step": 3, "miou": 0.5, "iou": {"sky": 0.5}, "pixel_accuracy": None}
    panel.add_report(Validation(**score, source="network"))
    assert "Network" in panel.scores.text()
    panel.add_report(Validation(**score))
    assert "Network" not in panel.scores.text()


def test_an_image_out_of_view_is_asked_for_in_part(session):
    session.view = None
    assert view_fields(session)["region"] == [0, 2048, 0, 2048]
    session.image_id = None
    assert view_fields(session) is None


def test_where_the_user_looks_is_told_once_more_when_the_session_is_ready(
    session, panel, jobs, qtbot, monkeypatch
):
    """What it was told before, while it got ready, it has not heard."""
    training, previews = jobs
    told = []
    monkeypatch.setattr(previews._client, "request", lambda kind, **f: told.append((kind, f)) or 9)
    started = TrainStarted(
        **dict.fromkeys(("n_images", "n_labelled_blocks", "n_train_blocks", "n_val_blocks"), 1),
        **{"steps": None, "minutes": None, "validation": "none", "device": "cpu"},
        **{"scale": 1.0, "decoder_stride": 4},
    )
    previews._client.report_received.emit(1, started)
    assert not told  # no interactive session of ours
    monkeypatch.setattr(type(training), "interactive", True)
    session.set_image("b")
    previews._view_rests.stop()
    previews._client.report_received.emit(1, started)
    assert [(kind, fields["image_id"]) for kind, fields in told] == [("view", "b")]


def test_features_are_asked_for_once_while_the_user_gets_ready(
    session, panel, jobs, qtbot, monkeypatch
):
    _, previews = jobs
    asked, given_up = [], []

    def request(kind, **fields):
        asked.append((kind, fields))
        return 100 + len(asked)

    monkeypatch.setattr(previews._client, "request", request)
    monkeypatch.setattr(previews._client, "cancel", given_up.append)
    panel.show()
    assert not asked  # full training has no use for them
    panel.mode.buttons["interactive"].click()
    qtbot.waitUntil(lambda: len(asked) == 1)
    kind, fields = asked[0]
    assert (kind, fields["image_id"]) == ("features", "a")
    previews.warm_up()
    assert len(asked) == 1
    assert previews.busy
    session.set_image("b")
    assert asked[1][1]["image_id"] == "b"
    assert given_up == [101]
    previews._client.report_received.emit(102, FeaturesDone(tiles=1, computed=1, seconds=0.1))
    assert not previews.busy
    previews._client.request_failed.emit(102, "It is over already.")
    previews.warm_up()
    assert len(asked) == 2
