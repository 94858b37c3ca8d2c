"""Tables, verdicts and a picture from whatever cells exist; a missing one is shown as missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from outcomes import Study, Times
from paired import Interval
from picture import draw_curves
from plan import DATA, VARIANTS, planned_seeds
from spectra_table import spectra_lines

MISSING = "missing"
#: What paper form, truncated, may lose in mIoU, and what share of its time it may take.
MAY_LOSE, SHARE = 0.01, 0.5


def summarize(results: Path) -> int:
    """Write ``summary.md``, ``summary.json`` and ``accuracy_time.png``."""
    study, times = Study(results), Times(results)
    lines = ["# Truncation: accuracy against time", ""]
    lines += [
        f"{len(study.found)} of {study.planned} cells. Differences are paired (same seed: same "
        "weights of shared layers, same crops) means with 90 % intervals; boundary F is that of "
        "core/boundaries.py. Times: 512 x 512 pixels, one thread, to logits of every pixel; "
        "ratios are to the same network's full grid.",
        "",
    ]
    for data in DATA:
        lines += [f"## Accuracy on {data}", "", *_accuracy(study, data), ""]
    lines += ["## Cost", "", *_costs(times), ""]
    lines += ["## Targets", "", *_targets(study, times), ""]
    lines += ["## Spectra of the trained networks", "", *spectra_lines(study), ""]
    (results / "summary.md").write_text("\n".join(lines), encoding="utf-8")
    rows = [_row(study, times, data, name) for data in DATA for name in VARIANTS]
    text = json.dumps([row for row in rows if row], indent=1)
    (results / "summary.json").write_text(text + "\n", encoding="utf-8")
    draw_curves(study, times, results / "accuracy_time.png")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _row(study: Study, times: Times, data: str, name: str) -> dict[str, Any] | None:
    miou = study.mean(data, name, "miou")
    if miou is None:
        return None
    difference = study.difference(data, name)
    smp = study.difference(data, name, against="smp")
    return {
        "data": data,
        "variant": name,
        "seeds": miou.n,
        "miou": miou.mean,
        "boundary_f": _mean(study.mean(data, name, "boundary_f")),
        "to_full_grid": _interval(difference),
        "to_smp": _interval(smp),
        **times.row(name),
    }


def _mean(found: Interval | None) -> float | None:
    return None if found is None else found.mean


def _interval(found: Interval | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"mean": found.mean, "low": found.low, "high": found.high, "pairs": found.n}


def _accuracy(study: Study, data: str) -> list[str]:
    lines = [
        "| network | seeds | mIoU | boundary F | mIoU to its full grid | boundary F to it |"
        " mIoU to smp |",
        "|" + "---|" * 7,
    ]
    for name in VARIANTS:
        miou, boundary = (study.mean(data, name, key) for key in ("miou", "boundary_f"))
        planned = planned_seeds(name)
        if miou is None or boundary is None:
            lines.append(f"| {name} | 0 of {planned} |" + f" {MISSING} |" * 5)
            continue
        found = [
            study.difference(data, name),
            study.difference(data, name, "boundary_f"),
            study.difference(data, name, against="smp"),
        ]
        words = " | ".join("" if one is None else one.text() for one in found)
        lines.append(
            f"| {name} | {miou.n} of {planned} | {miou.mean:.3f} | {boundary.mean:.3f} | {words} |"
        )
    return lines


def _costs(times: Times) -> list[str]:
    lines = [
        "| network | G multiply-adds | ms | of full grid | ms, ONNX Runtime | of full grid |"
        " training step, of full grid | peak MB, inference | peak MB, step |",
        "|" + "---|" * 9,
    ]
    columns = (
        *(("gmacs", 2), ("ms", 0), ("ratio", 2), ("onnx_ms", 0), ("onnx_ratio", 2)),
        *(("step_ratio", 2), ("inference_mb", 0), ("step_mb", 0)),
    )
    for name in VARIANTS:
        row = times.row(name)
        words = (
            MISSING if (value := row[key]) is None else f"{value:.{digits}f}"
            for key, digits in columns
        )
        lines.append(f"| {name} | " + " | ".join(words) + " |")
    return lines


def _targets(study: Study, times: Times) -> list[str]:
    """Say of each target whether the numbers reach it, on each data set."""
    lines = [
        f"Paper form, truncated to {SHARE:.0%} of its time or less, loses at most {MAY_LOSE:g} "
        "mIoU (the lower end of the interval counts):",
        "",
    ]
    for data in DATA:
        for name in VARIANTS:
            if name.startswith("paper_") and name != "paper_4":
                lines += _paper_line(study, times, data, name)
    lines += ["", "Light form against segmentation_models_pytorch's DeepLabV3Plus:", ""]
    for data in DATA:
        for name in VARIANTS:
            found = study.difference(data, name, against="smp")
            ratio = times.ratio(name, "smp")
            if name.startswith("light_") and found is not None and ratio is not None:
                lines.append(
                    f"- {data}, {name}: {found.text()} mIoU in {ratio:.2f} times its time "
                    f"({found.n} seeds)."
                )
    return lines


def _paper_line(study: Study, times: Times, data: str, name: str) -> list[str]:
    found, ratio = study.difference(data, name), times.row(name)["ratio"]
    if found is None or ratio is None or ratio > SHARE:
        return []
    reached = found.low is not None and found.low >= -MAY_LOSE
    within = found.mean >= -MAY_LOSE
    verdict = "reached" if reached else "within it on average" if within else "not reached"
    text = f"{found.text()} mIoU at {ratio:.2f} of the time ({found.n} seeds): {verdict}."
    return [f"- {data}, {name}: {text}"]
