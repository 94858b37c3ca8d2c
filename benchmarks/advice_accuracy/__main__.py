"""How good ceilings are that are estimated from blocks, on label maps of other kinds.

    BLOCKSEG_DATA=/path/to/data python -m benchmarks.advice_accuracy --write

Labels masks of many kinds (three data sets, the bundled samples, photographs cut into classes,
drawn maps) with blocks of 4, 8, 16 and 32 pixels, keeps all blocks, 30 % or 10 %, estimates the
mean IoU of the block sizes from a quarter to four times that, and compares. Every number is of a
kind that the constants were NOT fitted to: one family of kinds is left out at a time. Writes
``benchmarks/results/advice_accuracy.json``; with ``--write`` also the constants, fitted to all
kinds, into the plugin. Takes about six minutes of one core.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.advice_accuracy.cases import BLOCKS, Case, cases_of
from benchmarks.advice_accuracy.drawn import drawn_kinds
from benchmarks.advice_accuracy.fit import (
    FloatArray,
    case_weights,
    fit_band,
    fit_model,
    fit_prior,
    means,
)
from benchmarks.advice_accuracy.found import photo_kinds, real_kinds, sample_kinds
from benchmarks.advice_accuracy.write import write_constants
from napari_blockseg.core.advice.estimate import BAND_COVERS, FACTORS
from napari_blockseg.core.advice.model import LossModel

RESULTS = Path(__file__).parents[1] / "results" / "advice_accuracy.json"
# Kinds that are too much alike to be judged by constants fitted to one another.
_FAMILIES = {
    "nuclei_merged": "nuclei_dsb2018",
    "sample_nuclei": "nuclei_dsb2018",
    "smooth_unequal": "smooth_fields",
    "few_big_regions": "smooth_fields",
    "nested": "smooth_fields",
    "mixed_disks": "equal_disks",
    "specks": "equal_disks",
    "cells_with_walls": "cells",
}
_MIN_LABELLED = 30


def main() -> int:
    """Run the benchmark; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the constants to the plugin")
    parser.add_argument("--cache", type=Path, help="keep the cases in this file")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    cases = [case for case in _cases(options.cache) if case.counts.labelled >= _MIN_LABELLED]
    found = left_out(cases)
    bands = {f: fit_band(*_known(found, j)) for j, f in enumerate(FACTORS)}
    result = {
        "command": " ".join(["python -m benchmarks.advice_accuracy", *sys.argv[1:]]),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "what": "mean absolute error of the mean IoU over classes that own a labelled block; "
        "constants fitted without the family of kinds that is judged; kinds weigh alike",
        "families": _FAMILIES,
        "band_covers": BAND_COVERS,
        "table": table(cases, found),
        "in_band": in_band(cases, found),
        "against_all_classes": of_all_classes(cases, found),
        "kinds": by_kind(cases, found),
    }
    options.results.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result)
    if options.write:
        prior = fit_prior(cases)
        write_constants(prior, LossModel(fit_model(cases, prior).weights, bands))
    return 0


def _cases(cache: Path | None) -> list[Case]:
    if cache is not None and cache.exists():
        return list(pickle.loads(cache.read_bytes()))
    cases = []
    for source in (real_kinds(), sample_kinds(), photo_kinds(), drawn_kinds()):
        for kind, variant, k, masks in source:
            cases += list(cases_of(kind, variant, k, masks))
            print(f"{kind} {variant}: {len(masks)} masks, {k} classes", flush=True)
    if cache is not None:
        cache.write_bytes(pickle.dumps(cases))
    return cases


def left_out(cases: Sequence[Case]) -> FloatArray:
    """Return (cases, factors, 3) as :func:`means`, fitted without each case's family."""
    family = np.array([_FAMILIES.get(case.kind, case.kind) for case in cases])
    found = np.full((len(cases), len(FACTORS), 3), np.nan)
    for name in np.unique(family):
        others = [case for case, other in zip(cases, family, strict=True) if other != name]
        prior = fit_prior(others)
        index = np.flatnonzero(family == name)
        found[index] = means([cases[i] for i in index], prior, fit_model(others, prior))
    return found


