"""What the dense masks alone say: label energy, ceilings, and what blocks of each size own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from data_sets import DataSet, Source
from plan import DATA

from napari_blockseg.core.ceilings import BLOCKS, CeilingTable

# Blocks that a class must own among the training labels to count as resolvable.
OWNED = 50


def measure_labels(results: Path) -> int:
    """Write ``labels_DATA.json`` for every data set that has none."""
    for data in DATA.values():
        path = results / f"labels_{data.name}.json"
        if not path.exists():
            found = {split: _measure(data, split) for split in ("train", "test")}
            path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            sys.stdout.write(f"{path}\n")
    return 0


def _measure(data: DataSet, split: str) -> dict[str, Any]:
    source = Source(data, split)
    table = CeilingTable(len(source.classes), blocks=BLOCKS)
    for _, mask in source.masks():
        table.add(mask)
    return {
        "classes": [info.name for info in source.classes],
        "images": table.images,
        "skipped": table.skipped,
        "blocks": {
            str(row.block): {
                "energy": row.energy,
                "class_energy": _numbers(row.class_energy),
                "miou": row.miou,
                "iou": _numbers(row.iou),
                "band_limited_miou": row.band_limited_miou,
                "boundary_f": row.boundary_f,
                "pixel_accuracy": row.pixel_accuracy,
                "owned_blocks": [int(n) for n in row.owned_blocks],
            }
            for row in table.rows()
        },
    }


def _numbers(values: Any) -> list[float | None]:
    return [None if np.isnan(x) else round(float(x), 6) for x in values]
