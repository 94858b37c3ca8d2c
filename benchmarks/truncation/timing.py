"""Inference, training steps and memory of every network, all taking turns.

Inference starts at an image of full size, so that shrinking it is part of a network with a smaller
input, and ends at the coarse logits ("coarse") or at those of every pixel of the image ("full").
Networks have their batch norm folded; ONNX Runtime computes the coarse logits where it can.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from camvid_blocks import machine
from networks import (
    N_CLASSES,
    SIDE,
    STEP_DATA,
    SmpNetwork,
    Training,
    crop_side,
    for_inference,
    make_image,
    make_network,
)
from plan import BATCH, Cell, Variant
from torch import Tensor, nn

from napari_blockseg.core.config import DEFAULT_ENCODER
from napari_blockseg.learn.export import INPUT, LOGITS, session, write_graph
from napari_blockseg.nets.cost_counts import count_macs, peak_mib
from napari_blockseg.nets.cost_scaled import AtScale, shrink
from napari_blockseg.nets.layers import clock

#: Every round runs every network once; one more round, not counted, warms up.
ROUNDS, STEPS = 8, 4
_TRACED = (2, 3, 96, 128)

Times = dict[str, dict[str, list[float]]]
#: Runs once; returns seconds to the coarse logits and to those of every pixel.
Run = Callable[[Tensor], dict[str, float]]


def measure_timing(
    variants: Mapping[str, Variant], results: Path, rounds: int = ROUNDS, steps: int = STEPS
) -> int:
    """Write ``timing.json``: time of inference and of training steps, arithmetic, memory.

    Parameters
    ----------
    variants : mapping of Variant
        What to time; the full grid of each should be among them.
    results : Path
        Folder of the file.
    rounds, steps : int
        Rounds of inference and of training.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    found: dict[str, Any] = {
        "what": " ".join((__doc__ or "").split()),
        "command": "python benchmarks/truncation timing",
        "threads": torch.get_num_threads(),
        "clock": "CPU" if torch.get_num_threads() == 1 else "wall",
        "machine": machine(),
        "load_average": _load(),
        "image": [SIDE, SIDE],
        "classes": N_CLASSES,
        "rounds": {"inference": rounds, "steps": steps},
        "step": {"data": STEP_DATA, "batch": BATCH[STEP_DATA], "crop": crop_side(_PLAIN)},
        "memory": "MB; growth of a process by one pass or two steps, see memory.py; "
        "inference_live_mb: weights and tensors alive at once, counted from shapes",
        "encoders": {},
        "variants": {name: {} for name in variants},
    }
    single, same = _without_twins(variants)
    _say(f"{len(single)} networks")
    for part in (
        lambda: _measure_inference(single, found, rounds),
        lambda: _measure_steps(single, found, steps),
        lambda: _measure_memory(single, found),
    ):
        part()
        for name, twin in same.items():
            found["variants"][name] = found["variants"][twin] | {"same_network_as": twin}
        found["load_average_after"] = _load()
        # What is measured is safe, whatever the next part does.
        text = json.dumps(found, indent=1) + "\n"
        (results / "timing.json").write_text(text, encoding="utf-8")
    return 0


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


_PLAIN = Variant("", "")


def _without_twins(
    variants: Mapping[str, Variant],
) -> tuple[dict[str, Variant], dict[str, str]]:
    """Return the variants that differ as networks, and for each other one which it equals."""
    single: dict[str, Variant] = {}
    same: dict[str, str] = {}
    for name, variant in variants.items():
        looks = variant.network, variant.scale, variant.real_smp
        twins = (n for n, v in single.items() if looks == (v.network, v.scale, v.real_smp))
        twin = next(twins, None)
        if twin is None:
            single[name] = variant
        else:
            same[name] = twin
    return single, same


def full_grid(name: str) -> str:
    """Return the variant that is the full grid of the same network."""
    return Cell("", name, 0).reference.variant


# -- inference -------------------------------------------------------------------------------------


def _measure_inference(variants: Mapping[str, Variant], found: dict[str, Any], rounds: int) -> None:
    """Fill in arithmetic and times of inference, and of each encoder alone."""
    image = make_image()
    runs: dict[str, dict[str, Run]] = {"torch": {}, "onnx": {}}
    for name, variant in variants.items():
        network = for_inference(variant)
        plain = make_network(variant)
        found["variants"][name] |= {
            "macs": count_macs(network, image),
            "params": sum(p.numel() for p in plain.parameters()),
            "inference_live_mb": round(peak_mib(network, image) * 2**20 / 1e6, 1),
        }
        # ONNX has no FFT.
        in_onnx_too = variant.network.get("truncation") != "lowpass"
        for engine, run in _runs(network, in_onnx_too).items():
            runs[engine][name] = run
        encoder = _encoder_name(variant)
        if encoder not in found["encoders"] and isinstance(network, AtScale):
            alone = network.network.encoder
            found["encoders"][encoder] = {
                "macs": count_macs(alone, image),
                "params": sum(p.numel() for p in plain.network.encoder.parameters()),  # type: ignore[union-attr]
                "output_stride": alone.strides[-1],
            }
            for engine, run in _encoder_runs(alone).items():
                runs[engine][f"encoder {encoder}"] = run
    _say("graphs are written")
    for engine, work in runs.items():
        times = _in_turns(work, image, rounds)
        for encoder, row in found["encoders"].items():
            row[engine] = _row(times[f"encoder {encoder}"]["coarse"])
        for name, variant in variants.items():
            if name in times:
                row = _variant_row(times, name, f"encoder {_encoder_name(variant)}")
                found["variants"][name].setdefault("inference", {})[engine] = row
        _say(f"{engine} is timed")


