"""What a coarser decoder costs, against what the spectrum of its labels predicts.

    python benchmarks/stride_loss.py

Reads the networks that were trained on dense masks at several decoder strides: the cells of the
spectral study (``benchmarks/results/spectral_study``). For each data set and stride: the mean test
IoU (all classes) over that on the full grid from the same seed, seeds averaged, against the share
of the test labels' energy between the two grids' Nyquist frequencies. Fits the loss per energy to
all data sets and to all but one, prints and writes ``benchmarks/results/stride_loss.json``.

    BLOCKSEG_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/stride_loss.py --drawn

also measures how well the energy is known from painted blocks: that of majority blocks drawn as
squares against that of the dense masks, all of them or a random part.

    python benchmarks/stride_loss.py --cost

also counts multiply-adds by network, form, output stride and decoder stride, and writes
``benchmarks/results/stride_cost.json``.

The constants go into ``napari_blockseg/core/advice/stride_constants.py`` by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
STUDY = RESULTS / "spectral_study"
FULL = 4
ENCODER = "tf_efficientnet_lite0"
#: Image pixels a cell of the decoder's grid, blocks and paint of ``--drawn``.
CELLS = (4, 8, 16, 32)
BLOCKS = (4, 8, 16)
PAINTED = (1.0, 0.3, 0.1)


@dataclass(frozen=True)
class Outcome:
    """One data set at one stride: `energy` was cut away, `ratio` of the mean IoU is left."""

    data: str
    stride: int
    energy: float
    ratio: float
    seeds: int


def main() -> int:
    """Print and write what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--images", type=int, default=10, help="about so many a data set")
    options = parser.parse_args()
    if options.cost:
        _write("stride_cost.json", {"encoder": ENCODER, "size": 512, "costs": costs()})
        return 0
    found = compare(read())
    for row in found["cells"]:
        print(row)
    print({name: found[name] for name in found if name != "cells"})
    if options.drawn:
        if "BLOCKSEG_DATA" not in os.environ:
            print("BLOCKSEG_DATA names no folder with the data sets in it", file=sys.stderr)
            return 1
        found["drawn"] = drawn(options.images)
        for row in found["drawn"]:
            print(row)
    _write("stride_loss.json", found)
    return 0


def read() -> list[Outcome]:
    """Return what the study's networks lost on coarser grids."""
    cells = [
        one
        for one in json.loads((STUDY / "summary.json").read_text("utf-8"))
        if one["cell"]["kind"] == "dense"
    ]
    full = {
        (one["cell"]["data"], one["cell"]["seed"]): one
        for one in cells
        if one["cell"]["size"] == FULL
    }
    found: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for one in cells:
        cell = one["cell"]
        if cell["size"] != FULL:
            base = full[cell["data"], cell["seed"]]
            pair = base["energy"] - one["energy"], one["miou"] / base["miou"]
            found[cell["data"], cell["size"]].append(pair)
    return [
        Outcome(data, stride, *np.mean(pairs, axis=0).tolist(), len(pairs))
        for (data, stride), pairs in sorted(found.items())
    ]


def fit(outcomes: list[Outcome]) -> float:
    """Return the loss per energy, by least squares of the ratio."""
    energy = np.array([one.energy for one in outcomes])
    lost = np.array([1 - one.ratio for one in outcomes])
    return float((energy * lost).sum() / (energy**2).sum())


