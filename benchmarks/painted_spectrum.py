"""How far the spectrum of partly painted blocks is from that of all blocks, by several estimators.

Dense masks become majority blocks; blocks are then taken away until what is left looks like
random blocks, strokes across the picture, strokes that each keep to one class, or one rectangle
done fully. The truth is the exact power spectrum of all blocks (void ones get the nearest class).
Given are the largest deviations over the cutoffs of a curve, meaned over images: of all classes
together, of single classes (weighed by energy); that of the curve summed over the images; and how
often a class's deviation lies within the error band.

    BLOCKSEG_DATA=/path/to/data OMP_NUM_THREADS=1 python benchmarks/painted_spectrum.py

Writes ``benchmarks/results/painted_spectrum.json`` (``--out`` for elsewhere).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_blockseg.core.labels import class_counts
from napari_blockseg.core.spectrum import default_cutoffs, energy_below, label_spectrum, one_hot
from napari_blockseg.core.spectrum.pairs import Lattice, Mask, power, waves

Energies = tuple[np.ndarray, np.ndarray]

# Number of classes, and ids that count as another (nucleus_edge as nucleus).
DATA_SETS: dict[str, tuple[int, dict[int, int]]] = {
    "camvid": (11, {}),
    "nuclei_dsb2018": (2, {3: 2}),
}
PAINT = ("random 30", "random 10", "strokes 30", "strokes 10", "class strokes 30", "box 30")


def all_blocks(folder: Path, name: str, block: int, every: int) -> Iterator[np.ndarray]:
    """Yield majority blocks of every so many masks, void filled with the nearest class."""
    n_classes, merged = DATA_SETS[name]
    for path in sorted(folder.glob("*.png"))[::every]:
        ids = np.array(Image.open(path))
        mask = np.where(ids == 255, 0, ids.astype(int) + 1)
        for value, other in merged.items():
            mask[mask == value] = other
        rows, cols = (n // block * block for n in mask.shape)
        counts = class_counts(mask[:rows, :cols], block, n_classes)[..., 1:]
        empty = ~counts.any(-1)
        near = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
        values = (counts.argmax(-1) + 1)[tuple(near)]
        if len(np.unique(values)) > 1:
            yield values


def painted(values: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """Return where someone painted: `how` is a kind and a percentage."""
    kind, percent = how.rsplit(" ", 1)
    share = float(percent) / 100
    if kind == "random":
        return rng.random(values.shape) < share
    seen = np.zeros(values.shape, bool)
    if kind == "box":
        rows, cols = (int(np.ceil(np.sqrt(share) * n)) for n in values.shape)
        row, col = (
            rng.integers(0, n - m + 1) for n, m in zip(values.shape, (rows, cols), strict=True)
        )
        seen[row : row + rows, col : col + cols] = True
        return seen
    while seen.mean() < share:
        _paint_stroke(seen, values, kind == "class strokes", rng)
    return seen


def _paint_stroke(
    seen: np.ndarray, values: np.ndarray, one_class: bool, rng: np.random.Generator
) -> None:
    place = rng.uniform(0, values.shape)
    value = values[tuple(place.astype(int))]
    width, angle = int(rng.integers(1, 4)), rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(5, 40))):
        row, col = np.floor(place).astype(int)
        if not (0 <= row < values.shape[0] and 0 <= col < values.shape[1]):
            return
        if one_class and values[row, col] != value:
            return
        part = tuple(slice(max(0, at - width // 2), at + (width + 1) // 2) for at in (row, col))
        seen[part] |= (values[part] == value) | (not one_class)
        angle += rng.normal(0, 0.3)
        place += [np.sin(angle), np.cos(angle)]


def rivals(values: np.ndarray, n_classes: int, cutoffs: np.ndarray) -> dict[str, Energies]:
    """Return band (K, n) and total (K,) of the labelled cells by other estimators."""
    shape = (values.shape[0], values.shape[1])
    lattice = Lattice.of(shape, cutoffs)
    known = waves((values > 0).astype(float))
    mask = Mask.of(known, int((values > 0).sum()), lattice)
    maps = one_hot(values, n_classes)
    found: dict[str, list[tuple[np.ndarray, float]]] = {}
    for each in maps:
        share, parts = each.sum() / mask.n, waves(each)
        both = lattice.dft(power(parts)) / lattice.size * mask.inverse
        # 4 corr(B, W) = corr(B + W, B + W) - corr(B - W, B - W).
        sums = power(parts + known) - power(parts - known)
        local = lattice.dft(sums) / 4 / lattice.size * mask.inverse
        centred = both - 2 * share * local + share**2 * (mask.inverse > 0)
        near = [np.arange(n // 2 + 1) <= n // 8 for n in shape]
        tried = {
            "mean not taken away": both - share**2 * (mask.inverse > 0),
            "mean of each lag's cells": both - local**2,
            "lags up to an eighth of the grid": centred * (near[0][:, None] & near[1]),
            "lags not around the edge": _straight(each - share * (values > 0), values > 0),
        }
        for name, covariance in tried.items():
            found.setdefault(name, []).append(lattice.of_lags(covariance))
    result = {name: _stacked(each, mask.n / lattice.size) for name, each in found.items()}
    below = energy_below(np.abs(np.fft.rfft2(maps)) ** 2, shape, np.append(cutoffs, 1.0))
    result["power of B * W"] = (below[:, :-1] / mask.n, below[:, -1] / mask.n)
    return result


def _stacked(each: list[tuple[np.ndarray, float]], scale: float) -> Energies:
    return np.array([band for band, _ in each]) * scale, np.array(
        [all_ for _, all_ in each]
    ) * scale


def _straight(centred: np.ndarray, known: np.ndarray) -> np.ndarray:
    # Quotients of lags that stay inside the picture, then put around its edge by how many pairs
    # of each kind a full grid has.
    shape = centred.shape
    wide = [(0, n) for n in shape]
    twice = Lattice.of((2 * shape[0], 2 * shape[1]), np.array([0.5]))
    sums, pairs = (
        twice.dft(power(waves(np.pad(one * 1.0, wide)))) / twice.size for one in (centred, known)
    )
    inside = np.outer(*[n - np.arange(n + 1) for n in shape])
    enough = pairs >= np.maximum(0.4, 0.25 * known.mean() ** 2 * inside)
    quotient = np.where(enough, sums / np.maximum(pairs, 0.4), 0.0)
    rows, cols = (np.arange(n // 2 + 1) for n in shape)
    around = [
        np.ix_(one, other) for one in (rows, shape[0] - rows) for other in (cols, shape[1] - cols)
    ]
    weighed = sum(quotient[place] * inside[place] for place in around)
    return weighed / known.size


def curve(band: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return shares that never fall, as label_spectrum gives them."""
    share = band / np.where(total > 0, total, np.inf)[..., None]
    return np.maximum.accumulate(np.clip(share, 0, 1), -1)