def _encoder_name(variant: Variant) -> str:
    return str(variant.network.get("encoder", DEFAULT_ENCODER))


def _runs(network: SmpNetwork | AtScale, in_onnx_too: bool) -> dict[str, Run]:
    """Return how each engine runs a network; up-sampling is torch's in both, as in `predict`."""

    def in_torch(image: Tensor) -> dict[str, float]:
        start = clock()
        coarse = network.coarse_logits(image)
        middle = clock()
        network.to_image(coarse, image)
        return {"coarse": middle - start, "full": clock() - start}

    inner = network.network if isinstance(network, AtScale) else network
    scale = network.scale if isinstance(network, AtScale) else 1.0
    if not in_onnx_too:
        return {"torch": in_torch}
    runner = _session(_Coarse(inner), [LOGITS])

    def in_onnx(image: Tensor) -> dict[str, float]:
        start = clock()
        small = shrink(image, scale).contiguous().numpy()
        coarse = torch.from_numpy(runner.run([LOGITS], {INPUT: small})[0])
        middle = clock()
        network.to_image(coarse, image)
        return {"coarse": middle - start, "full": clock() - start}

    return {"torch": in_torch, "onnx": in_onnx}


def _encoder_runs(encoder: Any) -> dict[str, Run]:
    runner = _session(encoder, [f"stride_{stride}" for stride in encoder.strides])

    def in_torch(image: Tensor) -> dict[str, float]:
        start = clock()
        encoder(image)
        return {"coarse": clock() - start}

    def in_onnx(image: Tensor) -> dict[str, float]:
        start = clock()
        runner.run(None, {INPUT: image.contiguous().numpy()})
        return {"coarse": clock() - start}

    return {"torch": in_torch, "onnx": in_onnx}


class _Coarse(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.coarse_logits(images)  # type: ignore[no-any-return]


def _session(module: nn.Module, outputs: list[str]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        write_graph(module, torch.rand(*_TRACED), path, outputs)
        return session(path)


def _in_turns(work: Mapping[str, Run], image: Tensor, rounds: int) -> Times:
    """Return the seconds of every round, one after another in each."""
    times: Times = {name: defaultdict(list) for name in work}
    for number in range(rounds + 1):
        for name, run in work.items():
            with torch.inference_mode():
                seconds = run(image)
            # The first round fills caches and lets libraries choose their kernels.
            if number:
                for grid, value in seconds.items():
                    times[name][grid].append(value)
    return times


def _variant_row(times: Times, name: str, encoder: str) -> dict[str, Any]:
    """Return full and coarse times of a variant beside its full grid's and its encoder's.

    Ratios are medians over rounds of the ratio within a round.
    """
    whole = times.get(full_grid(name))
    found = {}
    for grid, seconds in times[name].items():
        row = _row(seconds)
        row["to_full_grid"] = None if whole is None else _ratio(seconds, whole[grid])
        row["to_encoder"] = _ratio(seconds, times[encoder]["coarse"])
        found[grid] = row
    return found


def _row(seconds: list[float]) -> dict[str, Any]:
    """Return the median, and the interquartile range over it."""
    low, middle, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return {"seconds": round(middle, 5), "noise": round((high - low) / middle, 3)}


def _ratio(mine: list[float], theirs: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(mine, theirs, strict=True)), 4)


# -- training and memory ---------------------------------------------------------------------------


def _measure_steps(variants: Mapping[str, Variant], found: dict[str, Any], rounds: int) -> None:
    """Fill in the time of a training step."""
    work = {name: Training(variant) for name, variant in variants.items()}
    times: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, training in work.items():
            start = clock()
            training.step()
            if number:
                times[name].append(clock() - start)
    for name, variant in variants.items():
        whole = times.get(full_grid(name))
        found["variants"][name]["step"] = _row(times[name]) | {
            "crop": crop_side(variant),
            "to_full_grid": None if whole is None else _ratio(times[name], whole),
        }
    _say("training steps are timed")


def _measure_memory(variants: Mapping[str, Variant], found: dict[str, Any]) -> None:
    """Fill in peak memory, measured by processes of their own."""
    script = Path(__file__).with_name("memory.py")
    done = subprocess.run(
        [sys.executable, str(script), *variants], stdout=subprocess.PIPE, text=True, check=True
    )
    for name, row in json.loads(done.stdout).items():
        live = found["variants"][name].pop("inference_live_mb")
        found["variants"][name]["memory"] = row | {"inference_live_mb": live}
    _say("memory is measured")


def _say(text: str) -> None:
    sys.stdout.write(f"{text} [{clock():.0f} s of CPU]\n")
    sys.stdout.flush()
