"""What a coarser decoder costs, against what the spectrum of its labels predicts.

    python benchmarks/stride_loss.py

Reads the networks that were trained on dense masks at several decoder strides: the cells of the
spectral study and of the study of truncation (``--cells``, folders), as many as there are. For each
data set, network, stride and way down: the mean test IoU (all classes) over that on the full grid
from the same seed, seeds averaged, against the share of the test labels' energy between the two
grids' Nyquist frequencies. Fits the loss per energy to all data sets and to all but one, prints and
writes ``benchmarks/results/stride_loss.json``.

    BLOCKSEG_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/stride_loss.py --drawn

also measures how well the energy is known from painted blocks: that of majority blocks drawn as
squares against that of the dense masks, all of them or a random part.

    python benchmarks/stride_loss.py --cost

also counts multiply-adds by network, form, output stride and decoder stride, and writes
``benchmarks/results/stride_cost.json``.

The file also holds, under "grids", what other grids lose against the network that lacks them, by
the energy that they cut away: output stride 32, the input halved, no decoder (of the study of
truncation).

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
    """One network at one stride: `energy` was cut away, `ratio` of the mean IoU is left."""

    study: str
    data: str
    network: str
    stride: int
    way: str
    energy: float
    ratio: float
    seeds: int


def main() -> int:
    """Print and write what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=Path, nargs="*", default=[STUDY, RESULTS / "truncation"])
    parser.add_argument("--out", type=Path, default=RESULTS / "stride_loss.json")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--images", type=int, default=10, help="about so many a data set")
    options = parser.parse_args()
    if options.cost:
        counted = {"encoder": ENCODER, "size": 512, "costs": costs()}
        _write(RESULTS / "stride_cost.json", counted)
        return 0
    found: dict[str, Any] = {"ways": compare(read(options.cells))}
    for way, one in found["ways"].items():
        for row in one["cells"]:
            print(way, row)
        print(way, {name: one[name] for name in one if name != "cells"})
    found["grids"] = other_grids(options.cells)
    for name, one in found["grids"].items():
        print(name, one)
    if options.drawn:
        if "BLOCKSEG_DATA" not in os.environ:
            print("BLOCKSEG_DATA names no folder with the data sets in it", file=sys.stderr)
            return 1
        found["drawn"], found["command_drawn"] = drawn(options.images), _command()
        for row in found["drawn"]:
            print(row)
    elif options.out.exists():
        before = json.loads(options.out.read_text("utf-8"))
        found |= {key: before[key] for key in ("drawn", "command_drawn") if key in before}
    _write(options.out, found)
    return 0


def read(folders: list[Path]) -> list[Outcome]:
    """Return what trained networks lost on coarser grids, seeds averaged."""
    cells = [
        _Cell.of(folder.name, json.loads(path.read_text("utf-8")))
        for folder in folders
        for path in sorted(folder.glob("*_seed*.json"))
    ]
    dense = [one for one in cells if one is not None]
    full = {(one.key, one.seed): one for one in dense if one.stride == FULL}
    found: dict[tuple[str, str, str, int, str], list[tuple[float, float]]] = defaultdict(list)
    for one in dense:
        base = full.get((one.key, one.seed))
        if one.stride != FULL and base is not None:
            cut = _energy(one.data, FULL / one.scale) - _energy(one.data, one.stride / one.scale)
            what = one.study, one.data, one.network, one.stride, one.way
            found[what].append((cut, one.miou / base.miou))
    return [
        Outcome(*what, *np.mean(pairs, axis=0).tolist(), len(pairs))
        for what, pairs in sorted(found.items())
    ]


