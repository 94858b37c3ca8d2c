"""How soon interactive mode previews, and how good that is beside full training.

Three parts, which share one result file; on two idle cores they take one, four and about ten
minutes:

    python benchmarks/interactive_latency.py cold
    python benchmarks/interactive_latency.py latency
    OMP_NUM_THREADS=1 python benchmarks/interactive_latency.py reference

"cold" says what a worker's start is made of, in processor time of a fresh process. "latency" drives
a real worker: a cold start with the features of the view, the first strokes, five refreshes while
the network learns behind, and one stroke more where all of the image is labelled. Times are given
twice: as the clock saw them, and as processor time of the worker process, which does not depend on
what else the machine does. "reference" trains the default network on the first strokes alone (4
crops of 192 pixels a step, nothing held out) and scores it on the same image: full training on the
same labels. Images: the bundled samples laid out to 1024 x 1024 pixels, one of camvid and one of
nuclei_dsb2018 where BLOCKSEG_DATA names their folder.

Writes ``benchmarks/results/interactive_latency.json`` (``--out`` for elsewhere).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
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


#: Run by a fresh process: prints the seconds of processor time of each part of a cold start.
_COLD = """
import json, time
def lap(name):
    now = time.process_time()
    found[name], start[0] = round(now - start[0], 2), now
found, start = {}, [0.0]
import napari_blockseg.cli.worker.process
lap("python and the worker's own modules")
import torch
lap("torch")
import torchvision
lap("torchvision")
import timm
lap("timm")
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.learn.interactive.foundation import Foundation
import napari_blockseg.learn.interactive.session
lap("learn and nets")
made = Foundation(NetworkConfig(), TrainConfig(device="cpu"), 1, 3, None)
lap("network with its weights")
made.maker.encoder.stages(torch.rand(1, 1, 1024, 1024))
lap("encoder over 1024 x 1024 pixels")
print(json.dumps(found))
"""


def cold() -> dict[str, Any]:
    """Return what a cold start is made of, in processor time; the least of three processes."""
    command = [sys.executable, "-c", _COLD]
    said = [subprocess.run(command, capture_output=True, check=True).stdout for _ in range(3)]
    runs = [json.loads(text) for text in said]
    least = {name: min(run[name] for run in runs) for name in runs[0]}
    return {"cpu_s": least, "sum_cpu_s": round(sum(least.values()), 2)}


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
        key: float(np.median([one[key] for one in refreshes]))
        for key in ("wall_s", "cpu_s", "answer_s")
    }
    found["more_strokes"] = {"labelled_blocks": int((values > 0).sum()), "miou": miou}
    found["all_labelled"] = _all_labelled(case, project, worker, number)
    return found


def _all_labelled(case: Case, project: Project, worker: Worker, number: int) -> dict[str, Any]:
    """Label all blocks but one row; return what the stroke along that row takes."""
    labels = case.all_blocks()
    values = labels.values.copy()
    values[0] = 0
    _painted(case, project, worker, number, BlockLabels(labels.grid, values))
    while _previews(worker.no_more_than(3.0), number):
        pass  # what a preview did not wait for comes in
    spent, miou = _painted(case, project, worker, number, labels)
    return {**spent, "labelled_blocks": int((labels.values > 0).sum()), "miou": miou}


def _previews(messages: list[dict[str, Any]], number: int) -> bool:
    return any(m["type"] == "interactive_preview" and m["id"] == number for m in messages)


def _painted(
    case: Case, project: Project, worker: Worker, number: int, labels: BlockLabels
) -> tuple[dict[str, Any], float]:
    """Put labels into the journal; return what it took until their preview, and its mIoU."""
    old = project.load_labels("image").values
    while worker.no_more_than(0.05):
        pass
    clock = Clock(worker)
    project.record("image", diff(old, labels.values), "paint")
    preview = worker.wait_for("interactive_preview", number, timeout=120)
    spent = clock.read()
    mask = tifffile.imread(project.root / preview["path"])
    answer = {"answer_s": round(preview["seconds"], 3), "source": preview["source"]}
    return {**spent, **answer}, case.score(mask)


def main() -> None:
    """Measure one part of the cases asked for and write it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).parent / "results" / "interactive_latency.json"
    parser.add_argument("part", choices=("cold", "latency", "reference"))
    parser.add_argument("names", nargs="*", help="only cases whose names begin so")
    parser.add_argument("--steps", type=int, default=300, help="of the reference")
    parser.add_argument("--out", type=Path, default=default)
    options = parser.parse_args()
    if options.part == "cold":
        _write(options.out, None, "cold", {**cold(), **_machine()})
        return
    for case in cases():
        if options.names and not case.name.startswith(tuple(options.names)):
            continue
        if options.part == "reference":
            found = reference(case, options.steps)
        else:
            with tempfile.TemporaryDirectory() as folder:
                found = latency(case, Path(folder))
        _write(options.out, case.name, options.part, {**found, **_machine()})


def _write(out: Path, name: str | None, part: str, found: dict[str, Any]) -> None:
    """Add one part, of one case, to the result file, and compare both parts of a case."""
    result = json.loads(out.read_text()) if out.exists() else {"goals": GOALS, "cases": {}}
    if name is None:
        result[part] = found
    else:
        case = result["cases"].setdefault(name, {})
        case[part] = found
        case |= _verdict(case)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    sys.stdout.write(f"{name or ''} {part} {json.dumps(found)}\n")
    sys.stdout.flush()


def _verdict(case: dict[str, Any]) -> dict[str, Any]:
    """Say whether the goals are reached, by the wall clock, as far as is known."""
    said: dict[str, Any] = {}
    if "latency" in case:
        spent = case["latency"]
        said["in_time"] = spent["first"]["wall_s"] <= GOALS["first_s"]
        said["refreshed_in_time"] = spent["refresh"]["wall_s"] <= GOALS["refresh_s"]
    if {"reference", "latency"} <= case.keys():
        share = case["latency"]["first"]["miou"] / case["reference"]["miou"]
        said |= {"share_of_full_training": round(share, 3), "useful": share >= USEFUL}
    return said


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
