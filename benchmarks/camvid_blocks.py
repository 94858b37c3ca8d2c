"""Block labels on road scenes: paint blocks of 16 pixels, train 20 minutes, score the test images.

    BLOCKSEG_DATA=/path/to/data python benchmarks/camvid_blocks.py

For each fraction of the blocks it runs `new`, `simulate`, `train`, `predict` and `evaluate`, prints
every command before it runs, and writes scores, commands and machine to
``benchmarks/results/camvid_blocks_FRACTION.json``. Needs the folder ``camvid`` of the data sets
(see CONTRIBUTING.md) and about 45 minutes of a quiet machine for both fractions.

Options after ``--`` go to `train`, for instance ``-- --decoder-stride 8``. While tuning, give
``--split val``: the test images are for the final numbers.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
VARIABLE = "BLOCKSEG_DATA"


def main() -> int:
    """Run the benchmark; return the exit code."""
    options = parse(sys.argv[1:])
    if VARIABLE not in os.environ:
        print(f"{VARIABLE} is not set: give the folder that holds camvid/.", file=sys.stderr)
        return 1
    if not (Path(os.environ[VARIABLE]) / "camvid" / "classes.json").exists():
        print(f"There is no camvid/classes.json in {os.environ[VARIABLE]}.", file=sys.stderr)
        return 1
    for fraction in options.fractions:
        with tempfile.TemporaryDirectory() as folder:
            result = run(fraction, Path(folder), options)
        name = f"camvid_blocks_{fraction:g}{'' if options.split == 'test' else '_val'}.json"
        path = options.results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        print(f"mIoU {result['scores']['miou']:.3f} with {fraction:.0%} of the blocks: {path}")
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="training time")
    parser.add_argument("--fractions", type=float, nargs="+", default=[1.0, 0.1])
    parser.add_argument("--block", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument("--results", type=Path, default=RESULTS)
    own, train = (words, [])
    if "--" in words:
        own, train = words[: words.index("--")], words[words.index("--") + 1 :]
    options = parser.parse_args(own)
    options.train = train
    return options


def run(fraction: float, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the whole job for one fraction of the blocks."""
    data = f"${VARIABLE}/camvid"
    split = options.split
    steps = {
        "new": f"new $WORK/camvid.blockseg --images {data}/images/train "
        f"--classes-json {data}/classes.json --block {options.block}",
        "simulate": f"simulate $WORK/camvid.blockseg --masks {data}/labels/train "
        f"--fraction {fraction:g} --seed {options.seed}",
        "train": f"train $WORK/camvid.blockseg --minutes {options.minutes:g} "
        f"--seed {options.seed} --out $WORK/model {shlex.join(options.train)}".rstrip(),
        "predict": f"predict $WORK/model {data}/images/{split} --out $WORK/predictions",
        "evaluate": f"evaluate --predictions $WORK/predictions --masks {data}/labels/{split}",
    }
    found = {name: blockseg(command, name, work) for name, command in steps.items()}
    return {
        "what": f"camvid {split}, blocks of {options.block} pixels, {fraction:.0%} of them, "
        f"{options.minutes:g} minutes of training",
        "scores": found["evaluate"],
        "train": {**found["train"], "model": "$WORK/model"},
        "blocks": found["simulate"]["painted_blocks"],
        "labelable_blocks": found["simulate"]["labelable_blocks"],
        "predict_seconds": found["predict"]["seconds"],
        "commands": [f"blockseg {command}" for command in steps.values()],
        "machine": machine(),
    }


def blockseg(command: str, name: str, work: Path) -> Any:
    """Run one command as it is printed, and return what it says as JSON."""
    print(f"$ blockseg {command}", flush=True)
    report = work / f"{name}.json"
    words = [
        word.replace("$WORK", str(work)).replace(f"${VARIABLE}", os.environ[VARIABLE])
        for word in shlex.split(command)
    ]
    arguments = [sys.executable, "-m", "napari_blockseg", *words, "--json", str(report)]
    subprocess.run(arguments, check=True)
    return json.loads(report.read_text(encoding="utf-8"))


def machine() -> dict[str, Any]:
    """Return what the numbers were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ("napari-blockseg", "torch", "timm", "numpy")
    return {
        "cores": cores,
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "commit": _commit(),
        "date": f"{datetime.now():%Y-%m-%d}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


if __name__ == "__main__":
    sys.exit(main())
