"""How fast networks predict: engines, decoder strides, tiles, and what the cost model says of it.

Three questions, on random weights (time hardly depends on them) and one CPU thread, and a fourth
where it is asked for:

- ratio: the whole network to its encoder alone at 512 x 512, for torch as trained, torch with batch
  norm folded, and ONNX Runtime; up to logits on the decoder's grid, to logits of every pixel, and
  to the class of every pixel. Goal: the default form at most 1.25 times its encoder alone.
- tiled: ``predict`` of a large image to the bare network on as many computed pixels. Goal: 90 %.
- cost: predicted to measured seconds at the strides that the model was not fitted on. Goal: 15 %.
- threads: (with ``--threads 1 2``) the default network on so many threads each, in wall time.

Time depends on weights in one place: the class of a pixel is computed where the cells around it
disagree, and random weights make maps that disagree nearly everywhere. ``smooth`` rows take the
same network with logits that agree as those of a trained one do.

All candidates of a comparison take turns in every round; numbers are medians of CPU time over the
rounds, and ``noise`` is the interquartile range over the median.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/inference_speed.py
    python benchmarks/inference_speed.py --parts threads --threads 1 2   # on idle cores

Writes ``benchmarks/results/inference_speed.json`` (``--out`` for elsewhere); with ``--parts`` only
those are measured anew, the others stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
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
from napari_blockseg.learn.classmap import ClassUpsampler
from napari_blockseg.learn.engine import for_prediction
from napari_blockseg.learn.export import INPUT, LOGITS, session, write_graph
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
PARTS = ("ratio", "tiled", "cost", "threads")
WHAT = "CPU seconds of prediction on one thread, medians of interleaved rounds"
GOALS = {"ratio": 1.25, "tiled": 0.9, "cost": 0.15}


def main() -> None:
    """Measure everything and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--side", type=int, default=2000, help="of the tiled image")
    parser.add_argument("--default-only", action="store_true", help="ratio: no other forms")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of that part")
    out = Path(__file__).parent / "results" / "inference_speed.json"
    parser.add_argument("--out", type=Path, default=out)
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"what": WHAT, "goals": GOALS}
    if options.out.exists():
        old = json.loads(options.out.read_text())
        result |= {k: v for k, v in old.items() if isinstance(v, dict) and "measured" in v}
    for part in options.parts:
        start = load()
        if part == "ratio":
            found = measure_ratios(options.rounds, options.default_only)
        elif part == "tiled":
            found = measure_tiles(options.side, max(3, options.rounds // 2))
        elif part == "threads":
            found = measure_threads(options.threads, options.rounds)
        else:
            found = {form: cost_errors(form) for form in ("light", "paper")}
        result[part] = found | {"measured": circumstances(start)}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def load() -> float | None:
    """Return how many processes wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def circumstances(load_before: float | None) -> dict[str, Any]:
    """Return when, where and by which command something was measured."""
    names = ("torch", "timm", "onnx", "onnxruntime", "numpy")
    return {
        "command": "python " + " ".join(["benchmarks/inference_speed.py", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "load_average": [load_before, load()],
        "cpus": os.cpu_count(),
        "processor": machine()["processor"],
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }


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


def in_turns(
    work: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = clock
) -> dict[str, dict[str, float]]:
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


def measure_threads(threads: list[int], rounds: int) -> dict[str, Any]:
    """Return wall seconds of the default network on several numbers of threads, in turns."""
    image = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    work: dict[str, Callable[[], Any]] = {}
    for number in threads:
        torch.set_num_threads(number)  # an ONNX session keeps the number it was made with
        for engine in ("torch", "onnx"):
            run = _runs(for_prediction(make_model(), engine).network.coarse_logits, image)
            work[f"{engine}, {number}"] = _on_threads(run, number)
    try:
        found = in_turns(work, rounds, time.perf_counter)
    finally:
        torch.set_num_threads(1)
    for name, row in found.items():
        first = found[f"{name.split(',')[0]}, {threads[0]}"]
        row["speed"] = round(first["seconds"] / row["seconds"], 3)
    return found


def _on_threads(run: Callable[[], Any], number: int) -> Callable[[], Any]:
    def running() -> None:
        torch.set_num_threads(number)
        run()

    return running


def measure_ratios(rounds: int, default_only: bool) -> dict[str, Any]:
    """Return seconds of whole networks and of their encoder, and the ratios."""
    image = torch.rand(1, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    work: dict[str, Callable[[], Any]] = {}
    for form, options in RATIO_FORMS.items():
        if options and default_only:
            continue
        model = make_model(**options)
        folded, onnx = (for_prediction(model, name) for name in ("torch", "onnx"))
        engines = {"torch as trained": model, "torch folded": folded, "onnx": onnx}
        for name, made in engines.items():
            work[f"{name}: {form}"] = _runs(made.network.coarse_logits, image)
            if not options:
                stride = made.network.logits_stride
                for kind, smooth in (("classes", False), ("classes, smooth", True)):
                    work[f"{name}: {form}, {kind}"] = _classes(made, image, stride, smooth)
        if not options:
            work["torch as trained: encoder"] = _runs(model.network.encoder, image)
            work["torch folded: encoder"] = _runs(folded.network.encoder, image)
            work["onnx: encoder"] = _onnx(folded.network.encoder, image)
            for name in ("torch as trained", "torch folded"):
                work[f"{name}: {form}, logits"] = _runs(engines[name].network, image)
            work[f"onnx: {form}, logits"] = _onnx(folded.network, image)
    found = in_turns(work, rounds)
    for name, row in found.items():
        engine = name.split(":")[0]
        row["ratio"] = round(row["seconds"] / found[f"{engine}: encoder"]["seconds"], 3)
    return found


def _classes(model: Model, image: torch.Tensor, stride: int, smooth: bool) -> Callable[[], Any]:
    """Return what computes the class of every pixel, as ``predict`` does."""
    given = smooth_logits(SIDE // stride)

    def run() -> Any:
        with torch.inference_mode():
            logits = model.network.coarse_logits(image)[0].contiguous()
        return list(ClassUpsampler(SIDE, SIDE, stride).push(given if smooth else logits, True))

    return run


def smooth_logits(side: int) -> torch.Tensor:
    """Return logits whose largest one changes along lines: cells disagree at 18 % of places."""
    across = torch.arange(side) / side
    waves = [(1 + number % 3, 1 + number // 3 % 3, number) for number in range(N_CLASSES)]
    maps = [
        torch.sin(6 * down * across[:, None] + step) + torch.cos(6 * right * across + 2 * step)
        for down, right, step in waves
    ]
    return torch.stack(maps)


def _runs(function: Callable[[torch.Tensor], Any], image: torch.Tensor) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode():
            return function(image)

    return run


def _onnx(module: torch.nn.Module, image: torch.Tensor) -> Callable[[], Any]:
    """Return a module in ONNX Runtime, fed as the whole network is."""
    strides = getattr(module, "strides", None)
    names = [LOGITS] if strides is None else [f"stride_{stride}" for stride in strides]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.onnx"
        write_graph(module, torch.rand(2, 3, 96, 128), path, names)
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
                tile = torch.full((1, 3, *shape), 0.5).contiguous(memory_format=layout)
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