def compare(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return each outcome beside its prediction, and the constants."""
    names = sorted({one.data for one in outcomes})
    without = {name: fit([one for one in outcomes if one.data != name]) for name in names}
    rows, errors, plugin_errors, inside = [], [], [], []
    for one in outcomes:
        left_out = 1 - without[one.data] * one.energy
        plugin = predicted_ratio(one.energy)
        errors.append(abs(one.ratio - left_out))
        plugin_errors.append(abs(one.ratio - plugin[0]))
        inside.append(plugin[1] <= one.ratio <= plugin[2])
        rows.append(
            {
                "data": one.data,
                "stride": one.stride,
                "seeds": one.seeds,
                "energy_cut": round(one.energy, 4),
                "ratio": round(one.ratio, 4),
                "loss_per_energy": round((1 - one.ratio) / one.energy, 3),
                "left_out": round(left_out, 4),
                "plugin": [round(number, 4) for number in plugin],
            }
        )
    return {
        "cells": rows,
        "fitted": round(fit(outcomes), 3),
        "fitted_without": {name: round(value, 3) for name, value in without.items()},
        "left_out_error": round(float(np.mean(errors)), 4),
        "left_out_error_80": round(float(np.quantile(errors, 0.8)), 4),
        "plugin_error": round(float(np.mean(plugin_errors)), 4),
        "in_the_band": round(float(np.mean(inside)), 3),
    }


def predicted_ratio(energy: float) -> tuple[float, float, float]:
    """Return what the plugin predicts where everything is painted: ratio, low, high."""
    from napari_blockseg.core.advice import LabelEnergy, stride_candidates

    known = LabelEnergy((FULL, 8), (1.0, 1.0 - energy), (0.0, 0.0), 1.0, 10**6, 1.0)
    one = stride_candidates(known)[-1]
    return one.ratio, one.low, one.high


def drawn(images: int) -> list[dict[str, Any]]:
    """Return the energy beyond a cell of 4 image pixels, from blocks and from dense masks."""
    from napari_blockseg.core.advice import label_energy
    from napari_blockseg.core.labels import BlockLabels

    rows = []
    for data, n_classes, masks in _data_sets(images):
        truth = label_energy(masks, n_classes, 1, 1.0, CELLS)
        for block in BLOCKS:
            for share in PAINTED:
                rng = np.random.default_rng(0)
                planes = []
                for mask in masks:
                    values = BlockLabels.from_mask(mask, block, n_classes).values
                    planes.append(np.where(rng.random(values.shape) < share, values, 0))
                known = label_energy(planes, n_classes, block, 1.0, CELLS)
                rows.append(
                    {
                        "data": data,
                        "block": block,
                        "painted": share,
                        "cells": list(CELLS),
                        "cut_of_masks": [round(truth.cut(cell), 3) for cell in CELLS],
                        "cut_of_blocks": [round(known.cut(cell), 3) for cell in CELLS],
                        "error": [round(known.cut_error(cell), 3) for cell in CELLS],
                    }
                )
    return rows


def _data_sets(images: int) -> Iterator[tuple[str, int, list[Any]]]:
    sys.path.insert(0, str(Path(__file__).parent / "spectral_study"))
    from data_sets import Source
    from plan import DATA

    for data in DATA.values():
        source = Source(data, "test")
        masks = [mask for _, mask in source.masks()]
        chosen = masks[:: max(1, len(masks) // images)]
        yield data.name, len(source.classes), chosen


def costs() -> dict[str, dict[str, dict[str, float]]]:
    """Return multiply-adds as a share of the full grid's."""
    import torch

    from napari_blockseg.core.config import STRIDES, NetworkConfig
    from napari_blockseg.nets.build import build_network
    from napari_blockseg.nets.cost import count_macs

    found: dict[str, dict[str, dict[str, float]]] = {}
    for network in ("deeplabv3plus", "dan"):
        for form in ("light", "paper"):
            for output_stride in (8, 16, 32):
                macs = {}
                for stride in (one for one in STRIDES if one <= output_stride):
                    config = NetworkConfig(
                        network=network,
                        form=form,
                        encoder=ENCODER,
                        weights="none",
                        output_stride=output_stride,
                        decoder_stride=stride,
                    )
                    with torch.device("meta"):
                        built = build_network(config, 21).eval()
                    image = torch.zeros(1, 3, 512, 512, device="meta")
                    macs[stride] = count_macs(built, image)
                rows = {str(one): round(value / macs[FULL], 3) for one, value in macs.items()}
                found.setdefault(f"{network} {form}", {})[str(output_stride)] = rows
    return found


def _write(name: str, found: dict[str, Any]) -> None:
    command = " ".join(["python", "benchmarks/stride_loss.py", *sys.argv[1:]])
    stamp = datetime.now().isoformat(timespec="minutes")
    text = json.dumps({"command": command, "date": stamp, **found}, indent=1)
    (RESULTS / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
