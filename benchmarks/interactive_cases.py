"""Images with dense truth and a few simulated strokes, for the benchmark of interactive mode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_blockseg.core.classes import ClassInfo, make_classes
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.files.images import read_image
from napari_blockseg.files.samples import Sample, sample

SIDE = 1024
#: A class that covers less of an image than this is neither painted nor scored.
MIN_SHARE = 0.005


@dataclass(frozen=True)
class Case:
    """An image (rows, cols, channels), its truth (rows, cols; 0 = void, 1..K), and its blocks."""

    name: str
    pixels: np.ndarray
    truth: np.ndarray
    block: int
    classes: tuple[ClassInfo, ...]

    def strokes(self, per_class: int, length: int, seed: int) -> BlockLabels:
        """Return wiggly lines of blocks that end where their class ends."""
        rng = np.random.default_rng(seed)
        grid = BlockGrid(self.truth.shape, self.block)
        majority = _majority(self.truth, self.block, len(self.classes))
        values = np.zeros(grid.shape, np.uint8)
        for value in range(1, len(self.classes) + 1):
            places = np.argwhere(majority == value)
            for _ in range(per_class if len(places) else 0):
                for row, col in _line(rng, places[rng.integers(len(places))], length):
                    if majority[row % grid.shape[0], col % grid.shape[1]] != value:
                        break
                    values[row % grid.shape[0], col % grid.shape[1]] = value
        return BlockLabels(grid, values)

    def all_blocks(self) -> BlockLabels:
        """Return every block with the class of its majority."""
        majority = _majority(self.truth, self.block, len(self.classes))
        return BlockLabels(BlockGrid(self.truth.shape, self.block), majority.astype(np.uint8))

    def score(self, mask: np.ndarray) -> float:
        """Return the mIoU of a mask (values 1..K) over the classes that the image has."""
        confusion = Confusion(len(self.classes))
        confusion.add(self.truth, mask)
        return float(np.nanmean(confusion.iou()))


def cases() -> Iterator[Case]:
    """Yield the bundled samples as 1024 x 1024 pixels, then what BLOCKSEG_DATA has."""
    yield _mosaic(sample("textures"), 16)
    yield _mosaic(sample("nuclei"), 4)
    folder = os.environ.get("BLOCKSEG_DATA")
    if folder:
        yield _from_files(Path(folder) / "camvid", "0016E5_07959.png", 8, 11)
        largest = max(
            (Path(folder) / "nuclei_dsb2018" / "images" / "val").iterdir(),
            key=lambda path: path.stat().st_size,
        )
        yield _from_files(Path(folder) / "nuclei_dsb2018", largest.name, 8, 3)


def _mosaic(one: Sample, block: int) -> Case:
    """Lay a sample's training images, turned and mirrored, side by side."""
    images = [read_image(path).pixels for path in one.train_images]
    masks = [read_image(one.train_masks_dir / f"{p.stem}.png").pixels for p in one.train_images]
    side = min(min(image.shape[:2]) for image in images)
    n = -(-SIDE // side)

    def lay(parts: list[np.ndarray]) -> np.ndarray:
        turned = [
            [np.rot90(parts[(i * n + j) % len(parts)][:side, :side], i + 2 * j) for j in range(n)]
            for i in range(n)
        ]
        whole = np.concatenate([np.concatenate(row, 1) for row in turned], 0)
        return np.ascontiguousarray(whole[:SIDE, :SIDE])

    return Case(one.name, lay(images), lay(masks)[..., 0] + np.uint8(1), block, one.classes)


def _from_files(folder: Path, name: str, block: int, n_classes: int) -> Case:
    pixels = read_image(folder / "images" / "val" / name).pixels
    ids = read_image(folder / "labels" / "val" / name).pixels[..., 0].astype(int)
    truth = np.where(ids == 255, 0, ids + 1)
    counts = np.bincount(truth.ravel(), minlength=n_classes + 1)[1:]
    kept = np.flatnonzero(counts > MIN_SHARE * truth.size)
    lookup = np.zeros(257, np.uint8)
    lookup[kept + 1] = np.arange(1, len(kept) + 1)
    classes = make_classes([f"class {i}" for i in kept])
    return Case(f"{folder.name} {name}", pixels, lookup[truth], block, classes)


def _majority(truth: np.ndarray, block: int, n_classes: int) -> np.ndarray:
    rows, cols = (-(-length // block) for length in truth.shape)
    padded = np.zeros((rows * block, cols * block), truth.dtype)
    padded[: truth.shape[0], : truth.shape[1]] = truth
    blocks = padded.reshape(rows, block, cols, block).swapaxes(1, 2).reshape(rows, cols, -1)
    counts = np.stack([(blocks == value).sum(-1) for value in range(1, n_classes + 1)], -1)
    return np.where(counts.sum(-1) > 0, counts.argmax(-1) + 1, 0)


def _line(rng: np.random.Generator, start: np.ndarray, length: int) -> np.ndarray:
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.3, length - 1))
    steps = np.cumsum(np.stack([np.sin(angles), np.cos(angles)], 1), 0)
    return np.rint(np.concatenate([[[0, 0]], steps]) + start).astype(int)
