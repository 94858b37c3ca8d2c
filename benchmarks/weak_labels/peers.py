"""What others do with the same labels: forests and a linear head on features that do not learn.

Filter features: scikit-image's multi-scale intensity, edges and texture, as in its trainable
segmentation and, in kind, in ilastik, Labkit and Weka. Deep features: every stage of the ImageNet
encoder that our network starts from, frozen, as napari-convpaint and featureforest take those of
other networks. All see the images at our network's working scale, weigh classes as it does, and
their chances are interpolated to pixels.

napari-convpaint itself runs where it is installed (``pip install --no-deps`` into a folder of its
own, with catboost): its own normalization, boosted trees, and the one kind of features that needs
no download, Gaussians of the channels, at the three scales that it proposes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from data_sets import Source, score_masks
from painting import painted, strokes
from plan import CONVPAINT, DATA, Cell
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn.data import TrainingImage, WorkingGrid, class_lookup, working_image
from napari_blockseg.learn.losses import class_weights
from napari_blockseg.nets.build import build_encoder
from napari_blockseg.nets.network import pad_to_multiple
from napari_blockseg.nets.truncation import to_stride

ENCODER = "tf_efficientnet_lite0"
TREES = 100
#: Labelled places that a fit looks at, drawn at random over all images.
SAMPLES = 50_000
#: Working pixels per place: deep features lie on the finest grid that our own decoder has.
STRIDE = {"filters": 1, "deep": 4}

#: From an image at working scale (channels, rows, cols) to features (rows, cols, n) of its places.
Describe = Callable[[torch.Tensor], np.ndarray]


def run_peer(cell: Cell) -> dict[str, Any]:
    """Fit one peer to the labels of a cell, and score it on the test images."""
    if cell.recipe == CONVPAINT:
        return run_convpaint(cell)
    started, cpu = time.monotonic(), time.process_time()
    data = DATA[cell.data]
    images = painted(cell)
    classes = Source(data, "train").classes
    method, kind = cell.recipe.split("_")
    grid, spec, cells = _labels(cell, images, classes)
    describe = filters if kind == "filters" else Frozen(images[0].pixels.shape[-1])
    rng = np.random.default_rng(cell.seed)
    share = min(1.0, SAMPLES / sum(_places(c, grid, STRIDE[kind]) for c in cells))
    parts = []
    for image, values in zip(images, cells, strict=True):
        if (values >= 0).any():
            found = describe(working_image(image.pixels, spec, grid).float())
            parts.append(_drawn(found, values, grid, STRIDE[kind], share, rng))
    features = np.concatenate([part[0] for part in parts])
    wanted = np.concatenate([part[1] for part in parts])
    model = _fit(method, features, wanted, len(classes), cell.seed)

    def predicted(pixels: Any) -> Any:
        values = describe(working_image(pixels, spec, grid).float())
        return _mask(model, values, pixels.shape[:2], grid, STRIDE[kind], len(classes))

    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in classes],
        "features": features.shape[1],
        "places": len(features),
        "labelled_blocks": sum(image.labels.n_labelled for image in images),
        "strokes": strokes(images, len(classes)),
        "seconds_training": round(time.monotonic() - started, 1),
        "test": score_masks(predicted, Source(data, "test")),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def run_convpaint(cell: Cell) -> dict[str, Any]:
    """Train napari-convpaint on the labels of a cell, and score it on the test images."""
    from napari_convpaint.convpaint_model import ConvpaintModel

    started, cpu = time.monotonic(), time.process_time()
    data = DATA[cell.data]
    images = painted(cell)
    classes = Source(data, "train").classes
    grid, spec, cells = _labels(cell, images, classes)
    rng = np.random.default_rng(cell.seed)
    share = min(1.0, SAMPLES / sum(_places(c, grid, 1) for c in cells))
    pictures, strokes_on = [], []
    for image, values in zip(images, cells, strict=True):
        picture = _for_convpaint(image.pixels, spec, grid)
        rows, cols = (
            np.minimum(np.arange(n) // grid.side, limit - 1)
            for n, limit in zip(picture.shape[-2:], values.shape, strict=True)
        )
        wanted = values[np.ix_(rows, cols)] + 1
        drawn = np.where(rng.random(wanted.shape) < share, wanted, 0)
        if drawn.any():
            pictures.append(picture)
            strokes_on.append(drawn.astype(np.uint8))
    model = ConvpaintModel(fe_name="gaussian_features")
    scalings = [1, 2, 4]
    # Single places all over an image: cutting a tile around each of them would take hours.
    model.set_params(
        channel_mode="rgb" if len(pictures[0]) == 3 else "single",
        fe_scalings=scalings,
        tile_annotations=False,
    )
    model.train(pictures, strokes_on)

    def predicted(pixels: Any) -> Any:
        found = model.segment(_for_convpaint(pixels, spec, grid)).astype(np.int64)
        tall, wide = (round(length / grid.scale) for length in found.shape)
        at = [
            np.minimum((np.arange(n) * grid.scale).astype(np.intp), limit - 1)
            for n, limit in zip((tall, wide), found.shape, strict=True)
        ]
        return found[np.ix_(*at)][: pixels.shape[0], : pixels.shape[1]]

    return {
        "cell": cell.to_dict(),
        "classes": [info.name for info in classes],
        "features": f"gaussian_features at {scalings}, convpaint {version('napari-convpaint')}",
        "places": int(sum((drawn > 0).sum() for drawn in strokes_on)),
        "labelled_blocks": sum(image.labels.n_labelled for image in images),
        "strokes": strokes(images, len(classes)),
        "seconds_training": round(time.monotonic() - started, 1),
        "test": score_masks(predicted, Source(data, "test")),
        "seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def _labels(
    cell: Cell, images: Sequence[TrainingImage], classes: Sequence[ClassInfo]
) -> tuple[WorkingGrid, Normalization, list[np.ndarray]]:
    """Return the working grid, how values are read, and the class index of each block, by image."""
    lookup = class_lookup(classes)
    return (
        WorkingGrid.for_scale(cell.block, DATA[cell.data].scale),
        Normalization.for_dtype(images[0].pixels.dtype),
        [lookup[image.labels.values] for image in images],
    )


def _for_convpaint(pixels: Any, spec: Normalization, grid: WorkingGrid) -> np.ndarray:
    """Return an image at working scale, (channels, rows, cols) or (rows, cols), 0 to 255."""
    values = working_image(pixels, spec, grid).float().numpy() * 255
    return values if len(values) == 3 else values[0]


def filters(image: torch.Tensor) -> np.ndarray:
    """Return scikit-image's features at scales of 1 to 16 pixels, (rows, cols, n)."""
    pixels = image.permute(1, 2, 0).numpy()
    found = multiscale_basic_features(pixels, channel_axis=-1, sigma_min=1, sigma_max=16)
    return np.asarray(found, np.float32)


