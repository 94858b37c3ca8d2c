"""How good a prediction is: confusion, IoU, pixel accuracy, boundary F-score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.boundaries import Boundaries
from napari_blockseg.core.errors import LabelError

IntArray = NDArray[np.integer[Any]]
BOUNDARY_TOLERANCE = 0.0075


class Confusion:
    """Pixels by true and predicted class, summed over images.

    Parameters
    ----------
    n_classes : int
        K. Masks hold 0 (void, counts nowhere) to K.
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        # One extra column: pixels of a class that were predicted as nothing.
        self._counts = np.zeros((n_classes, n_classes + 1), np.int64)

    def add(self, truth: IntArray, prediction: IntArray) -> None:
        """Count one image; pixels that are 0 in `truth` are passed over.

        Raises
        ------
        LabelError
            If the shapes differ or a value lies outside 0..K.
        """
        _check_pair(truth, prediction, self.n_classes)
        seen = truth > 0
        pairs = (truth[seen].astype(np.int64) - 1) * (self.n_classes + 1) + prediction[seen]
        counts = np.bincount(pairs, minlength=self._counts.size).reshape(self._counts.shape)
        # Column 0 holds "nothing": move it behind the classes.
        self._counts += np.roll(counts, -1, axis=1)

    @property
    def matrix(self) -> NDArray[np.int64]:
        """Pixels, (K, K): true class by predicted class."""
        return self._counts[:, : self.n_classes]

    @property
    def pixels(self) -> int:
        """Pixels that counted."""
        return int(self._counts.sum())

    def iou(self) -> NDArray[np.float64]:
        """Return intersection over union, (K,); NaN for classes that `truth` never had.

        Notes
        -----
        ``IoU = TP / (TP + FP + FN)`` from the summed confusion.
        """
        hits = np.diag(self.matrix).astype(np.float64)
        true = self._counts.sum(1)
        union = true + self.matrix.sum(0) - hits
        unseen = np.full(self.n_classes, np.nan)
        iou: NDArray[np.float64] = np.divide(hits, union, out=unseen, where=true > 0)
        return iou

    def miou(self) -> float | None:
        """Return the mean IoU over the classes that `truth` had, None without any."""
        return _mean_or_none(self.iou())

    def pixel_accuracy(self) -> float | None:
        """Return the share of pixels with the right class, None without any pixel."""
        return float(np.trace(self.matrix) / self.pixels) if self.pixels else None


class BoundaryF:
    """Boundary F-score: per class, averaged over the images that have the class.

    Parameters
    ----------
    n_classes : int
        K.
    tolerance : float
        Largest distance of matched boundary pixels, as a share of the image diagonal.

    Notes
    -----
    A boundary pixel of a class has a 4-neighbour of another class; void is no class, and pixels
    that are void in the truth count nowhere. ``F = 2 P R / (P + R)`` with P the share of predicted
    boundary pixels near a true one and R the reverse (Csurka et al., BMVC 2013).
    """

    def __init__(self, n_classes: int, tolerance: float = BOUNDARY_TOLERANCE) -> None:
        self.n_classes = n_classes
        self.tolerance = tolerance
        self._sum = np.zeros(n_classes)
        self._images = np.zeros(n_classes, np.int64)

    def add(self, truth: IntArray, prediction: IntArray) -> None:
        """Score one image.

        Raises
        ------
        LabelError
            If the shapes differ or a value lies outside 0..K.
        """
        self.count(boundary_scores(truth, [prediction], self.n_classes, self.tolerance)[0])

    def count(self, scores: NDArray[np.float64]) -> None:
        """Count one image by its scores, (K,), NaN for classes that it does not have."""
        has = ~np.isnan(scores)
        self._sum[has] += scores[has]
        self._images[has] += 1

    def scores(self) -> NDArray[np.float64]:
        """Return the score of each class, (K,); NaN for classes that no image had."""
        unseen = np.full(self.n_classes, np.nan)
        scores: NDArray[np.float64] = np.divide(
            self._sum, self._images, out=unseen, where=self._images > 0
        )
        return scores

    def mean(self) -> float | None:
        """Return the mean over classes, None without any."""
        return _mean_or_none(self.scores())


def boundary_scores(
    truth: IntArray,
    predictions: Sequence[IntArray],
    n_classes: int,
    tolerance: float = BOUNDARY_TOLERANCE,
) -> NDArray[np.float64]:
    """Return the boundary F-score of each class in each of several predictions for one mask.

    Parameters
    ----------
    truth, predictions : (rows, cols) int arrays
        0..K. What is looked up in the truth is shared by all predictions.
    n_classes : int
        K.
    tolerance : float
        Largest distance of matched boundary pixels, as a share of the image diagonal.

    Returns
    -------
    (predictions, K) float array
        As :class:`BoundaryF` defines it; NaN for classes that the truth does not have.

    Raises
    ------
    LabelError
        If the shapes differ or a value lies outside 0..K.
    """
    for prediction in predictions:
        _check_pair(truth, prediction, n_classes)
    radius = tolerance * float(np.hypot(*truth.shape))
    seen = truth > 0
    true = Boundaries(truth, radius)
    predicted = [Boundaries(np.where(seen, one, 0), radius) for one in predictions]
    scores = np.full((len(predictions), n_classes), np.nan)
    for value in np.unique(truth[seen]).tolist():
        near = true.near(value)
        for i, one in enumerate(predicted):
            scores[i, value - 1] = _boundary_score(true, near, one, value)
    return scores


def _boundary_score(
    true: Boundaries, near_true: NDArray[np.bool_], predicted: Boundaries, value: int
) -> float:
    true_points, points = true.points(value), predicted.points(value)
    if not true_points.size and not points.size:
        # No edge to find: right if the class is there at all.
        return float(predicted.has(value))
    if not true_points.size or not points.size:
        return 0.0
    precision = float(near_true[points].mean())
    recall = float(predicted.near(value)[true_points].mean())
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _mean_or_none(values: NDArray[np.float64]) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _check_pair(truth: IntArray, prediction: IntArray, n_classes: int) -> None:
    if truth.shape != prediction.shape:
        raise LabelError(
            f"Got a prediction of shape {prediction.shape} for a mask of shape {truth.shape}; "
            "they must be equal. Check that both belong to the same image."
        )
    for name, mask in (("mask", truth), ("prediction", prediction)):
        if mask.size and (int(mask.min()) < 0 or int(mask.max()) > n_classes):
            raise LabelError(
                f"Got {name} values {int(mask.min())} to {int(mask.max())}; expected 0 to "
                f"{n_classes}. Check that they use the same class list."
            )
