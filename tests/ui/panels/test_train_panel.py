"""The Train panel and its job: settings, buttons, live curves, against a fake worker."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.reports import (
    Notice,
    TrainDone,
    TrainStarted,
    TrainStep,
    Validation,
)
from napari_blockseg.core.stride_choice import StrideCandidate, StrideChoice
from napari_blockseg.ui.panels.train import TrainPanel, TrainSettings
from napari_blockseg.ui.train_job import TrainJob


@pytest.fixture
def panel(session, qtbot):
    widget = TrainPanel(session)
    qtbot.addWidget(widget)
    return widget


@pytest.fixture
def begin(session, panel, make_client):
    """Return a maker of the job that joins the panel with a fake worker."""
    jobs = []

    def make(how: str) -> TrainJob:
        jobs.append(TrainJob(session, make_client(how), panel))
        return jobs[-1]

    yield make
    for job in jobs:
        job.close()


def step(n: int, loss: float | None = 1.0) -> TrainStep:
    return TrainStep(step=n, steps=100, loss=loss, learning_rate=0.1, seconds=0.1, progress=n / 100)


def started(**more) -> TrainStarted:
    return TrainStarted(
        steps=100,
        minutes=None,
        n_images=2,
        n_labelled_blocks=50,
        n_train_blocks=40,
        n_val_blocks=10,
        validation="superblocks",
        device="cpu",
        scale=0.5,
        decoder_stride=4,
        **more,
    )


def visible(panel) -> set[str]:
    buttons = (panel.start, panel.go_on, panel.pause, panel.stop)
    return {button.text() for button in buttons if not button.isHidden()}


def test_the_form_starts_with_the_config_s_defaults(panel):
    settings = panel.value()
    assert settings.network == NetworkConfig()
    assert settings.train.model_copy(update={"steps": None}) == TrainConfig()
    assert settings.train.total_steps == TrainConfig().total_steps


@pytest.mark.parametrize(
    "settings",
    [
        TrainSettings(
            NetworkConfig(form="paper", decoder_stride=16, image_pooling=True, encoder="resnet18"),
            TrainConfig(minutes=2.5, scale=0.5, learning_rate=3e-4, augment=False, seed=7),
        ),
        TrainSettings(NetworkConfig(image_pooling=False), TrainConfig(steps=33, scale=0.3)),
        TrainSettings(NetworkConfig(), TrainConfig(steps=1, validation=False, crop=512)),
    ],
)
def test_settings_survive_the_form(panel, settings):
    told = []
    panel.value_changed.connect(lambda: told.append(1))
    panel.set_value(settings)
    assert panel.value() == settings
    assert told == [], "setting a value must say nothing"


def test_a_change_by_the_user_is_told(panel):
    told = []
    panel.value_changed.connect(lambda: told.append(1))
    panel.train_form.editors["seed"].value = 3
    panel.length.unit.setCurrentText("minutes")
    assert len(told) == 2
    assert panel.value().train.minutes == 10
    assert panel.value().train.steps is None


def test_titles_tips_and_ranges_come_from_the_config(panel):
    editor = panel.train_form.editors["batch_size"]
    assert (editor.min, editor.max) == (1, 256)
    assert editor.native.toolTip() == TrainConfig.model_fields["batch_size"].description
    assert set(panel.network_form.editors) == set(NetworkConfig.model_fields)
    shown = set(panel.train_form.editors) | {"steps", "minutes"}
    assert shown == set(TrainConfig.model_fields), "a new field needs a place in the form"


def test_a_setting_that_cannot_be_is_named(panel):
    panel.train_form.editors["learning_rate"].value = 0
    with pytest.raises(BlockSegError, match="learning_rate"):
        panel.value()


def test_reports_move_the_curves_and_the_texts(panel, qtbot):
    panel.begin_run("run-1")
    panel.add_report(started())
    for n in range(1, 21):
        panel.add_report(step(n, None if n == 5 else 2.0 - n / 20))
    panel.add_report(
        Validation(
            step=20, miou=0.5, iou={"sky": 0.75, "road": 0.25, "tree": None}, pixel_accuracy=None
        )
    )
    panel.add_report(Notice(level="warning", message="Halved the batch."))
    qtbot.waitUntil(lambda: len(panel.canvas._lines) == 5)
    assert panel.state == "training"
    assert "Step 20 of 100" in panel.status.text()
    assert "sky&nbsp;75" in panel.scores.text()
    assert "tree" not in panel.scores.text()
    assert "Halved the batch." in panel.messages.toPlainText()
    _, y = panel.canvas._lines[(id(panel.canvas.loss), "loss")].getData()
    assert np.isnan(y[4])
    assert y[-1] == pytest.approx(1.0)
    where = "/data/walls.blockseg/models/run-1"
    panel.add_report(TrainDone(steps=20, seconds=1, val_miou=0.5, model=where, stopped=True))
    assert "stopped after 20 steps: held-out mIoU 0.500" in panel.status.text()
    assert "; saved as run-1" in panel.messages.toPlainText()


def test_a_run_without_a_step_promises_no_model(panel):
    panel.begin_run("run-1")
    panel.add_report(TrainDone(steps=0, seconds=0, val_miou=None, model="m", stopped=True))
    assert "no model is kept" in panel.status.text()
    assert "saved" not in panel.messages.toPlainText()


@pytest.mark.parametrize("source", ["interactive", "network"])
def test_who_stops_a_quick_preview_is_told_what_is_kept(panel, source):
    panel.begin_run("run-1")
    done = {"seconds": 1, "val_miou": 0.3, "model": "models/run-1", "stopped": True}
    panel.add_report(TrainDone(steps=9 * (source == "network"), source=source, **done))
    assert "held-out mIoU 0.300" in panel.status.text()
    assert ("the quick head that previewed is kept" in panel.status.text()) == (
        source == "interactive"
    )
    assert "saved as run-1" in panel.messages.toPlainText()


def test_an_unknown_state_is_refused(panel):
    with pytest.raises(ValueError, match="expected one of idle"):
        panel.set_state("flying")


def test_start_trains_and_ends_idle(panel, session, begin, qtbot):
    job = begin("plain")
    lives, learned = [], []
    job.live_changed.connect(lives.append)
    job.learned.connect(lambda: learned.append(1))
    panel.start.click()
    assert session.flushed == 1, "what is painted has to be on disk first"
    assert visible(panel) == {"Pause", "Stop"}
    assert not panel.network_form.editors["encoder"].enabled
    qtbot.waitUntil(lambda: panel.state == "idle")
    assert panel.history.steps == [1, 4]
    assert lives == [True, False]
    assert learned
    assert "no score" in panel.status.text()
    assert visible(panel) == {"Start"}


def test_pause_resume_and_stop(panel, begin, qtbot):
    begin("long")
    panel.start.click()
    qtbot.waitUntil(lambda: panel.state == "training")
    panel.pause.click()
    assert panel.state == "pausing", (
        "the answer may take a step; whoever pressed it sees it at once"
    )
    assert visible(panel) == {"Pausing…", "Stop"}
    assert not panel.pause.isEnabled()
    qtbot.waitUntil(lambda: panel.state == "paused")
    assert visible(panel) == {"Resume", "Stop"}
    assert "Paused" in panel.status.text()
    panel.pause.click()
    qtbot.waitUntil(lambda: panel.state == "training")
    assert panel.status.text() == "Going on"
    panel.stop.click()
    assert panel.state == "stopping"
    qtbot.waitUntil(lambda: panel.state == "idle")
    assert "stopped after 2 steps" in panel.status.text()


def test_a_step_that_had_begun_does_not_undo_the_pause(panel):
    panel.begin_run("run-1")
    panel.add_report(step(1))
    panel.set_state("pausing")
    panel.add_report(step(2))
    assert panel.history.steps == [1, 2]
    assert panel.state == "pausing"
    assert "Pausing" in panel.status.text()
    panel.set_state("stopping")
    panel.add_report(step(3))
    assert "Stopping" in panel.status.text()


def test_an_answer_to_something_else_does_not_undo_a_pause(panel, begin, qtbot):
    job = begin("long")
    panel.start.click()
    qtbot.waitUntil(lambda: panel.state == "training")
    panel.set_state("pausing")
    job._client.training_state.emit(10_000, "training")  # of a request that told the view
    assert panel.state == "pausing"
    panel.set_state("training")
    panel.pause.click()
    panel.stop.click()  # the answer to the pause comes first
    qtbot.waitUntil(lambda: panel.state in ("paused", "idle"))
    assert panel.state == "idle"


def test_the_switch_says_what_it_does_and_why_it_is_off(panel):
    switch = panel.mode
    assert "set length" in switch.hint.text()
    switch.buttons["interactive"].click()
    assert "until you stop" in switch.hint.text()
    assert panel.length.isHidden()
    panel.begin_run("run-1")
    assert not switch.buttons["full"].isEnabled()
    assert "Stop to change mode or settings" in switch.hint.text()
    assert "Stop the training to change" in switch.buttons["full"].toolTip()
    assert "deeplabv3plus, tf_efficientnet_lite0" in switch.hint.text()
    assert panel.settings.isHidden(), "what cannot be changed makes room for the curves"
    panel.set_state("idle")
    assert switch.buttons["full"].isEnabled()
    assert not panel.settings.isHidden()
    assert "until you stop" in switch.hint.text()


@pytest.mark.parametrize("source", [None, "interactive", "network"])
def test_scores_of_every_class_say_where_they_went(panel, source):
    def score(sky, road):
        iou = {"sky": sky, "road": road, "tree": None}
        return Validation(step=1, miou=0.5, iou=iou, pixel_accuracy=None, source=source)

    assert panel.scores.isHidden()
    panel.begin_run("run-1")
    panel.add_report(score(0.75, 0.5))
    assert not panel.scores.isHidden()
    assert "▲" not in panel.scores.text()
    panel.add_report(score(0.8, 0.38))
    text = panel.scores.text().replace("&nbsp;", " ")
    assert "sky 80 <small>▲5" in text
    assert "road 38 <small>▼12" in text
    assert "tree" not in text
    panel.begin_run("run-2")
    assert panel.scores.isHidden()


def test_the_score_of_the_one_that_does_not_preview_is_there_too(panel):
    score = {"step": 3, "miou": 0.5, "iou": {"sky": 0.5}, "pixel_accuracy": None}
    if "other_miou" not in Validation.model_fields:
        pytest.skip("these reports do not say it")
    panel.add_report(Validation(**score, source="interactive", other_miou=0.456))
    assert "network 45.6 %" in panel.scores.text()
    panel.add_report(Validation(**score, source="network", other_miou=None))
    assert "quick head" not in panel.scores.text()


def test_a_run_that_was_stopped_can_go_on_with_its_own_settings(
    panel, session, begin, qtbot, tmp_path
):
    run = tmp_path / "models" / "old"
    run.mkdir(parents=True)
    (run / "model.safetensors").touch()
    (run / "resume.pt").touch()
    description = {
        "val_miou": 0.4,
        "network": NetworkConfig(form="paper").model_dump(mode="json"),
        "train": TrainConfig(steps=7).model_dump(mode="json"),
    }
    (run / "model.json").write_text(json.dumps(description))
    job = begin("long")
    asked = []
    job._client.train = lambda *args: asked.append(args) or 1
    job.list_runs()
    qtbot.waitUntil(lambda: "Continue" in visible(panel))
    panel.go_on.click()
    _, name, network, train, resume = asked[0]
    assert (name, network.form, train.steps, resume) == ("old", "paper", 7, True)


def test_a_refusal_is_shown_and_the_panel_is_ready_again(panel, begin, qtbot):
    begin("refuse")
    panel.start.click()
    qtbot.waitUntil(lambda: panel.state == "idle")
    assert "No block is labelled" in panel.messages.toPlainText()
    assert "No block is labelled" in panel.status.text()


def test_a_worker_that_dies_leaves_the_panel_usable(panel, begin, qtbot):
    job = begin("die")
    panel.start.click()
    qtbot.waitUntil(lambda: panel.state == "idle")
    assert "the disk is on fire" in panel.messages.toPlainText()
    assert not job.running
    assert visible(panel) == {"Start"}


def test_a_command_that_cannot_start_leaves_the_panel_usable(panel, session, qtbot):
    from napari_blockseg.ui.worker_client import WorkerClient
    from napari_blockseg.ui.worker_messages import WorkerCommand

    job = TrainJob(session, WorkerClient(WorkerCommand(("no-such-program",))), panel)
    panel.start.click()
    qtbot.waitUntil(lambda: panel.state == "idle")
    assert "no-such-program" in panel.messages.toPlainText()
    job.close()


def test_without_a_project_it_says_what_to_do(panel, session, begin):
    session.project = None
    begin("plain")
    panel.start.click()
    assert panel.state == "idle"
    assert "Open an image" in panel.messages.toPlainText()


def test_closing_the_project_stops_its_training(panel, session, begin, qtbot):
    begin("long")
    panel.start.click()
    qtbot.waitUntil(lambda: panel.state == "training")
    session.project = None
    session.project_closed.emit()
    qtbot.waitUntil(lambda: panel.state == "idle")


def test_why_the_decoder_has_its_stride_is_said(panel):
    choice = StrideChoice(
        stride=8,
        grounds="labels",
        reason="Decoder stride 8: it costs 0.4 % of the mean IoU. Cells of 32 pixels cost more.",
        tolerance=0.01,
        candidates=(
            StrideCandidate(stride=4, energy=1.0, loss=0.0, low=1.0, high=1.0),
            StrideCandidate(stride=8, energy=0.99, loss=0.004, low=0.98, high=1.01),
        ),
        scale=0.5,
    )
    panel.begin_run("run-1")
    panel.add_report(started(stride_choice=choice))
    assert not panel.choice.isHidden()
    assert panel.choice.text() == "Decoder stride 8: it costs 0.4 % of the mean IoU."
    assert "Cells of 32 pixels cost more" in panel.choice.toolTip()
    assert "stride 8 (cells of 16 pixels of the image): keeps 99.6 %" in panel.choice.toolTip()
    assert "Cells of 32 pixels" in panel.messages.toPlainText()
    panel.begin_run("run-2")
    panel.add_report(started())
    assert panel.choice.isHidden(), "of a stride that was given there is nothing to say"
