"""The pieces of docs/record_run.py that need no window: the annotator and the page."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK, LENGTH = 8, 48.0


def piece(name: str):
    """Return a module of docs, which is no package."""
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(DOCS))


@pytest.fixture
def mask() -> np.ndarray:
    """Return class 1 with a disk of class 2."""
    rows, cols = np.mgrid[:96, :128]
    return 1 + (np.hypot(rows - 48, cols - 64) < 30).astype(np.uint8)


def along(stroke, steps: int = 50) -> np.ndarray:
    """Return pixels that a stroke passes, (n, 2)."""
    ends = np.array([stroke.start, stroke.stop])
    return np.round(ends[0] + np.linspace(0, 1, steps)[:, None] * (ends[1] - ends[0])).astype(int)


@pytest.mark.parametrize("value", [1, 2])
def test_a_stroke_stays_in_one_region_and_begins_where_nothing_is_painted(mask, value):
    annotator = piece("record_annotator")
    painted = np.zeros(mask.shape, bool)
    painted[:, :64] = True
    rng = np.random.default_rng(0)
    for _ in range(20):
        stroke = annotator.first_stroke(mask, painted, value, BLOCK, LENGTH, rng)
        places = along(stroke)
        assert (mask[tuple(places.T)] == value).all()
        assert np.hypot(*np.subtract(stroke.start, stroke.stop)) <= LENGTH + 1e-9
        assert (~painted[tuple(places.T)]).any()
    assert annotator.first_stroke(mask, painted | True, value, BLOCK, LENGTH, rng) is None


def test_a_correction_goes_through_the_largest_wrong_patch(mask):
    annotator = piece("record_annotator")
    preview = mask.copy()
    preview[40:60, 50:80] = 1  # the large patch: class 2 is right there
    preview[2:12, 2:12] = 2  # a small one
    painted = np.zeros(mask.shape, bool)
    stroke = annotator.correction(mask, preview, painted, BLOCK, LENGTH)
    assert stroke.value == 2
    places = along(stroke)
    assert ((places >= (40, 50)) & (places < (60, 80))).all()
    painted[40:60, 50:80] = True
    stroke = annotator.correction(mask, preview, painted, BLOCK, LENGTH)
    assert stroke.value == 1
    assert (along(stroke) < 12).all()
    assert annotator.correction(mask, mask, painted, BLOCK, LENGTH) is None


def test_the_score_is_the_mean_iou():
    page = piece("record_page")
    mask = np.array([[1, 1, 2, 0]])
    # class 1: 1 of 2 pixels, class 2: 1 of 2; the unknown pixel counts for nothing
    assert page.miou(mask, np.array([[1, 2, 2, 2]])) == 0.5
    assert page.miou(mask, mask) == 1.0


def test_the_page_shows_the_story(tmp_path):
    page = piece("record_page")
    picture = np.random.default_rng(0).integers(0, 255, (90, 130, 4), np.uint8)
    scores = {"miou": 0.8, "miou_of_unpainted_pixels": 0.7}
    better = {"miou": 0.9, "miou_of_unpainted_pixels": 0.85}
    run = SimpleNamespace(
        about={"command": "python docs/record_run.py", "sample": "any", "strokes": 20},
        pictures=[(float(second), picture) for second in range(0, 60, 3)],
        events=[
            {"seconds": 10.0, "what": "20 strokes"},
            {"seconds": 20.0, "what": "preview", **scores},
            {"seconds": 30.0, "what": "1 corrections", **scores},
            {"seconds": 40.0, "what": "better preview", **better},
        ],
    )
    assert page.write(run, tmp_path, seed=0) == json.loads((tmp_path / "run.json").read_text())
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["corrections"] == 1
    assert found["after"] == {"seconds": 40.0, **better}
    kept = [one["picture"] for one in found["pictures"]]
    assert kept == ["1_open.png", "2_20_strokes.png", "3_preview.png", "4_better_preview.png"]
    words = (tmp_path / "README.md").read_text()
    for name in kept:
        assert (tmp_path / name).stat().st_size
        assert f"]({name})" in words
    assert "| preview after 20 strokes | 20 | 0.800 | 0.700 |" in words


def test_the_readme_gets_the_numbers_and_keeps_the_rest(tmp_path):
    page = piece("record_page")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- recorded run -->\nold\n<!-- recorded run ends -->\nafter\n")
    score = "miou_of_unpainted_pixels"
    found = {
        "strokes": 20,
        "corrections": 10,
        "machine": {"cores": 2},
        "before": {"seconds": 41.0, score: 0.812},
        "after": {"seconds": 70.0, score: 0.904},
    }
    page.update_readme(readme, found)
    page.update_readme(readme, found)
    text = readme.read_text()
    assert text.startswith("before\n<!--")
    assert text.endswith("ends -->\nafter\n")
    assert "old" not in text
    assert text.count("mIoU 0.81") == 1
    assert "0.90 (at 70 s)" in text


def test_the_recorded_run_is_whole_and_its_corrections_helped():
    folder = DOCS / "recorded_run"
    found = json.loads((folder / "run.json").read_text())
    for one in found["pictures"]:
        assert (folder / one["picture"]).stat().st_size < 250_000
    for key in ("miou", "miou_of_unpainted_pixels"):
        assert found["after"][key] > found["before"][key]
