"""Finding the next blocks without a viewer window: asking, stopping, failing, what is shown."""

from __future__ import annotations

import json

import pytest

from napari_blockseg.ui.panels.predict import PredictChoice, PredictPanel
from napari_blockseg.ui.runs import RunInfo
from napari_blockseg.ui.suggest_job import SuggestJob

FOUND = [
    {"image_id": "a", "row": 0, "col": 3, "score": 0.9, "reason": "sky?"},
    {"image_id": "b", "row": 1, "col": 2, "score": 0.5, "reason": "tree?"},
    {"image_id": "a", "row": 5, "col": 5, "score": 0.4, "reason": "road?"},
]


@pytest.fixture
def panel(session, qtbot):
    widget = PredictPanel(session)
    qtbot.addWidget(widget)
    widget.set_runs([RunInfo("final")])
    return widget


@pytest.fixture
def begin(session, panel, make_client):
    """Return a maker of the job, joined with a fake worker that finds `FOUND`."""
    made = []

    def make(how: str, block: int = 16) -> SuggestJob:
        answer = {"block": block, "suggestions": FOUND}
        (session.project.root / "suggestions.json").write_text(json.dumps(answer))
        made.append(SuggestJob(session, make_client(how), panel))
        return made[-1]

    yield make
    for job in made:
        job.close()


def test_without_a_model_nothing_can_be_found(session, qtbot):
    panel = PredictPanel(session)
    qtbot.addWidget(panel)
    assert not panel.suggestions.find.isEnabled()
    assert not panel.uncertainty.isEnabled()
    panel.set_runs([RunInfo("final")])
    assert panel.suggestions.find.isEnabled()
    assert not panel.suggestions.next.isEnabled()


def test_found_blocks_are_listed_until_they_are_painted(panel, session, begin, qtbot):
    job, box = begin("plain"), panel.suggestions
    box.find.click()
    qtbot.waitUntil(lambda: box.list.count() == 3)
    assert session.flushed == 1
    assert "0, 3" in box.list.item(0).text()
    assert "sky?" in box.list.item(0).text()
    values = session.values.copy()
    values[0, 3] = 1
    session.paint(values)
    assert [one.reason for one in job.blocks] == ["tree?", "road?"]
    session.paint(0 * values)
    assert box.list.count() == 3, "erased again"
    values[5, 5] = 2
    session.paint(values)
    box.next.click()
    assert session.image_id == "b"
    session.regridded.emit(8)
    assert box.list.count() == 0


def test_so_many_are_asked_for(panel, begin, qtbot):
    begin("plain")
    panel.suggestions.count.setValue(2)
    panel.suggestions.find.click()
    qtbot.waitUntil(lambda: panel.suggestions.list.count() == 2)


def test_a_search_can_be_stopped(panel, begin, qtbot):
    job, box = begin("hang"), panel.suggestions
    box.find.click()
    qtbot.waitUntil(lambda: "1 of 2 images" in box.bar.text.text())
    assert not box.find.isEnabled()
    box.bar.stop.click()
    assert not job.busy
    assert box.bar.isHidden()
    assert box.message.text() == "Stopped."
    assert box.find.isEnabled()


def test_a_failure_is_told_in_the_box(panel, begin, qtbot):
    job, box = begin("no-model"), panel.suggestions
    box.find.click()
    qtbot.waitUntil(lambda: not job.busy)
    assert "The model is damaged." in box.message.text()


def test_blocks_of_another_size_are_not_shown(panel, begin, qtbot):
    job, box = begin("plain", block=8), panel.suggestions
    box.find.click()
    qtbot.waitUntil(lambda: not job.busy)
    assert box.list.count() == 0
    assert "block size was changed" in box.message.text()


def test_the_choice_of_uncertainty_is_kept(panel):
    choice = PredictChoice("final", False, 0.5, True, 0.25)
    panel.set_value(choice)
    assert panel.value() == choice
    assert panel.uncertainty_opacity.isEnabled()
