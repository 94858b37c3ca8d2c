"""How soon interactive mode previews, and how good that is beside full training.

Two parts, which share one result file:

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/interactive_latency.py reference --steps 150
    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/interactive_latency.py latency

"reference" trains the default network on the strokes alone (4 crops of 192 pixels a step, nothing
held out) and scores it on the same image. "latency" drives a real worker: a cold start with the
features of the view, the first strokes, five refreshes while the network learns behind. Times are
given twice: as the clock saw them, and as processor time of the worker process, which does not
depend on what else the machine does. Images: the bundled samples laid out to 1024 x 1024 pixels,
one of camvid and one of nuclei_dsb2018 where BLOCKSEG_DATA names their folder.

Writes ``benchmarks/results/interactive_latency.json`` (``--out`` for elsewhere).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from contextlib import closing
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
from interactive_cases import Case, cases

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.labels import BlockLabels, diff
from napari_blockseg.files.project import Project

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "cli"))
from worker_client import Worker

PER_CLASS, LENGTH, SEED = 5, 15, 0
REFRESHES = 5
USEFUL = 0.8
GOALS = {"first_s": 3.0, "refresh_s": 1.0}


class Clock:
    """Wall time, and processor time of a worker, since it was made."""

    def __init__(self, worker: Worker | None = None) -> None:
        self._process = psutil.Process(worker.process.pid) if worker else None
        self._start, self._cpu = time.perf_counter(), self._spent()

    def read(self) -> dict[str, float]:
        """Return both, in seconds."""
        wall, cpu = time.perf_counter() - self._start, self._spent() - self._cpu
        return {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}

    def _spent(self) -> float:
        if self._process is None:
            return 0.0
        times = self._process.cpu_times()
        return times.user + times.system


def reference(case: Case, steps: int) -> dict[str, Any]:
    """Train on the strokes; return the mIoU on the image, and the processor time it took."""
    from napari_blockseg.learn.data import TrainingImage
    from napari_blockseg.learn.predict import predict_mask
    from napari_blockseg.learn.train import Training

    image = TrainingImage("image", case.pixels, case.strokes(PER_CLASS, LENGTH, SEED))
    config = TrainConfig(
        steps=steps, batch_size=4, crop=192, validation=False, keep_checkpoints=False
    )
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        network = NetworkConfig(decoder_stride=4)
        training = Training([image], case.classes, network, config, out=Path(folder))
        with closing(training.reports()) as reports:
            for _ in reports:
                pass
        miou = case.score(predict_mask(training.live_model(), case.pixels))
    return {"miou": miou, "steps": steps, "cpu_s": round(time.process_time() - start, 1)}


def latency(case: Case, folder: Path) -> dict[str, Any]:
    """Drive a worker through a session on one image."""
    root = folder / f"{case.name.split()[0]}.blockseg"
    tifffile.imwrite(folder / "image.tif", case.pixels.squeeze(), photometric=None)
    axes = "YXC" if case.pixels.shape[2] > 1 else "YX"
    with Project.create(root, [folder / "image.tif"], case.classes, case.block, axes) as project:
        found: dict[str, Any] = {"shape": list(case.pixels.shape), "block": case.block}
        clock = Clock()
        worker = Worker()
        found["greeting_wall_s"] = clock.read()["wall_s"]
        ask = {"project": str(root), "image_id": "image", "train": {"device": "cpu"}}
        found["features_cold"] = _answered(worker, "features_done", "features", ask)
        worker.end()
        worker = Worker()
        found["features_from_disk"] = _answered(worker, "features_done", "features", ask)
        number = worker.ask("interactive", run="run", **ask)
        worker.wait_for("train_started", number)
        found |= _strokes(case, project, worker, number)
        worker.end()
        cache = (root / "cache" / "features").glob("*.npz")
        found["cache_bytes"] = sum(path.stat().st_size for path in cache)
    return found


def _answered(worker: Worker, answer: str, kind: str, fields: dict[str, Any]) -> dict[str, float]:
    clock = Clock(worker)
    worker.wait_for(answer, worker.ask(kind, **fields), timeout=300)
    return clock.read()


def _strokes(case: Case, project: Project, worker: Worker, number: int) -> dict[str, Any]:
    first = case.strokes(PER_CLASS, LENGTH, SEED)
    more = case.strokes(2 * PER_CLASS, LENGTH, SEED + 1)
    spent, miou = _painted(case, project, worker, number, first)
    found: dict[str, Any] = {
        "strokes_per_class": PER_CLASS,
        "labelled_blocks": int((first.values > 0).sum()),
        "first": {**spent, "miou": miou},
    }
    cells = np.argwhere((more.values > 0) & (first.values == 0))
    refreshes = []
    values = first.values.copy()
    for part in np.array_split(cells, REFRESHES):
        worker.wait_for("train_step", number, timeout=120)
        values[tuple(part.T)] = more.values[tuple(part.T)]
        spent, miou = _painted(case, project, worker, number, BlockLabels(first.grid, values))
        refreshes.append(spent)
    found["refreshes"] = refreshes
    found["refresh"] = {
        key: float(np.median([one[key] for one in refreshes])) for key in refreshes[0]
    }
    found["more_strokes"] = {"labelled_blocks": int((values > 0).sum()), "miou": miou}
    return found


def _painted(
    case: Case, project: Project, worker: Worker, number: int, labels: BlockLabels
) -> tuple[dict[str, float], float]:
    """Put labels into the journal; return what it took until their preview, and its mIoU."""
    old = project.load_labels("image").values
    while worker.no_more_than(0.05):
        pass
    clock = Clock(worker)
    project.record("image", diff(old, labels.values), "paint")
    preview = worker.wait_for("interactive_preview", number, timeout=120)
    spent = clock.read()
    mask = tifffile.imread(project.root / preview["path"])
    return {**spent, "answer_s": round(preview["seconds"], 3)}, case.score(mask)


def main() -> None:
    """Measure one part of the cases asked for and write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).parent / "results" / "interactive_latency.json"
    parser.add_argument("part", choices=("reference", "latency"))
    parser.add_argument("names", nargs="*", help="only cases whose names begin so")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    for case in cases():
        if options.names and not case.name.startswith(tuple(options.names)):
            continue
        if options.part == "reference":
            found = reference(case, options.steps)
        else:
            with tempfile.TemporaryDirectory() as folder:
                found = latency(case, Path(folder))
        _write(options.out, case.name, options.part, {**found, **_machine()})
        print(case.name, options.part, json.dumps(found), flush=True)


def _write(out: Path, name: str, part: str, found: dict[str, Any]) -> None:
    """Add one part of one case to the result file, and compare both parts."""
    result = json.loads(out.read_text()) if out.exists() else {"goals": GOALS, "cases": {}}
    case = result["cases"].setdefault(name, {})
    case[part] = found
    if len({"reference", "latency"} & case.keys()) == 2:
        share = case["latency"]["first"]["miou"] / case["reference"]["miou"]
        case["share_of_full_training"] = round(share, 3)
        case["useful"] = share >= USEFUL
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


def _machine() -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cpus_used": len(psutil.Process().cpu_affinity() or []),
        "load_average": os.getloadavg()[0],
        "platform": platform.platform(),
        "versions": {name: version(name) for name in ("torch", "timm", "numpy")},
    }


if __name__ == "__main__":
    main()