class Frozen:
    """Every stage of the ImageNet encoder on a grid of 4 pixels, side by side.

    Parameters
    ----------
    n_channels : int
        Of the images.
    """

    def __init__(self, n_channels: int) -> None:
        self._encoder = build_encoder(ENCODER, "imagenet", n_channels, 16).eval()

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> np.ndarray:
        """Return features (rows / 4, cols / 4, n) of an image (channels, rows, cols)."""
        stages = self._encoder(pad_to_multiple(image[None], 32))
        stride = STRIDE["deep"]
        even = [
            to_stride(stage, own, stride)
            for stage, own in zip(stages, self._encoder.strides, strict=True)
        ]
        rows, cols = (-(-length // stride) for length in image.shape[-2:])
        return torch.cat(even, 1)[0, :, :rows, :cols].permute(1, 2, 0).numpy()


def _places(cells: np.ndarray, grid: WorkingGrid, stride: int) -> int:
    return int((cells >= 0).sum()) * max(1, grid.side // stride) ** 2


def _drawn(
    features: np.ndarray,
    cells: np.ndarray,
    grid: WorkingGrid,
    stride: int,
    share: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return features and classes of a random share of the labelled places of an image."""
    rows, cols = (
        np.minimum((np.arange(n) * stride + stride // 2) // grid.side, limit - 1)
        for n, limit in zip(features.shape[:2], cells.shape, strict=True)
    )
    wanted = cells[np.ix_(rows, cols)]
    chosen = (wanted >= 0) & (rng.random(wanted.shape) < share)
    return features[chosen], wanted[chosen]


def _fit(method: str, features: np.ndarray, wanted: np.ndarray, n_classes: int, seed: int) -> Any:
    counts = torch.from_numpy(np.bincount(wanted, minlength=n_classes))
    weights = {i: float(w) for i, w in enumerate(class_weights(counts, 1.0)) if counts[i]}
    if method == "forest":
        model: Any = RandomForestClassifier(
            TREES, class_weight=weights, random_state=seed, n_jobs=1
        )
    else:
        regression = LogisticRegression(C=0.1, class_weight=weights, max_iter=100, tol=1e-3)
        model = make_pipeline(StandardScaler(), regression)
    return model.fit(features, wanted)


def _mask(
    model: Any,
    features: np.ndarray,
    shape: tuple[int, int],
    grid: WorkingGrid,
    stride: int,
    n_classes: int,
) -> np.ndarray:
    """Return the likeliest class 1..K of every pixel of an image."""
    chances = np.zeros((*features.shape[:2], n_classes), np.float32)
    flat = model.predict_proba(features.reshape(-1, features.shape[-1]))
    chances[..., model.classes_] = flat.reshape(*features.shape[:2], -1)
    pixels = torch.nn.functional.interpolate(
        torch.from_numpy(chances).permute(2, 0, 1)[None],
        [round(length * stride / grid.scale) for length in features.shape[:2]],
        mode="bilinear",
    )
    return pixels[0, :, : shape[0], : shape[1]].argmax(0).numpy() + 1
