"""Build the bundled samples again, from packages whose licences allow it.

Run it from a checkout, with scikit-image installed (napari brings it) and the source package of
stardist unpacked somewhere::

    pip download stardist==0.9.2 --no-deps --no-binary stardist && tar xzf stardist-0.9.2.tar.gz
    python -m sample_data.build_samples stardist-0.9.2

The dense masks are exact (textures) or by experts (nuclei). The block labels are painted by a
simulated person: strokes with a wandering hand well inside the regions, whole nuclei one after the
other, most of the image left unpainted.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage import data

from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.blocklabels import SUFFIX, write_block_labels

HERE = Path(__file__).parent
IntArray = NDArray[np.integer]
VOID = 255

# Photographs are cut at this column: training mosaics left of it, test mosaics right of it.
TEXTURE_CUT = 320
TEXTURE_BLOCK = 8
NUCLEI_CUT = 320
NUCLEI_BLOCK = 4


def main(stardist_folder: Path) -> None:
    """Build every sample below this folder."""
    build_textures(HERE / "textures")
    build_nuclei(HERE / "nuclei", stardist_folder / "stardist" / "data" / "images")


def build_textures(folder: Path) -> None:
    """Mosaics of grass, gravel and brick with curved borders, which are the exact truth."""
    photos = [data.grass(), data.gravel(), data.brick()]
    _start(folder, ["grass", "gravel", "brick"])
    windows = [(row, col) for row in (0, 85, 170, 256) for col in (0, 64)]
    for number, (row, col) in enumerate(windows, start=1):
        # Every photo from another place: nothing but the texture tells the classes apart.
        tops = np.roll([row, 256 - row, (row + 128) % 257], number)
        parts = [
            photo[top : top + 256, col : col + 256] for photo, top in zip(photos, tops, strict=True)
        ]
        mask = _curved_regions((256, 256), 42, seed=10 + number)
        _write_png(folder, "train", f"mosaic_{number}", np.choose(mask - 1, parts), mask)
        labels = _paint_strokes(mask, TEXTURE_BLOCK, strokes=6, length=13, brush=2, seed=number)
        write_block_labels(folder / "labels" / f"mosaic_{number}{SUFFIX}", labels)
    for number, top in enumerate((0, 112, 224), start=1):
        parts = [photo[top : top + 288, TEXTURE_CUT:] for photo in photos]
        mask = _curved_regions((288, 512 - TEXTURE_CUT), 48, seed=20 + number)
        _write_png(folder, "test", f"test_{number}", np.choose(mask - 1, parts), mask)


def build_nuclei(folder: Path, source: Path) -> None:
    """Fluorescent nuclei: two fields to train on, the strip to their right to test on."""
    image = tifffile.imread(source / "img2d.tif")
    nuclei = tifffile.imread(source / "mask2d.tif")
    _start(folder, ["background", "nucleus"])
    fields = {
        ("train", "field_1"): np.s_[:256, :NUCLEI_CUT],
        ("train", "field_2"): np.s_[256:, :NUCLEI_CUT],
        ("test", "test_1"): np.s_[:256, NUCLEI_CUT:],
        ("test", "test_2"): np.s_[256:, NUCLEI_CUT:],
    }
    for seed, ((part, name), where) in enumerate(fields.items()):
        mask = np.where(nuclei[where] > 0, 2, 1).astype(np.uint8)
        tifffile.imwrite(
            folder / "images" / part / f"{name}.tif",
            image[where],
            photometric="minisblack",
            compression="zlib",
            metadata={"axes": "YX"},
        )
        Image.fromarray(mask - 1).save(folder / "masks" / part / f"{name}.png")
        if part == "train":
            labels = _paint_nuclei(nuclei[where], mask, seed)
            write_block_labels(folder / "labels" / f"{name}{SUFFIX}", labels)


def _start(folder: Path, names: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("images/train", "images/test", "masks/train", "masks/test", "labels"):
        (folder / name).mkdir(parents=True)
    colors = [(0, 158, 115), (230, 159, 0), (213, 94, 0)] if len(names) == 3 else None
    colors = colors or [(86, 180, 233), (230, 159, 0)]
    rows = [{"id": i, "name": n, "color": colors[i]} for i, n in enumerate(names)]
    text = json.dumps({"classes": rows, "ignore_id": VOID}, indent=1)
    (folder / "classes.json").write_text(text + "\n", encoding="utf-8")


def _write_png(folder: Path, part: str, name: str, image: IntArray, mask: IntArray) -> None:
    Image.fromarray(image.astype(np.uint8)).save(
        folder / "images" / part / f"{name}.png", optimize=True
    )
    Image.fromarray((mask - 1).astype(np.uint8)).save(
        folder / "masks" / part / f"{name}.png", optimize=True
    )


def _curved_regions(shape: tuple[int, int], size: float, seed: int) -> IntArray:
    """Return values 1..3: where one of three smooth random surfaces is the highest."""
    rng = np.random.default_rng(seed)
    surfaces = [
        ndimage.gaussian_filter(rng.normal(size=shape), size, mode="wrap") for _ in range(3)
    ]
    surfaces = [(one - one.mean()) / one.std() for one in surfaces]
    return (np.argmax(surfaces, axis=0) + 1).astype(np.uint8)


def _paint_strokes(
    mask: IntArray, block: int, strokes: int, length: int, brush: int, seed: int
) -> BlockLabels:
    """Paint each class in a few wandering strokes that stay inside its region."""
    rng = np.random.default_rng(seed)
    truth = BlockLabels.from_mask(mask, block, int(mask.max())).values
    values = np.zeros_like(truth)
    for value in range(1, int(mask.max()) + 1):
        region = truth == value
        for _ in range(strokes):
            _stroke(values, region, value, length, brush, rng)
    return BlockLabels.empty(BlockLabels.from_mask(mask, block, 255).grid).with_values(values)


def _paint_nuclei(nuclei: IntArray, mask: IntArray, seed: int) -> BlockLabels:
    """Paint six of ten nuclei whole with the rim around them, and strokes of background."""
    rng = np.random.default_rng(seed)
    full = BlockLabels.from_mask(mask, NUCLEI_BLOCK, 2)
    values = np.zeros_like(full.values)
    for one in np.unique(nuclei[nuclei > 0]):
        if rng.random() > 0.6:
            continue
        own = BlockLabels.from_mask((nuclei == one).astype(np.uint8), NUCLEI_BLOCK, 1).values > 0
        values[own & (full.values == 2)] = 2
        rim = ndimage.binary_dilation(own, np.ones((3, 3)), iterations=2)
        values[rim & (full.values == 1)] = 1
    for _ in range(12):
        _stroke(values, full.values == 1, 1, 18, 2, rng)
    return full.with_values(values)


def _stroke(
    values: IntArray,
    region: NDArray[np.bool_],
    value: int,
    length: int,
    brush: int,
    rng: np.random.Generator,
) -> None:
    """Draw one stroke into `values`: start deep inside, go on with a slowly turning heading."""
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    weight = (depth**2).ravel()
    if not weight.sum():
        return
    position = np.array(
        np.unravel_index(rng.choice(weight.size, p=weight / weight.sum()), depth.shape), float
    )
    heading = rng.uniform(0, 2 * np.pi)
    for _ in range(length):
        row, col = np.rint(position).astype(int)
        window = np.s_[max(0, row) : row + brush, max(0, col) : col + brush]
        values[window][region[window]] = value
        for _ in range(8):
            heading += rng.normal(0, 0.35)
            step = np.array([np.sin(heading), np.cos(heading)])
            ahead = position + step
            r, c = np.rint(ahead).astype(int)
            if 0 <= r < region.shape[0] and 0 <= c < region.shape[1] and region[r, c]:
                position = ahead
                break
            heading += np.pi / 3


if __name__ == "__main__":
    main(Path(sys.argv[1]))
