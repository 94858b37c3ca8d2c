"""How long LiveSpectrum takes to follow a stroke, beside measuring the whole grid again.

Strokes of at most 200 blocks, 21 classes, at most 3 of them touched (the one painted and two that
are painted over), on grids with holes, where the coverage changes with each stroke, and on grids
without. Time is that of the processor (``time.process_time``) with one thread, after strokes that
warm it up; a stroke's time is that of ``change()`` and ``result()``. The goals: 16 ms at the 95th
percentile on 512 x 512 blocks, 100 ms on 2048 x 2048 (there off the GUI's thread).

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/live_spectrum.py

Writes ``benchmarks/results/live_spectrum.json`` (``--out`` for elsewhere).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_blockseg.core.spectrum import LabelSpectrum, LiveSpectrum, label_spectrum

N_CLASSES = 21
MOST_BLOCKS = 200
MOST_TOUCHED = 3
WARM_UP = 40
GOALS_MS = {512: 16.0, 2048: 100.0}


def regions(side: int, seed: int) -> np.ndarray:
    """Return smooth regions of all classes, (side, side)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(N_CLASSES, side // 8, side // 8))
    coarse = ndimage.gaussian_filter(noise, (0, 3, 3)).argmax(0) + 1
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.uint16)


def painted_half(values: np.ndarray, seed: int) -> np.ndarray:
    """Return the labels with about half of them left, in strokes."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=values.shape), 3)
    return np.where(noise > 0, values, 0)


def strokes(live: np.ndarray, seed: int) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (cells (n, 2), value): curved lines of 1 to 5 blocks' width; `live` is painted too."""
    rng = np.random.default_rng(seed)
    side = live.shape[0]
    while True:
        width, length = int(rng.integers(1, 6)), int(rng.integers(10, 60))
        angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, length))
        path = rng.uniform(0, side, 2) + np.cumsum(np.stack([np.sin(angles), np.cos(angles)], 1), 0)
        brush = np.stack(np.meshgrid(*[np.arange(width)] * 2), -1).reshape(-1, 2)
        cells = np.unique((path[:, None].astype(int) + brush).reshape(-1, 2), axis=0)
        cells = cells[((cells >= 0) & (cells < side)).all(1)][:MOST_BLOCKS]
        value = int(rng.integers(1, N_CLASSES + 1))
        under = live[cells[:, 0], cells[:, 1]]
        others = np.setdiff1d(under, [0, value])[: MOST_TOUCHED - 1]
        cells = cells[np.isin(under, [0, value, *others])]
        if len(cells):
            live[cells[:, 0], cells[:, 1]] = value
            yield cells, value


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return processor time in ms, and what `work` returned."""
    start = time.process_time()
    result = work()
    return 1e3 * (time.process_time() - start), result


def farthest(one: LabelSpectrum, other: LabelSpectrum) -> float:
    """Return the largest difference of the classes' shares."""
    return float(np.nanmax(np.abs(one.energy - other.energy)))


def measure(values: np.ndarray, n: int) -> dict[str, Any]:
    """Paint `n` strokes; return times in ms and how far live and full are from each other."""
    live = LiveSpectrum(N_CLASSES)
    live.reset(values)
    start, _ = timed(live.result)
    times, blocks, touched = [], [], []
    painter = strokes(values, 1)
    for _ in range(WARM_UP + n):
        seen = values.copy()
        cells, value = next(painter)
        under = seen[cells[:, 0], cells[:, 1]]
        touched.append(len({value, *under.tolist()} - {0}))

        def follow(cells: np.ndarray = cells, value: int = value) -> LabelSpectrum:
            live.change(cells, np.full(len(cells), value))
            return live.result()

        spent, _ = timed(follow)
        times.append(spent)
        blocks.append(len(cells))
    before = live.result()
    settle, _ = timed(live.settle)
    again = [timed(lambda: label_spectrum(values, N_CLASSES)) for _ in range(3)]
    full, exact = min(spent for spent, _ in again), again[0][1]
    late = np.array(times[WARM_UP:])
    return {
        "coverage": exact.coverage,
        "strokes": n,
        "blocks_per_stroke": {"median": float(np.median(blocks)), "max": int(max(blocks))},
        "classes_touched": {str(m): touched.count(m) for m in sorted(set(touched))},
        "stroke_ms": {f"p{q}": float(np.percentile(late, q)) for q in (50, 95, 100)},
        "first_result_ms": start,
        "settle_ms": settle,
        "full_ms": full,
        "full_over_stroke_p95": full / float(np.percentile(late, 95)),
        "difference_before_settle": farthest(before, exact),
        "difference_after_settle": farthest(live.result(), exact),
    }


def main() -> None:
    """Measure all grids and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).parent / "results" / "live_spectrum.json"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--sides", type=int, nargs="+", default=[512, 2048])
    parser.add_argument("--strokes", type=int, default=200)
    options = parser.parse_args()
    grids = {}
    for side in options.sides:
        n = options.strokes if side <= 512 else options.strokes // 2
        for name in ("holes", "full"):
            values = regions(side, 0)
            values = painted_half(values, 2) if name == "holes" else values
            found = measure(values, n)
            goal = GOALS_MS.get(side)
            met = None if goal is None else found["stroke_ms"]["p95"] <= goal
            grids[f"{side} {name}"] = {**found, "goal_p95_ms": goal, "met": met}
            print(side, name, json.dumps(found["stroke_ms"]), found["full_ms"], flush=True)
    result = {
        "what": "processor time in ms of LiveSpectrum.change() and .result() for one stroke",
        "n_classes": N_CLASSES,
        "grids": grids,
        "date": date.today().isoformat(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("numpy", "scipy")},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
