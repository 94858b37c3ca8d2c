"""``analysis.json``: there, not there, damaged; and the reports of an analysis as JSON lines."""

from __future__ import annotations

import json

import pytest

from napari_blockseg.core.analysis import (
    Analysis,
    Checkpoint,
    LossCurve,
    load_analysis,
    save_analysis,
)
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.reports import (
    AnalysisDone,
    AnalysisProgress,
    report_from_json,
    to_json,
)


@pytest.fixture
def analysis():
    curve = LossCurve(
        cutoffs=(0.25, 0.5),
        truncated=(0.3, 0.2),
        cross_entropy=0.2,
        mean_term=1.0,
        discrepancy=(0.5, None),
        discrepancy_of_mean=(0.1, 0.0),
    )
    start, end = (
        Checkpoint(moment=moment, step=step, loss=curve, miou=None, pixel_accuracy=0.5)
        for moment, step in (("start", 0), ("end", 9))
    )
    return Analysis(
        model="run",
        network="deeplabv3plus",
        encoder="resnet18",
        decoder_stride=4,
        scale=1.0,
        block=8,
        classes=("a", "b"),
        images=1,
        pixels=100,
        truth="dense masks",
        tolerance=0.05,
        label_cutoffs=(0.25,),
        label_energy=(None,),
        checkpoints=(start, end),
        trials=(),
        recommended_stride=None,
        reason="none",
    )


def test_it_comes_back_as_it_was(analysis, tmp_path):
    assert load_analysis(tmp_path) is None
    path = save_analysis(tmp_path, analysis)
    assert path == tmp_path / "analysis.json"
    assert load_analysis(tmp_path) == analysis
    assert load_analysis(tmp_path).end.step == 9


def test_a_newer_file_with_more_keys_is_read(analysis, tmp_path):
    path = save_analysis(tmp_path, analysis)
    values = json.loads(path.read_text())
    values["checkpoints"][0]["mood"] = "fine"
    path.write_text(json.dumps({**values, "more": 1}))
    assert load_analysis(tmp_path) == analysis


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\xff"])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "analysis.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"analysis.json is damaged.*analyse the model again"):
        load_analysis(tmp_path)


@pytest.mark.parametrize(
    "report",
    [
        AnalysisProgress(done=1, total=9, what="images read"),
        AnalysisDone(path="models/run/analysis.json", seconds=1.5, recommended_stride=8),
    ],
)
def test_reports_go_through_json(report):
    assert report_from_json(to_json(report)) == report
