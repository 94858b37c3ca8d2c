"""A picture to paint on, and how tests of interactive sessions drive one."""

from __future__ import annotations

import numpy as np

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import TrainConfig
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.learn.data import WorkingGrid
from napari_blockseg.learn.interactive.session import Interactive
from napari_blockseg.learn.interactive.view import Preview, View

CLASSES = make_classes(["smooth", "rough", "dark"])
BLOCK, ROWS, COLS = 8, 120, 168
TRAIN = TrainConfig(device="cpu", crop=64, scale=1.0)
GRID = WorkingGrid.for_scale(BLOCK, 1.0)


class Scene:
    """A picture of three textures, and labels that a test paints; a `Source`."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        rows, cols = np.mgrid[:ROWS, :COLS]
        self.truth = np.where(cols < 90 + 10 * np.sin(rows / 15), 1, 2)
        self.truth[np.hypot(rows - 85, cols - 60) < 25] = 3
        spread = np.choose(self.truth - 1, [4, 45, 4])
        level = np.choose(self.truth - 1, [140, 140, 60])
        noise = rng.normal(0, 1, (ROWS, COLS)) * spread
        self.image = (level + noise).clip(0, 255).astype(np.uint8)[..., None]
        self.grid = BlockGrid((ROWS, COLS), BLOCK)
        self.values = {"a": np.zeros(self.grid.shape, np.uint8)}
        self.news: dict[str, BlockLabels] = {}

    def paint(self, value, rows, cols, name="a"):
        values = self.values.setdefault(name, np.zeros(self.grid.shape, np.uint8)).copy()
        values[rows, cols] = value
        self.values[name] = values
        self.news[name] = BlockLabels(self.grid, values)

    def paint_truth(self, name="a"):
        values = self.truth[BLOCK // 2 :: BLOCK, BLOCK // 2 :: BLOCK].astype(np.uint8)
        self.values[name] = values
        self.news[name] = BlockLabels(self.grid, values)

    def changed(self):
        news, self.news = self.news, {}
        return news

    def pixels(self, name):
        return self.image

    def identity(self, name):
        return [name]


def begin(scene, foundation, out, full=False, view=View("a"), **options):  # noqa: B008
    return Interactive(scene, foundation, CLASSES, BLOCK, TRAIN, out, view, full, **options)


def until(reports, wanted, most=400):
    """Return the first report that fits, and those before it."""
    seen = []
    for _ in range(most):
        report = next(reports)
        if report is not None:
            seen.append(report)
            if wanted(report):
                return report, seen
    raise AssertionError(f"nothing in {most} turns; {seen[-3:]}")


def is_preview(report):
    return isinstance(report, Preview)


def truth_of(windows, wrong=0):
    """Return the classes of what is scored, so many of them wrong."""
    truth = np.concatenate([one.points.classes for one in windows])
    said = truth.copy()
    said[:wrong] = (truth[:wrong] + 1) % len(CLASSES)
    return said
