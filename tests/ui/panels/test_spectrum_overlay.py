"""A model's loss over the label curves: chosen, measured by a (fake) worker, stopped."""

from __future__ import annotations

import os

import numpy as np
import pytest
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtTest import QTest

from napari_blockseg.core.analysis import Analysis, Checkpoint, LossCurve, save_analysis
from napari_blockseg.ui.analyse_job import AnalyseJob
from napari_blockseg.ui.panels.spectrum import SpectrumPanel
from napari_blockseg.ui.runs import RunInfo

LEFT = Qt.MouseButton.LeftButton


class FakeTraining(QObject):
    runs_listed = Signal(object)


def analysis(model, moments=("start", "early", "end")) -> Analysis:
    cutoffs = tuple(0.5 * 2.0 ** np.arange(-9, 0.1, 0.5))
    checkpoints = []
    for step, moment in enumerate(moments):
        truncated = tuple((3 - step) * (1 - 0.05 * np.arange(len(cutoffs))))
        loss = LossCurve(
            cutoffs=cutoffs,
            truncated=truncated,
            cross_entropy=truncated[-1],
            mean_term=truncated[0],
            discrepancy=(None,) * len(cutoffs),
            discrepancy_of_mean=(None,) * len(cutoffs),
        )
        checkpoints.append(
            Checkpoint(moment=moment, step=step, loss=loss, miou=None, pixel_accuracy=None)
        )
    return Analysis(
        model=model,
        network="deeplabv3plus",
        encoder="fake",
        decoder_stride=4,
        scale=1.0,
        block=16,
        classes=("sky", "road", "tree"),
        images=3,
        pixels=100,
        truth="block labels",
        tolerance=0.01,
        label_cutoffs=(),
        label_energy=(),
        checkpoints=tuple(checkpoints),
        trials=(),
        recommended_stride=None,
        reason="",
    )


@pytest.fixture
def panel(session, blobs, qtbot):
    widget = SpectrumPanel(session)
    qtbot.addWidget(widget)
    widget.resize(340, 800)
    widget.show()
    session.paint(blobs)
    qtbot.waitUntil(lambda: widget.spectrum is not None)
    yield widget
    widget.close_threads()


@pytest.fixture
def begin(session, panel, make_client):
    """Return a maker of the job that joins the panel with a fake worker; two runs are there."""
    made = []

    def make(how: str) -> AnalyseJob:
        for name in ("new", "old"):
            (session.project.models_dir / name).mkdir(parents=True)
            (session.project.models_dir / name / "model.safetensors").write_bytes(b"")
        training = FakeTraining()
        job = AnalyseJob(session, make_client(how), panel.overlay, training)
        job.loaded.connect(panel.set_analysis)
        made.append((job, training))
        training.runs_listed.emit([RunInfo("new", 0.7), RunInfo("old")])
        return job

    yield make
    for job, _ in made:
        job.close()


def losses(panel) -> set[str]:
    return {name for _, name in panel.canvas._lines if name.startswith("loss")}


def choose(panel, run):
    """Choose a run by the keys, as the list is closed."""
    box = panel.overlay.model
    box.setFocus()
    for _ in range(box.count()):
        QTest.keyClick(box, Qt.Key.Key_Up)
    while panel.overlay.run != run:
        QTest.keyClick(box, Qt.Key.Key_Down)


def test_without_a_model_there_is_nothing_to_choose(panel):
    assert panel.overlay.model.currentText() == "train a model first"
    assert not panel.overlay.model.isEnabled()
    assert panel.overlay.measure.isHidden()


def test_an_analysed_model_is_laid_over_the_curves(panel, session, begin, qtbot):
    begin("plain")
    assert not panel.canvas.plot.getAxis("right").isVisible()
    save_analysis(session.project.models_dir / "old", analysis("old"))
    choose(panel, "old")
    qtbot.waitUntil(lambda: losses(panel) == {"loss", "loss, untrained", "loss, early in training"})
    assert panel.canvas.plot.getAxis("right").isVisible()
    assert "the model's loss" in panel.overlay.words.text()
    assert "blocks of 32 px" in panel.overlay.words.text()
    QTest.keyClick(panel.canvas, Qt.Key.Key_Left)
    assert "blocks of 64 px" in panel.overlay.words.text()
    choose(panel, "")
    assert losses(panel) == set()
    assert panel.overlay.words.isHidden()
    assert not panel.canvas.plot.getAxis("right").isVisible()


