"""Peak memory of inference and of training steps, each in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/truncation/memory.py [VARIANT ...]

Starting Python and importing torch takes far longer than a pass, so a process that has only
imported the libraries (and computed nothing) forks one for every measurement. It reports what it
held of its own at most (the kernel's high-water mark without pages of files), less what it was born
with: the weights, what a pass holds at once, and what the libraries need to work. Writes JSON to
its output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from networks import Training, for_inference, make_image
from plan import VARIANTS, Variant

#: Gradients and the optimizer's state are there from the second step on.
_STEPS = 2


def main() -> int:
    """Measure the variants that are named, or all of them."""
    torch.set_num_threads(1)
    found = {}
    for name in sys.argv[1:] or VARIANTS:
        variant = VARIANTS[name]
        found[name] = {
            "inference_mb": _in_own_process(_predict, variant),
            "step_mb": _in_own_process(_train, variant),
        }
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _predict(variant: Variant) -> None:
    network, image = for_inference(variant), make_image()
    with torch.inference_mode():
        network(image)


def _train(variant: Variant) -> None:
    training = Training(variant)
    for _ in range(_STEPS):
        training.step()


def _in_own_process(work: Callable[[Variant], None], variant: Variant) -> float | None:
    """Return the peak of `work` in MB; None where the system does not tell."""
    if not hasattr(os, "fork") or not Path("/proc/self/status").exists():
        return None
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        born = _status()["RssAnon"]
        work(variant)
        now = _status()
        peak = now["VmHWM"] - now["RssFile"] - born
        os.write(sink, json.dumps(round(peak * 1024 / 1e6, 1)).encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return float(text) if text else None


def _status() -> dict[str, Any]:
    """Return what the kernel says of this process, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(":", 1) for line in lines if line.rstrip().endswith("kB"))
    return {name: int(value.split()[0]) for name, value in pairs}


if __name__ == "__main__":
    sys.exit(main())
