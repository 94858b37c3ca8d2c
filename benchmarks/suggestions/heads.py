"""The learner of interactive mode: a linear head on a frozen encoder's features.

The features of every image are made once and kept under ``--work``; a head is fitted to the labels
of all images together, as interactive mode fits it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from data_sets import Source
from painting import Annotator
from plan import BLOCK, DATA, Cell

from napari_blockseg.core.chances import PlaneChances, block_means, uncertainty
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.files.featurecache import FeatureCache
from napari_blockseg.learn.data import WorkingGrid, class_lookup
from napari_blockseg.learn.interactive.features import LRG, PlaneFeatures
from napari_blockseg.learn.interactive.foundation import Foundation
from napari_blockseg.learn.interactive.head import (
    ITERATIONS,
    Head,
    Sample,
    fit,
    gather,
    label_points,
    measure_scaling,
    thinned,
)

NETWORK = NetworkConfig(decoder_stride=4, shortcut=False)
#: Labelled points that a fit looks at. Interactive mode takes 4,000 at once and 20,000 later.
POINTS = 8_000
#: Images that channels are standardized by, as many as interactive mode takes.
_SCALED_BY = 16
_WHOLE = (0, 0)


class Heads:
    """Features of the training and test images of a data set, and heads on them.

    Parameters
    ----------
    data : str
        A key of `plan.DATA`.
    annotator : Annotator
        Of that data set.
    work : Path
        Folder that keeps the features.
    """

    def __init__(self, data: str, annotator: Annotator, work: Path) -> None:
        self._annotator = annotator
        self._grid = WorkingGrid.for_scale(BLOCK[data], DATA[data].scale)
        self._classes = annotator.classes
        images = annotator.images({})
        first = images[0].pixels
        self._normalization = Normalization.for_dtype(first.dtype)
        store = FeatureCache(work / "features" / data, 8 * 2**30)
        foundation = Foundation(
            NETWORK, TrainConfig(device="cpu"), first.shape[-1], len(self._classes), store
        )
        self._maker = foundation.maker
        self._train = {
            one.image_id: self._plane("train", one.image_id, one.pixels) for one in images
        }
        self._features = {s: self._maker.get(p, _WHOLE) for s, p in self._train.items()}
        step = max(1, len(images) // _SCALED_BY)
        self._scaling = measure_scaling(list(self._features.values())[::step])
        self._test = self._test_set(Source(DATA[data], "test"))
        self._known: dict[str, Head] = {}

    def learned(self, cell: Cell, known: dict[str, Any]) -> Head:
        """Return the head of a cell."""
        if cell.name not in self._known:
            self._known[cell.name] = self._fitted(known)
        return self._known[cell.name]

    def _fitted(self, known: dict[str, Any]) -> Head:
        """Return the head of the blocks that are labelled, from about `POINTS` points of them."""
        lookup = class_lookup(self._classes)
        labels = {one.image_id: one.labels.values for one in self._annotator.images(known)}
        found = {
            stem: label_points(lookup[v], self._grid.side / self._grid.split)
            for stem, v in labels.items()
        }
        classes = np.concatenate([of for _, of in found.values()])
        chosen = thinned(classes, POINTS)
        ends = np.cumsum([len(of) for _, of in found.values()])
        points = [
            gather(self._features[stem], at[mine - end + len(at)])
            for (stem, (at, _)), end in zip(found.items(), ends, strict=True)
            if len(mine := chosen[(chosen >= end - len(at)) & (chosen < end)])
        ]
        counts = torch.from_numpy(np.bincount(classes, minlength=len(self._classes)))
        sample = Sample(torch.cat(points), torch.from_numpy(classes[chosen]), counts)
        return fit(sample, self._scaling)

    def chances(self, head: Head, known: dict[str, Any]) -> list[PlaneChances]:
        """Return what a head says about the blocks of the training images."""
        return [
            self._chances(head, image.image_id, image.labels)
            for image in self._annotator.images(known)
        ]

    def score(self, head: Head) -> dict[str, Any]:
        """Return the scores on the test images, over the confusion summed over them."""
        confusion = Confusion(len(self._classes))
        for features, mask in self._test:
            logits = F.interpolate(head.logits(features)[None], scale_factor=2, mode="bilinear")[0]
            found = logits[:, : mask.shape[0], : mask.shape[1]].argmax(0).numpy() + 1
            confusion.add(mask, found.astype(mask.dtype))
        return {
            "miou": confusion.miou(),
            "iou": [None if x != x else float(x) for x in confusion.iou()],
            "pixel_accuracy": confusion.pixel_accuracy(),
        }

    def settings(self, seed: int) -> dict[str, Any]:
        """Return how it learns; the seed decides nothing but the blocks."""
        del seed
        return {
            "encoder": NETWORK.encoder,
            "points": POINTS,
            "iterations": ITERATIONS,
            "scored_every": self._step,
        }

    @property
    def _step(self) -> int:
        """Scored is one pixel in so many, each way: the middle of half a cell of the LRG."""
        return round(LRG / 2 / self._grid.scale)

    def _test_set(self, source: Source) -> list[tuple[Any, Any]]:
        first, step = self._step // 2, self._step
        return [
            (
                self._maker.get(self._plane("test", stem, pixels), _WHOLE),
                mask[first::step, first::step],
            )
            for stem, pixels, mask in source.pairs()
        ]

    def _plane(self, split: str, stem: str, pixels: Any) -> PlaneFeatures:
        plane = PlaneFeatures([split, stem], pixels, self._normalization, self._grid)
        if plane.tiles() != [_WHOLE]:
            raise ValueError(f"{stem}: this study takes images of one tile; it has several.")
        return plane

    def _chances(self, head: Head, stem: str, labels: Any) -> PlaneChances:
        features, side = self._features[stem], max(1, self._grid.side // LRG)
        rows, cols = (n * side for n in labels.values.shape)
        cells = torch.softmax(head.logits(features)[:, :rows, :cols], 0).numpy()
        grid = BlockGrid((rows, cols), side)
        return PlaneChances(
            stem,
            labels,
            np.moveaxis(block_means(cells, grid), 0, -1),
            block_means(uncertainty(np.moveaxis(cells, 0, -1)), grid),
        )
