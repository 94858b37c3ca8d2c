"""Soft and hard IoU from spectra: how much of an overlap lies below a cutoff.

Source: arXiv 2012.14123 (METHOD, identity 5), derived again and tested to machine precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_blockseg.core.errors import LabelError
from napari_blockseg.core.spectrum.bands import FloatArray, IntArray, sum_below


class OverlapSum:
    """Sums the overlap of predictions and labels over images, one at a time, by frequency.

    Parameters
    ----------
    n_classes : int
        K.
    cutoffs : (n,) sequence of float
        Cycles per pixel, rising; for :meth:`truncated_iou`.

    Notes
    -----
    ``IoU = X / (s(0) + b(0) - X)`` with ``X = (1 / P) Re sum_f s(f) conj(b(f))``, s and b the DFTs
    of ``S * W`` and ``B * W``, P the pixels. By Parseval X is the sum of ``S * B`` over labelled
    pixels. Over several images X, s(0) and b(0) are summed first. With probabilities it is the
    soft IoU, with the one-hot maps of a prediction the IoU of its confusion.

    Examples
    --------
    >>> total = OverlapSum(2, cutoffs=[0.5])
    >>> total.add_prediction(np.array([[1, 1, 2, 2]]), np.array([[1, 2, 2, 0]]))
    >>> total.iou().round(3).tolist()
    [0.5, 0.5]
    """

    def __init__(self, n_classes: int, cutoffs: Sequence[float] | FloatArray = ()) -> None:
        self.n_classes = n_classes
        self.cutoffs = np.asarray(cutoffs, np.float64)
        # Shared energy below each cutoff, then all of it.
        self._shared = np.zeros((n_classes, len(self.cutoffs) + 1))
        self._predicted = np.zeros(n_classes)
        self._labelled = np.zeros(n_classes)

    def add(self, probabilities: FloatArray, values: IntArray) -> None:
        """Count one image.

        Parameters
        ----------
        probabilities : (K, rows, cols) float array
            Softmax of the logits.
        values : (rows, cols) int array
            0 = unlabelled, 1..K.

        Raises
        ------
        LabelError
            If shapes or classes do not fit each other.
        """
        if probabilities.ndim != 3 or len(probabilities) != self.n_classes:
            raise LabelError(
                f"Got probabilities of shape {probabilities.shape}; expected ({self.n_classes}, "
                "rows, cols), one map a class. Check that both use the same class list."
            )
        _check_values(probabilities.shape[1:], values, self.n_classes)
        for c, one in enumerate(probabilities):
            self._add_class(c, one, values)

    def add_prediction(self, prediction: IntArray, values: IntArray) -> None:
        """Count one image by its predicted classes, (rows, cols) ints 0..K (0 is no class).

        Raises
        ------
        LabelError
            If shapes or classes do not fit each other.
        """
        _check_values(prediction.shape, values, self.n_classes)
        for c in range(self.n_classes):
            self._add_class(c, (prediction == c + 1).astype(np.float64), values)

    def _add_class(self, c: int, probability: FloatArray, values: IntArray) -> None:
        shape = (values.shape[0], values.shape[1])
        dtype = np.result_type(probability.dtype, np.float32)
        seen = np.where(values > 0, probability, 0).astype(dtype, copy=False)
        s, b = fft.rfft2(seen), fft.rfft2((values == c + 1).astype(dtype))
        terms = (s.real * b.real + s.imag * b.imag) / values.size
        self._shared[c] += sum_below(terms, shape, np.append(self.cutoffs, 1.0))
        self._predicted[c] += float(s[0, 0].real)
        self._labelled[c] += float(b[0, 0].real)

    def iou(self) -> NDArray[np.float64]:
        """Return the IoU of each class, (K,); NaN for classes that no label has."""
        return self._ratio(self._shared[:, -1:])[:, 0]

    def truncated_iou(self) -> NDArray[np.float64]:
        """Return the IoU against labels low-passed at each cutoff, (K, n).

        Notes
        -----
        X keeps the terms inside the band; s(0) and b(0) always lie inside.
        """
        return self._ratio(self._shared[:, :-1])

    def _ratio(self, shared: NDArray[np.float64]) -> NDArray[np.float64]:
        union = (self._predicted + self._labelled)[:, None] - shared
        unseen = np.full(shared.shape, np.nan)
        there = np.broadcast_to(self._labelled[:, None] > 0.5, shared.shape)
        ratio: NDArray[np.float64] = np.divide(shared, union, out=unseen, where=there)
        return ratio


def soft_iou(probabilities: FloatArray, values: IntArray) -> NDArray[np.float64]:
    """Return the soft IoU of one image, (K,): see :class:`OverlapSum`."""
    total = OverlapSum(len(probabilities))
    total.add(probabilities, values)
    return total.iou()


def hard_iou(
    prediction: IntArray, values: IntArray, n_classes: int | None = None
) -> NDArray[np.float64]:
    """Return the IoU of one image's predicted classes, (K,): see :class:`OverlapSum`.

    K is the largest class of both when `n_classes` is not given.
    """
    largest = max(int(np.max(prediction, initial=1)), int(np.max(values, initial=1)))
    total = OverlapSum(largest if n_classes is None else n_classes)
    total.add_prediction(prediction, values)
    return total.iou()


def _check_values(shape: tuple[int, ...], values: IntArray, n_classes: int) -> None:
    if values.shape != shape:
        raise LabelError(
            f"Got a prediction of shape {shape} for labels of shape {values.shape}; they must be "
            "equal. Check that both belong to the same image."
        )
    if values.size and not 0 <= values.min() <= values.max() <= n_classes:
        raise LabelError(
            f"Got labels {values.min()} to {values.max()}; expected 0 (unlabelled) to {n_classes}. "
            "Check that prediction and labels share a class list."
        )