class Score:
    """Deviations of one estimator."""

    def __init__(self) -> None:
        self._all: list[float] = []
        self._each: list[float] = []
        self._sums: list[Any] = [0.0, 0.0, 0.0, 0.0]

    def add(self, found: Energies, truth: Energies) -> None:
        """Count one image."""
        both = [curve(band.sum(0), np.asarray(total.sum())) for band, total in (found, truth)]
        self._all.append(float(np.abs(both[0] - both[1]).max()))
        each = np.abs(curve(*found) - curve(*truth)).max(1)
        self._each.append(float((each * truth[1]).sum() / truth[1].sum()))
        scale = [each[1].sum() for each in (found, truth)]
        for place, value in enumerate((found[0].sum(0), scale[0], truth[0].sum(0), scale[1])):
            self._sums[place] = self._sums[place] + value

    def result(self) -> dict[str, float]:
        """Return the means, rounded."""
        ours, theirs = (
            curve(*map(np.asarray, self._sums[:2])),
            curve(*map(np.asarray, self._sums[2:])),
        )
        return {
            "image": round(float(np.mean(self._all)), 4),
            "class": round(float(np.mean(self._each)), 4),
            "summed": round(float(np.abs(ours - theirs).max()), 4),
        }


def measure(folder: Path, name: str, block: int, how: str, every: int) -> dict[str, Any]:
    """Return what one kind of paint gives on one data set."""
    n_classes = DATA_SETS[name][0]
    scores: dict[str, Score] = {}
    inside, widths, images = [], [], 0
    for number, values in enumerate(all_blocks(folder, name, block, every)):
        rng = np.random.default_rng(number)
        seen = np.where(painted(values, how, rng), values, 0)
        if len(np.unique(seen[seen > 0])) < 2:
            continue
        images += 1
        cutoffs = default_cutoffs(1)
        full = label_spectrum(values, n_classes, 1, cutoffs)
        found = label_spectrum(seen, n_classes, 1, cutoffs)
        tried = {"chosen": (found.band, found.total), **rivals(seen, n_classes, cutoffs)}
        for one, energies in tried.items():
            scores.setdefault(one, Score()).add(energies, (full.band, full.total))
        open_ = (full.energy > 0.02) & (full.energy < 0.98) & np.isfinite(found.energy)
        open_ &= (np.bincount(seen.ravel(), minlength=n_classes + 1)[1:] >= 10)[:, None]
        inside += (np.abs(found.energy - full.energy) <= found.error)[open_].tolist()
        widths += found.error[open_].tolist()
    return {
        "images": images,
        "estimators": {one: score.result() for one, score in scores.items()},
        "within_error": round(float(np.mean(inside)), 3) if inside else None,
        "mean_error": round(float(np.mean(widths)), 3) if widths else None,
    }


def main() -> None:
    """Measure all kinds of paint and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    default = Path(__file__).parent / "results" / "painted_spectrum.json"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--split", default="test")
    parser.add_argument("--images", type=int, default=10, help="about so many of each data set")
    options = parser.parse_args()
    if "BLOCKSEG_DATA" not in os.environ:
        sys.exit("BLOCKSEG_DATA names no folder with camvid and nuclei_dsb2018 in it")
    results: dict[str, Any] = {}
    for name in DATA_SETS:
        folder = Path(os.environ["BLOCKSEG_DATA"]) / name / "labels" / options.split
        every = max(1, len(list(folder.glob("*.png"))) // options.images)
        for block in (4, 8, 16):
            for how in PAINT:
                found = measure(folder, name, block, how, every)
                results.setdefault(f"{name} {block}", {})[how] = found
                print(
                    name,
                    block,
                    how,
                    found["estimators"]["chosen"],
                    found["within_error"],
                    flush=True,
                )
    result = {
        "what": "largest deviation over cutoffs from the spectrum of all blocks, means over images",
        "split": options.split,
        "results": results,
        "date": date.today().isoformat(),
        "platform": platform.platform(),
        "versions": {name: version(name) for name in ("numpy", "scipy")},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