def _known(found: FloatArray, factor_at: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    rows = found[:, factor_at]
    predicted, truth, unsure = rows[~np.isnan(rows[:, 0])].T
    return predicted, truth, unsure


def _paint(case: Case) -> str:
    return case.policy if case.policy == "all" else f"{case.policy} {case.coverage:.0%}"


def table(cases: Sequence[Case], found: FloatArray) -> dict[str, Any]:
    """Return the mean absolute errors by paint, factor and block; kinds weigh alike."""
    off = np.abs(found[..., 0] - found[..., 1])
    paints = np.array([_paint(case) for case in cases])
    blocks = np.array([case.block for case in cases])
    kinds = np.array([case.kind for case in cases])
    result: dict[str, Any] = {}
    for paint in dict.fromkeys(paints.tolist()):
        for j, factor in enumerate(FACTORS):
            row: dict[str, float | None] = {}
            for block in (*BLOCKS, None):
                chosen = (paints == paint) & ~np.isnan(off[:, j])
                if block is not None:
                    chosen &= blocks == block
                of_kinds = [off[chosen & (kinds == k), j] for k in np.unique(kinds[chosen])]
                name = "all" if block is None else str(block)
                row[name] = _mean([float(one.mean()) for one in of_kinds])
            chosen = (paints == paint) & ~np.isnan(off[:, j])
            row["median"] = round(float(np.median(off[chosen, j])), 4)
            result.setdefault(paint, {})[f"{factor:g}b"] = row
    return result


def in_band(cases: Sequence[Case], found: FloatArray) -> dict[str, Any]:
    """Return the share of truths inside the band and its half width, bands left out too."""
    family = np.array([_FAMILIES.get(case.kind, case.kind) for case in cases])
    inside = np.full(found.shape[:2], np.nan)
    width = inside.copy()
    for name in np.unique(family):
        mine = family == name
        for j in range(len(FACTORS)):
            share, multiple = fit_band(*_known(found[~mine], j))
            predicted, truth, unsure = found[mine, j].T
            band = np.hypot(share * (1 - predicted), multiple * unsure)
            width[mine, j] = band
            hit = (np.abs(predicted - truth) <= band).astype(float)
            inside[mine, j] = np.where(np.isnan(predicted), np.nan, hit)
    paints = np.array([_paint(case) for case in cases])
    weights = case_weights(cases)
    result: dict[str, Any] = {}
    for paint in dict.fromkeys(paints.tolist()):
        for j, factor in enumerate(FACTORS):
            known = (paints == paint) & ~np.isnan(inside[:, j])
            weight = weights[known]
            result.setdefault(paint, {})[f"{factor:g}b"] = {
                "inside": round(float(np.average(inside[known, j], weights=weight)), 3),
                "half_width": round(float(np.average(width[known, j], weights=weight)), 3),
            }
    return result


def of_all_classes(cases: Sequence[Case], found: FloatArray) -> dict[str, Any]:
    """Return the mean absolute errors against the mean over all classes of the masks.

    That counts classes which own no labelled block: nothing can be known of them.
    """
    truth = np.array([[_mean_known(row) for row in case.truth] for case in cases])
    off = np.abs(found[..., 0] - truth)
    paints = np.array([_paint(case) for case in cases])
    weights = case_weights(cases)
    result: dict[str, Any] = {}
    for paint in dict.fromkeys(paints.tolist()):
        for j, factor in enumerate(FACTORS):
            known = (paints == paint) & ~np.isnan(off[:, j])
            mean = np.average(off[known, j], weights=weights[known])
            result.setdefault(paint, {})[f"{factor:g}b"] = round(float(mean), 4)
    return result


def by_kind(cases: Sequence[Case], found: FloatArray) -> list[str]:
    """Return one line a kind, variant, paint and block: truth and mean errors at each factor."""
    groups: dict[tuple[str, str, str, int], list[FloatArray]] = {}
    for case, rows in zip(cases, found, strict=True):
        key = (case.kind, case.variant, _paint(case), case.block)
        groups.setdefault(key, []).append(rows)
    lines = []
    for (kind, variant, paint, block), several in groups.items():
        line = f"{kind} {variant}, {paint}, blocks of {block}:"
        for j, factor in enumerate(FACTORS):
            predicted, truth, _ = np.array(several)[:, j].T
            if not np.isnan(predicted).any():
                error = np.abs(predicted - truth).mean()
                line += f" {factor:g}b {truth.mean():.3f} off {error:.3f},"
        lines.append(line.rstrip(","))
    return lines


def _mean_known(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    for paint, rows in result["table"].items():
        for factor, row in rows.items():
            numbers = " ".join(f"{name} {value}" for name, value in row.items())
            band = result["in_band"][paint][factor]
            print(f"{paint:12} {factor:6} {numbers}  band {band}")


if __name__ == "__main__":
    sys.exit(main())
