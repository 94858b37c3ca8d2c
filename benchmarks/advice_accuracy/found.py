"""Label maps from data sets, the bundled samples, and photographs cut into classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, data, filters, morphology

from napari_blockseg.files.masks import find_classes_json, read_mask

Mask = NDArray[np.integer[Any]]
SAMPLES = Path(__file__).parents[2] / "sample_data"


def data_folder() -> Path:
    """Return the folder of the data sets.

    Raises
    ------
    SystemExit
        If the variable BLOCKSEG_DATA is not set.
    """
    if "BLOCKSEG_DATA" not in os.environ:
        raise SystemExit("BLOCKSEG_DATA is not set: give the folder that holds camvid/ and others.")
    return Path(os.environ["BLOCKSEG_DATA"])


def masks_in(folder: Path) -> tuple[int, list[Mask]]:
    """Read all masks of a folder: K and the masks, values 0..K."""
    table = find_classes_json(folder)
    files = sorted(p for p in folder.rglob("*") if p.suffix in (".png", ".tif"))
    return len(table.classes), [read_mask(path, table) for path in files]


def real_kinds(split: str = "train") -> Iterator[tuple[str, str, int, list[Mask]]]:
    """Yield (kind, variant, K, masks) of the data sets; "few" is a project of six images."""
    folder = data_folder()
    for name in ("camvid", "nuclei_dsb2018", "em_isbi2012"):
        k, masks = masks_in(folder / name / "labels" / split)
        yield name, "all", k, masks
        yield name, "few", k, masks[:: max(len(masks) // 6, 1)][:6]
        if name == "nuclei_dsb2018":
            merged = [np.where(mask == 3, 2, mask) for mask in masks]
            yield "nuclei_merged", "all", 2, merged
            yield "nuclei_merged", "few", 2, merged[:: len(masks) // 6][:6]


def sample_kinds() -> Iterator[tuple[str, str, int, list[Mask]]]:
    """Yield (kind, variant, K, masks) of the bundled samples."""
    for name in ("nuclei", "textures"):
        yield f"sample_{name}", "all", *masks_in(SAMPLES / name / "masks")


def photo_kinds() -> Iterator[tuple[str, str, int, list[Mask]]]:
    """Yield (kind, variant, K, masks) cut out of photographs that scikit-image brings along."""
    grey = {
        "astronaut": color.rgb2gray(data.astronaut()),
        "cat": color.rgb2gray(data.chelsea()),
        "coffee": color.rgb2gray(data.coffee()),
        "camera": data.camera() / 255,
        "rocket": color.rgb2gray(data.rocket()),
    }
    for sigma, k in ((1, 3), (2.5, 2), (4, 4), (8, 3)):
        masks = [_cut(ndimage.gaussian_filter(image, sigma), k) for image in grey.values()]
        yield "photographs", f"{sigma}", k, masks
    coins = ndimage.gaussian_filter(data.coins() / 255, 1.5)
    found = ndimage.binary_fill_holes(coins > filters.threshold_otsu(coins))
    yield "coins", "all", 2, [morphology.remove_small_objects(found, max_size=60) + 1]
    stain = color.rgb2hed(data.immunohistochemistry())
    smooth = [ndimage.gaussian_filter(stain[..., i], 2) for i in (0, 2)]
    high = [layer > np.quantile(layer, 0.7) for layer in smooth]
    yield "stained_tissue", "all", 3, [np.where(high[1], 3, np.where(high[0], 2, 1))]
    for sigma in (2, 5):
        tissue = color.rgb2gray(data.immunohistochemistry())
        yield "stained_tissue", f"{sigma}", 3, [_cut(ndimage.gaussian_filter(tissue, sigma), 3)]
    yield "vessels", "all", 2, [_vessels()]
    sky = ndimage.gaussian_filter(color.rgb2gray(data.hubble_deep_field()), 1)
    yield "stars", "all", 2, [(sky > np.quantile(sky, 0.93)) + 1]
    yield "stars", "bright", 3, [np.digitize(sky, np.quantile(sky, [0.88, 0.97])) + 1]
    yield "depth", "all", 6, [_depth()]
    page = np.array(data.page()) / 255
    ink = page < filters.threshold_local(page, 35, offset=0.05)
    yield "print", "fine", 2, [ink + 1]
    bold = np.kron(ndimage.binary_dilation(ink), np.ones((3, 3), int)) > 0
    yield "print", "bold", 2, [bold + 1]
    horse = np.kron(~data.horse(), np.ones((2, 2), int))
    yield "silhouette", "all", 2, [horse + 1]
    moon = ndimage.gaussian_filter(data.moon() / 255, 3)
    yield "craters", "all", 3, [_cut(moon, 3)]


def _cut(image: NDArray[np.floating[Any]], k: int) -> Mask:
    return np.digitize(image, filters.threshold_multiotsu(image, k)) + 1


def _vessels() -> Mask:
    green = data.retina()[..., 1] / 255.0
    eye = ndimage.binary_erosion(ndimage.gaussian_filter(green, 5) > 0.08, iterations=25)
    dark = ndimage.gaussian_filter(green, 14) - ndimage.gaussian_filter(green, 2)
    mask = (dark > np.quantile(dark[eye], 0.88)).astype(int) + 1
    return np.where(eye, mask, 0)[100:1300, 100:1300]


def _depth() -> Mask:
    path = Path(data.__file__).parent / "motorcycle_disp.npz"
    with np.load(path) as stored:
        disparity = np.asarray(stored["arr_0"], float)
    known = np.isfinite(disparity)
    edges = np.quantile(disparity[known], [0.2, 0.4, 0.6, 0.8, 0.93])
    return np.where(known, np.digitize(np.where(known, disparity, 0), edges) + 1, 0)
