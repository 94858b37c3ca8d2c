"""Which block size the advice recommends: from dense masks, and from blocks alone.

    BLOCKSEG_DATA=/path/to/data python benchmarks/advice_recommended.py

For the training masks of the three data sets (nuclei with and without their edge class): the
recommendation from measured ceilings, and from block labels of 4, 8 and 16 pixels with all, 30 %
and 10 % of the blocks painted, also with the nearest classes that are not resolved. Writes
``benchmarks/results/advice_recommended.json``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.advice_accuracy.cases import paint
from benchmarks.advice_accuracy.found import data_folder, masks_in
from napari_blockseg.core.advice import Advice, estimate_ceilings, recommend
from napari_blockseg.core.ceilings import CeilingTable
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.masks import find_classes_json

RESULTS = Path(__file__).parent / "results" / "advice_recommended.json"


def main() -> int:
    """Print and write the recommendations; return the exit code."""
    result: dict[str, Any] = {"time": datetime.now().astimezone().isoformat(timespec="seconds")}
    for name in ("camvid", "nuclei_dsb2018", "nuclei_merged", "em_isbi2012"):
        folder = data_folder() / name.replace("merged", "dsb2018") / "labels" / "train"
        names = find_classes_json(folder).names
        masks = masks_in(folder)[1]
        if name == "nuclei_merged":
            masks, names = [np.where(mask == 3, 2, mask) for mask in masks], names[:2]
        result[name] = _advise(masks, names)
        print(name, json.dumps({k: v["block"] for k, v in result[name].items()}), flush=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def _advise(masks: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    table = CeilingTable(len(names))
    for mask in masks:
        table.add(mask)
    result = {"dense masks": _words(recommend(table.rows(), names))}
    for block in (4, 8, 16):
        full = [BlockLabels.from_mask(mask, block, len(names)) for mask in masks]
        for policy, share in (("all", 1.0), ("random", 0.3), ("random", 0.1)):
            painted = paint(full, policy, share, np.random.default_rng(0))
            advice = recommend(estimate_ceilings(painted, len(names)), names)
            result[f"blocks of {block}, {share:.0%}"] = _words(advice)
    return result


def _words(advice: Advice) -> dict[str, Any]:
    ratios = {one.block: round(one.trained_ratio, 3) for one in advice.predictions}
    return {
        "block": advice.recommended_block,
        "unresolved": advice.unresolved,
        "predicted": ratios,
        "reason": advice.reason,
    }


if __name__ == "__main__":
    sys.exit(main())