@dataclass(frozen=True)
class _Cell:
    """A network that was trained on dense masks."""

    study: str
    data: str
    network: str
    scale: float
    seed: int
    stride: int
    way: str
    miou: float

    @classmethod
    def of(cls, study: str, found: dict[str, Any]) -> _Cell | None:
        """Return the cell of a study's file; None where it has no place here."""
        cell, network = found["cell"], found["network"]
        # Without a decoder, or with another loss, there is no full grid to compare with.
        other = network["network"] == "deeplabv3" or found["train"].get("loss", "block") == "soft"
        if cell.get("kind", "dense") != "dense" or other:
            return None
        name = f"{network['network']} {network['form']} {network['encoder']}"
        name += f" {network.get('output_stride', 16)}"
        name += " with shortcut" if network.get("shortcut") else ""
        return cls(
            study=study,
            data=cell["data"],
            network=name,
            scale=float(found["train"]["scale"]),
            seed=cell["seed"],
            # In cells from before there was a choice.
            stride=FULL if network["decoder_stride"] == "auto" else network["decoder_stride"],
            way=network.get("truncation", "area"),
            miou=found["test"]["miou"],
        )

    @property
    def key(self) -> tuple[str, str, str, float]:
        """What it shares with its full grid."""
        return self.study, self.data, self.network, self.scale


def _energy(data: str, pixels: float) -> float:
    """Return the share of the test labels' energy that cells of so many image pixels hold."""
    labels = json.loads((STUDY / f"labels_{data}.json").read_text("utf-8"))
    return float(labels["test"]["blocks"][str(round(pixels))]["energy"])


def fit(outcomes: list[Outcome]) -> float:
    """Return the loss per energy, by least squares of the ratio."""
    energy = np.array([one.energy for one in outcomes])
    lost = np.array([1 - one.ratio for one in outcomes])
    return float((energy * lost).sum() / (energy**2).sum())