def test_the_loss_follows_the_axis_and_the_theme(panel, session, begin, qtbot):
    begin("plain")
    save_analysis(session.project.models_dir / "old", analysis("old"))
    choose(panel, "old")
    qtbot.waitUntil(lambda: "loss" in losses(panel))
    line = panel.canvas._lines[(id(panel.canvas.plot), "loss")]
    assert line.getData()[0].max() < 0
    dark = line.opts["pen"].color().lightness()
    QTest.keyClick(panel.canvas, Qt.Key.Key_L)
    assert line.getData()[0].min() > 0
    session.viewer.theme = "light"
    assert line.opts["pen"].color().lightness() < dark


def test_measure_asks_the_worker_and_shows_what_it_found(panel, session, begin, qtbot):
    job = begin("plain")
    choose(panel, "new")
    assert not panel.overlay.measure.isHidden()
    QTest.mouseClick(panel.overlay.measure, LEFT)
    assert job.busy
    assert not panel.overlay.measure.isEnabled()
    qtbot.waitUntil(lambda: losses(panel) == {"loss"})
    assert not job.busy
    assert panel.overlay.bar.isHidden()
    assert session.flushed == 1, "the worker reads labels from the disk"


def test_progress_shows_and_stop_ends_it(panel, begin, qtbot):
    job = begin("hang")
    choose(panel, "new")
    QTest.mouseClick(panel.overlay.measure, LEFT)
    qtbot.waitUntil(lambda: panel.overlay.bar.text.text() == "1 of 2 images")
    assert panel.overlay.bar.bar.value() == 500
    QTest.mouseClick(panel.overlay.bar.stop, LEFT)
    assert not job.busy
    assert panel.overlay.bar.isHidden()
    assert panel.overlay.message.text() == "Stopped."
    assert panel.overlay.measure.isEnabled()


def test_a_model_that_cannot_be_analysed_is_told(panel, begin, qtbot):
    begin("no-model")
    choose(panel, "new")
    QTest.mouseClick(panel.overlay.measure, LEFT)
    qtbot.waitUntil(lambda: "damaged" in panel.overlay.message.text())
    assert panel.overlay.measure.isEnabled()
    choose(panel, "old")
    assert panel.overlay.message.isHidden()


def test_a_worker_that_dies_is_told(panel, begin, qtbot):
    job = begin("die")
    choose(panel, "new")
    QTest.mouseClick(panel.overlay.measure, LEFT)
    qtbot.waitUntil(lambda: not panel.overlay.message.isHidden())
    assert not job.busy
    assert "ended" in panel.overlay.message.text()


def test_another_choice_in_the_middle_of_measuring_is_what_is_shown(panel, session, begin, qtbot):
    job = begin("plain")
    save_analysis(session.project.models_dir / "old", analysis("old"))
    choose(panel, "new")
    QTest.mouseClick(panel.overlay.measure, LEFT)
    choose(panel, "old")
    qtbot.waitUntil(lambda: not job.busy and bool(losses(panel)))
    qtbot.wait(100)
    assert losses(panel) == {"loss", "loss, untrained", "loss, early in training"}


def test_closing_the_project_in_the_middle_forgets_it(panel, session, begin, qtbot):
    job = begin("hang")
    save_analysis(session.project.models_dir / "old", analysis("old"))
    choose(panel, "old")
    qtbot.waitUntil(lambda: bool(losses(panel)))
    QTest.mouseClick(panel.overlay.measure, LEFT)
    session.project, session.image_id = None, None
    session.project_closed.emit()
    panel.overlay.set_runs([])
    assert not job.busy
    assert losses(panel) == set()
    assert panel.overlay.bar.isHidden()


def test_closing_in_the_middle_of_measuring_is_safe(panel, begin, qtbot):
    job = begin("hang")
    choose(panel, "new")
    QTest.mouseClick(panel.overlay.measure, LEFT)
    job.close()
    qtbot.wait(100)
    assert not job.busy


def test_a_damaged_analysis_reaches_the_session(panel, session, begin, qtbot):
    begin("plain")
    (session.project.models_dir / "old" / "analysis.json").write_text("{")
    choose(panel, "old")
    qtbot.waitUntil(lambda: bool(session.problems))
    assert "analysis.json" in session.problems[0]
    assert panel.overlay.measure.isEnabled()


def test_an_analysis_older_than_its_model_says_so(panel, session, begin, qtbot):
    begin("plain")
    folder = session.project.models_dir / "old"
    path = save_analysis(folder, analysis("old"))
    os.utime(path, (1, 1))
    choose(panel, "old")
    qtbot.waitUntil(lambda: "Measure again" in panel.overlay.message.text())
    assert losses(panel), "it is shown all the same"


def test_a_new_list_of_runs_keeps_the_choice(panel, begin):
    begin("plain")
    choose(panel, "old")
    panel.overlay.set_runs([RunInfo("newest"), RunInfo("new", 0.7), RunInfo("old")])
    assert panel.overlay.run == "old"
    panel.overlay.set_runs([RunInfo("newest")])
    assert panel.overlay.run == ""
