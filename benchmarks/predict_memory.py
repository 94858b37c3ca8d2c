"""How much memory prediction takes for images of growing size, from a lazy image to a file.

Each size runs in a process of its own, from pixels that exist only while they are looked at to a
compressed TIFF on disk. Three kinds:

- grey: up to 30,000 x 30,000 pixels of one channel, at the working scale of blocks of 32 pixels.
  Block means and one small product stand in for the network, with the default network's stride and
  number of logits, but a halo of 32 pixels: a real one would take hours on one core.
- stub: the same on color images, with the default network's halo: what prediction itself holds.
- light: the default network (random weights) on a compressed TIFF, by what ``blockseg predict``
  does.
- wide: the same at decoder stride 8 on 8,000 columns, at the working scale of blocks of 16 pixels.

Images of one kind and width, but of growing height, show whether memory is flat.

``own_mib`` is the process's own memory at its highest, less what it held before the prediction;
pages of files that the system caches do not count.

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/predict_memory.py

Writes ``benchmarks/results/predict_memory.json`` (``--out`` for elsewhere) after each size; with
``--kinds`` only those are measured anew, the others stay.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from camvid_blocks import machine
from inference_speed import N_CLASSES, make_model, resident_peak
from torch import Tensor, nn

from napari_blockseg.cli.prediction import Source, predict_files
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.files.rowfiles import TiffRows
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.predict import PredictedRows, predict_into

SIZES = {
    "grey": ((3_000, 30_000), (30_000, 30_000)),
    "stub": ((2_000, 4_000), (8_000, 4_000)),
    "light": ((1024, 1024), (4096, 1024)),
    "wide": ((2_000, 8_000), (4_000, 8_000), (8_000, 8_000)),
    "tall": ((4_000, 4_000), (8_000, 4_000), (16_000, 4_000), (32_000, 4_000)),
}


def main() -> None:
    """Measure every size and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=3, metavar=("KIND", "ROWS", "COLS"), help="(internal)")
    parser.add_argument("--kinds", nargs="+", choices=SIZES, default=list(SIZES))
    out = Path(__file__).parent / "results" / "predict_memory.json"
    parser.add_argument("--out", type=Path, default=out)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one:
        print(json.dumps(predict_one(options.one[0], *map(int, options.one[1:]))))
        return
    result: dict[str, Any] = {"what": "memory of prediction, from lazy pixels to a file"}
    if options.out.exists():
        result = json.loads(options.out.read_text())
    for kind in options.kinds:
        rows = []
        for size in SIZES[kind]:
            words = [sys.executable, __file__, "--one", kind, *map(str, size)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
        result[kind] = {
            "sizes": rows,
            "classes": N_CLASSES,
            "command": "python " + " ".join(["benchmarks/predict_memory.py", *sys.argv[1:]]),
            "date": date.today().isoformat(),
            "machine": machine(),
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


class Generated:
    """A 16-bit image whose values are made when they are asked for."""

    dtype = np.dtype(np.uint16)
    ndim = 3

    def __init__(self, rows: int, cols: int, channels: int) -> None:
        self.shape = (rows, cols, channels)
        at = np.arange(cols)
        self._across = ((at // 300 % 5) * 900 + at % 256)[None, :, None].astype(np.uint16)

    def __getitem__(self, window: tuple[slice, ...] | slice) -> np.ndarray:
        """Return rows, or rows and cols."""
        parts = window if isinstance(window, tuple) else (window, slice(None))
        at = np.arange(*parts[0].indices(self.shape[0]))
        down = (at // 500 % 3 * 700).astype(np.uint16)[:, None, None]
        values: np.ndarray = np.repeat(self._across[:, parts[1]], self.shape[2], 2) + down
        return values


class Stub(nn.Module):
    """Logits from block means: as many, on the same grid, as the default network's."""

    def __init__(self, channels: int, halo: int, stride: int) -> None:
        super().__init__()
        self.halo, self.decoder_stride, self.logits_stride = halo, stride, stride
        torch.manual_seed(0)
        self.mix = nn.Conv2d(channels, N_CLASSES, 1)

    def coarse_logits(self, images: Tensor) -> Tensor:
        """Return logits on the coarse grid."""
        rows, cols = images.shape[-2:]
        images = nn.functional.pad(images, (0, -cols % 32, 0, -rows % 32), mode="replicate")
        logits: Tensor = self.mix(nn.functional.avg_pool2d(images, self.logits_stride))
        return logits


class File:
    """Rows of the mask into a TIFF."""

    def __init__(self, out: TiffRows) -> None:
        self._out = out

    def begin(self, shape: tuple[int, int], dtype: Any) -> None:
        """Start the file."""
        self._out.begin()

    def put(self, rows: PredictedRows) -> None:
        """Write rows."""
        self._out.put(rows.mask)


def predict_one(kind: str, rows: int, cols: int) -> dict[str, Any]:
    """Predict one image of a kind."""
    if kind == "light":
        return predict_light(rows, cols, make_model())
    if kind in ("wide", "tall"):
        model = make_model(decoder_stride=8)
        spec = model.spec.model_copy(update={"block": 16, "scale": 0.5})
        return predict_light(rows, cols, Model(spec, model.network, model.device))
    return predict_stub(
        rows, cols, channels=1 if kind == "grey" else 3, halo=32 if kind == "grey" else None
    )


def predict_stub(rows: int, cols: int, channels: int, halo: int | None) -> dict[str, Any]:
    """Predict a generated image with the stub, by percentiles."""
    light = make_model()
    halo = light.network.halo if halo is None else halo
    network: Any = Stub(channels, halo, light.network.logits_stride)
    percentiles = Normalization.for_dtype(np.uint16)
    changes: dict[str, Any] = {"normalization": percentiles, "n_channels": channels}
    if channels == 1:
        changes |= {"block": 32, "scale": 0.25}
    spec = light.spec.model_copy(update=changes)
    model = Model(spec, network, torch.device("cpu"))
    start, before = time.process_time(), resident_peak()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.tif"
        tags = {"photometric": "minisblack", "metadata": None}
        with TiffRows(path, (rows, cols), np.uint8, tags) as out:
            for _ in predict_into(File(out), model, Generated(rows, cols, channels)):
                pass
        size = path.stat().st_size
    return _row(rows, cols, before, start) | {"mask_file_mib": round(size / 2**20, 2)}


def predict_light(rows: int, cols: int, model: Model) -> dict[str, Any]:
    """Predict a compressed TIFF with a real network, as the command does."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.tif"
        band = np.random.default_rng(0).integers(0, 256, (256, cols, 3), dtype=np.uint8)
        band = np.pad(band, ((0, 0), (0, -cols % 256), (0, 0)))
        across = range(0, band.shape[1], 256)
        tiles = (band[:, at : at + 256] for _ in range(-(-rows // 256)) for at in across)
        tags = {"photometric": "rgb", "compression": "zlib", "tile": (256, 256)}
        tifffile.imwrite(path, tiles, shape=(rows, cols, 3), dtype=np.uint8, **tags)
        start, before = time.process_time(), resident_peak()
        config = PredictConfig(engine="torch", device="cpu")
        predict_files(model, [Source("image", path)], Path(folder), config, False)
    return _row(rows, cols, before, start)


def _row(rows: int, cols: int, before: float | None, start: float) -> dict[str, Any]:
    peak = resident_peak()
    own = None if peak is None or before is None else round(peak - before, 1)
    return {
        "rows": rows,
        "cols": cols,
        "megapixels": rows * cols / 1e6,
        "own_mib": own,
        "peak_mib": peak and round(peak, 1),
        "mask_mib": round(rows * cols / 2**20, 1),
        "cpu_seconds": round(time.process_time() - start, 1),
    }


if __name__ == "__main__":
    main()