def compare(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return, by way down, each outcome beside its prediction, and the constants."""
    ways = sorted({one.way for one in outcomes})
    return {way: _compare([one for one in outcomes if one.way == way]) for way in ways}


def _compare(outcomes: list[Outcome]) -> dict[str, Any]:
    without = {}
    for name in sorted({one.data for one in outcomes}):
        rest = [one for one in outcomes if one.data != name]
        without[name] = fit(rest) if rest else float("nan")
    rows, errors, plugin_errors, inside = [], [], [], []
    for one in outcomes:
        left_out = 1 - without[one.data] * one.energy
        plugin = predicted_ratio(one.energy, one.way, one.stride)
        errors.append(abs(one.ratio - left_out))
        plugin_errors.append(abs(one.ratio - plugin[0]))
        inside.append(plugin[1] <= one.ratio <= plugin[2])
        rows.append(
            {
                "study": one.study,
                "data": one.data,
                "network": one.network,
                "stride": one.stride,
                "seeds": one.seeds,
                "energy_cut": round(one.energy, 4),
                "ratio": round(one.ratio, 4),
                "loss_per_energy": round((1 - one.ratio) / one.energy, 3),
                "left_out": _rounded(left_out, 4),
                "plugin": [round(number, 4) for number in plugin],
            }
        )
    return {
        "fitted": round(fit(outcomes), 3),
        "fitted_without": {name: _rounded(value, 3) for name, value in without.items()},
        "left_out_error": _rounded(float(np.mean(errors)), 4),
        "left_out_error_80": _rounded(float(np.quantile(errors, 0.8)), 4),
        "plugin_error": round(float(np.mean(plugin_errors)), 4),
        "in_the_band": round(float(np.mean(inside)), 3),
        "cells": rows,
    }


#: Networks of the study of truncation with the one each is compared with, and the two cells, in
#: working pixels, between whose Nyquist frequencies it cuts.
OTHER_GRIDS = {
    "output stride 32": {
        "light_os32": "light_4",
        "light_os32_8_polyphase": "light_8_polyphase",
        "light_os32_16_polyphase": "light_16_polyphase",
        "paper_os32": "paper_4",
        "paper_os32_8_polyphase": "paper_8_polyphase",
    },
    "halved input": {"light_halved": "light_4", "paper_halved": "paper_4"},
    "no decoder": {"no_decoder": "light_4"},
}
CUTS = {"output stride 32": (4, 32), "halved input": (4, 8), "no decoder": (4, 16)}


def other_grids(folders: list[Path]) -> dict[str, Any]:
    """Return what other grids than the decoder's lose, and the loss per energy, by data set."""
    mious, scales = {}, {}
    for path in (path for folder in folders for path in sorted(folder.glob("*_seed*.json"))):
        found = json.loads(path.read_text("utf-8"))
        cell = found["cell"]
        if "variant" in cell:
            mious[cell["data"], cell["variant"], cell["seed"]] = found["test"]["miou"]
            scales[cell["data"]] = float(found["train"]["scale"])
    return {what: _other_grids(what, mious, scales) for what in OTHER_GRIDS}


def _other_grids(
    what: str, mious: dict[tuple[str, str, int], float], scales: dict[str, float]
) -> dict[str, Any]:
    rows, losses = [], defaultdict(list)
    for (data, variant, seed), miou in sorted(mious.items()):
        base = mious.get((data, OTHER_GRIDS[what].get(variant, ""), seed))
        if base is None:
            continue
        fine, coarse = (_energy(data, cell / scales[data]) for cell in CUTS[what])
        row = {"data": data, "network": variant, "seed": seed, "energy_cut": fine - coarse}
        rows.append(row | {"ratio": miou / base})
        losses[data].append((fine - coarse, 1 - miou / base))
    slopes = {
        data: round(sum(cut * lost for cut, lost in one) / sum(cut**2 for cut, _ in one), 3)
        for data, one in losses.items()
    }
    return {
        "loss_per_energy": slopes,
        "cells": [
            {k: v if isinstance(v, str | int) else round(v, 4) for k, v in row.items()}
            for row in rows
        ],
    }


def _rounded(value: float, digits: int) -> float | None:
    return None if np.isnan(value) else round(value, digits)


def predicted_ratio(energy: float, way: str, stride: int) -> tuple[float, float, float]:
    """Return what the plugin predicts where everything is painted: ratio, low, high."""
    from napari_blockseg.core.advice import LabelEnergy, stride_candidates

    known = LabelEnergy((FULL, stride), (1.0, 1.0 - energy), (0.0, 0.0), 1.0, 10**6, 1.0)
    one = stride_candidates(known, way)[-1]
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


def costs() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Return multiply-adds as a share of the full grid's, by network, way and both strides."""
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for network in ("deeplabv3plus", "dan"):
        for form in ("light", "paper"):
            for way in ("area", "polyphase"):
                rows = {
                    str(output_stride): _shares(network, form, way, output_stride)
                    for output_stride in (8, 16, 32)
                }
                found.setdefault(f"{network} {form}", {})[way] = rows
    return found


def _shares(network: str, form: str, way: str, output_stride: int) -> dict[str, float]:
    import torch

    from napari_blockseg.core.config import STRIDES, NetworkConfig
    from napari_blockseg.nets.build import build_network
    from napari_blockseg.nets.cost import count_macs

    macs = {}
    for stride in (one for one in STRIDES if one <= output_stride):
        fields = {"network": network, "form": form, "truncation": way, "encoder": ENCODER}
        strides = {"output_stride": output_stride, "decoder_stride": stride}
        config = NetworkConfig(**fields, **strides, weights="none")
        with torch.device("meta"):
            built = build_network(config, 21).eval()
        macs[stride] = count_macs(built, torch.zeros(1, 3, 512, 512, device="meta"))
    return {str(one): round(value / macs[FULL], 3) for one, value in macs.items()}


def _write(path: Path, found: dict[str, Any]) -> None:
    stamp = datetime.now().isoformat(timespec="minutes")
    text = json.dumps({"command": _command(), "date": stamp, **found}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")


def _command() -> str:
    return " ".join(["python", "benchmarks/stride_loss.py", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
