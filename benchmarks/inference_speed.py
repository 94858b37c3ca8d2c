"""How fast networks predict: engines, decoder strides, tiles, and what the cost model says of it.

Four questions, on random weights (time does not depend on them) and one CPU thread:

- ratio: the whole network to its encoder alone at 512 x 512, for torch as trained, torch with batch
  norm folded, and ONNX Runtime. Goal: the default form at most 1.25 times its encoder alone.
- tiled: ``predict`` of a large image to the bare network on as many computed pixels. Goal: 90 %.
- cost: predicted to measured seconds at the strides that the model was not fitted on. Goal: 15 %.
- memory: the most that ``predict`` holds for images of growing height.

All candidates of a comparison take turns in every round; numbers are medians of CPU time over the
rounds, and ``noise`` is the interquartile range over the median.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/inference_speed.py

Writes ``benchmarks/results/inference_speed.json`` (``--out`` for elsewhere).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from camvid_blocks import machine

from napari_blockseg.core.classes import make_classes
from napari_blockseg.core.config import NetworkConfig, PredictConfig, TrainConfig
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.tiles import plan_tiles
from napari_blockseg.learn.checkpoint import Model, ModelSpec
from napari_blockseg.learn.engine import for_prediction
from napari_blockseg.learn.export import INPUT, session, write_graph
from napari_blockseg.learn.predict import predict_mask
from napari_blockseg.learn.stitching import kept_share
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost import count_cost
from napari_blockseg.nets.layers import clock

SIDE = 512
N_CLASSES = 21
RATIO_FORMS = {
    "light, stride 4 (default)": {},
    "light, stride 8": {"decoder_stride": 8},
    "light, stride 16": {"decoder_stride": 16},
    "paper, stride 4": {"form": "paper"},
    "paper, stride 16": {"form": "paper", "decoder_stride": 16},
}
GOALS = {"ratio": 1.25, "tiled": 0.9, "cost": 0.15}


def main() -> None:
    """Measure everything and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--side", type=int, default=2000, help="of the tiled image")
    parser.add_argument("--rows", type=int, help="(internal) predict so many rows, say the memory")
    out = Path(__file__).parent / "results" / "inference_speed.json"
    parser.add_argument("--out", type=Path, default=out)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.rows is not None:
        say_memory(options.rows)
        return
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    result = {
        "what": "CPU seconds of prediction on one thread, medians of interleaved rounds",
        "command": "python " + " ".join(["benchmarks/inference_speed.py", *sys.argv[1:]]),
        "goals": GOALS,
        "rounds": options.rounds,
        "ratio": measure_ratios(options.rounds),
        "tiled": measure_tiles(options.side, max(3, options.rounds // 2)),
        "cost": {form: cost_errors(form) for form in ("light", "paper")},
        "memory": measure_memory(),
        "date": date.today().isoformat(),
        "cpus": os.cpu_count(),
        "processor": machine()["processor"],
        "load_average": load and round(load, 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            name: version(name) for name in ("torch", "timm", "onnx", "onnxruntime", "numpy")
        },
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def make_model(n_classes: int = N_CLASSES, **options: Any) -> Model:
    """Return an untrained model."""
    config = NetworkConfig(weights="none", **options)
    network = build_network(config, n_classes).eval().to(memory_format=torch.channels_last)
    spec = ModelSpec(
        classes=make_classes([f"class {number}" for number in range(n_classes)]),
        network=config,
        train=TrainConfig(),
        normalization=Normalization(),
        n_channels=3,
        block=8,
        scale=1.0,
    )
    return Model(spec, network, torch.device("cpu"))


def in_turns(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Return median and noise of each, run one after another in every round."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, function in work.items():
            start = clock()
            function()
            # The first round fills caches and lets libraries choose their kernels.
            if number:
                times[name].append(clock() - start)
    found = {}
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        found[name] = {"seconds": round(middle, 5), "noise": round((high - low) / middle, 3)}
    return found


def measure_ratios(rounds: int) -> dict[str, Any]:
    """Return seconds of whole networks and of their encoder, and the ratios."""
    image = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    work: dict[str, Callable[[], Any]] = {}
    for form, options in RATIO_FORMS.items():
        model = make_model(**options)
        folded, onnx = (for_prediction(model, name) for name in ("torch", "onnx"))
        work[f"torch as trained: {form}"] = _runs(model.network.coarse_logits, image)
        work[f"torch folded: {form}"] = _runs(folded.network.coarse_logits, image)
        work[f"onnx: {form}"] = _runs(onnx.network.coarse_logits, image)
        if not options:
            work["torch as trained: encoder"] = _runs(model.network.encoder, image)
            work["torch folded: encoder"] = _runs(folded.network.encoder, image)
            work["onnx: encoder"] = _onnx_encoder(folded, image)
    found = in_turns(work, rounds)
    for name, row in found.items():
        engine = name.split(":")[0]
        row["ratio"] = round(row["seconds"] / found[f"{engine}: encoder"]["seconds"], 3)
    return found


def _runs(function: Callable[[torch.Tensor], Any], image: torch.Tensor) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode():
            return function(image)

    return run


def _onnx_encoder(model: Model, image: torch.Tensor) -> Callable[[], Any]:
    """Return the encoder alone in ONNX Runtime, fed as the whole network is."""
    encoder = model.network.encoder
    names = [f"stride_{stride}" for stride in encoder.strides]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        write_graph(encoder, torch.rand(2, 3, 96, 128), path, names)
        runner = session(path)
    return lambda: runner.run(None, {INPUT: image.contiguous().numpy()})


def measure_tiles(side: int, rounds: int) -> dict[str, Any]:
    """Return how much of the bare network's speed is left in ``predict``, per computed pixel."""
    config = PredictConfig()
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found: dict[str, Any] = {"rows": side, "cols": side, "tile": config.tile}
    for name in ("torch", "onnx"):
        model = for_prediction(make_model(), name)
        halo = model.network.halo
        plan = plan_tiles((side, side), config.tile + 2 * halo, halo)
        shapes = [tuple(s.stop - s.start for s in tile.read) for row in plan for tile in row]

        def bare(model: Model = model, shapes: list[tuple[int, ...]] = shapes) -> None:
            for shape in shapes:
                layout = getattr(model.network, "memory_format", torch.channels_last)
                tile = torch.zeros(1, 3, *shape).contiguous(memory_format=layout)
                with torch.inference_mode():
                    model.network.coarse_logits(tile)

        times = in_turns(
            {"bare": bare, "predict": lambda model=model: predict_mask(model, pixels, config)},
            rounds,
        )
        found[name] = times | {
            "speed_kept": round(times["bare"]["seconds"] / times["predict"]["seconds"], 3),
            "tiles": len(shapes),
            "kept_share": round(kept_share((side, side), config.tile, halo), 3),
        }
    return found


def cost_errors(form: str) -> dict[str, Any]:
    """Return measured and predicted seconds at each stride."""
    cost = count_cost(NetworkConfig(weights="none", form=form), SIDE)
    rows = {f"stride {row['stride']}": row for row in cost["strides"]}
    rows["encoder"] = cost["encoder_only"]
    keep = ("seconds", "predicted_seconds", "noise", "macs", "bytes")
    found = {name: {key: row[key] for key in keep} for name, row in rows.items()}
    for row in found.values():
        row["error"] = round(row["predicted_seconds"] / row["seconds"] - 1, 3)
    return {"model": cost["model"], "rows": found}


def measure_memory() -> list[dict[str, Any]]:
    """Return the peak of processes that predict images of growing height."""
    found = []
    for rows in (1024, 4096, 16384):
        words = [sys.executable, __file__, "--rows", str(rows)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    return found


def say_memory(rows: int) -> None:
    """Predict `rows` x 1024 pixels of a file that is read in parts, and print the peak."""
    model = for_prediction(make_model(decoder_stride=16), "torch")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels"
        pixels = np.memmap(path, np.uint8, "w+", shape=(rows, 1024, 3))
        pixels[:] = 100
        pixels.flush()
        del pixels
        before = resident_peak()
        mask = predict_mask(model, np.memmap(path, np.uint8, "r", shape=(rows, 1024, 3)))
    found = {"before_mib": before, "peak_mib": resident_peak(), "mask_mib": mask.nbytes / 2**20}
    print(json.dumps({"rows": rows, "cols": 1024, "file_mib": rows * 3 / 1024} | found))


def resident_peak() -> float | None:
    """Return the most memory this process held of its own, in MiB; None where it is not told.

    getrusage would count what the process was forked from; pages of files are not its own.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return (int(lines["VmHWM"].split()[0]) - int(lines["RssFile"].split()[0])) / 1024


if __name__ == "__main__":
    main()
