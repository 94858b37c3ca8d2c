"""The cross-entropy by frequency: how much of a loss lies below a cutoff.

Source: Chen, Chiu, Wu, "Spectral Analysis for Semantic Segmentation with Applications on Feature
Truncation and Weak Annotation", arXiv 2012.14123; derived again, and tested to machine precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_blockseg.core.errors import BlockSegError, LabelError
from napari_blockseg.core.spectrum.bands import (
    ComplexArray,
    FloatArray,
    IntArray,
    both_sides,
    sum_below,
)


@dataclass(frozen=True, eq=False)
class LossSpectrum:
    """The cross-entropy that is left when the labels are low-passed, cutoff by cutoff.

    Attributes
    ----------
    cutoffs : (n,) float array
        Cycles per pixel, rising.
    truncated : (n,) float array
        Mean per labelled pixel, in nats: the terms inside the band, which are the cross-entropy
        of the same logits against labels low-passed at the cutoff. NaN without labelled pixels.
    cross_entropy : float
        L, the cross-entropy itself, mean per labelled pixel.
    mean_term : float
        ``truncated`` at a cutoff of 0: what the mean of the labels alone gives.
    n_labelled : int
        Pixels that counted (for soft labels: their sum, rounded).

    Notes
    -----
    `discrepancy` is mostly a measure of logit scale: on one label map it ran from 0.03 at a
    cross-entropy of 1.28 to 68 at 0.008. Read it beside the cross-entropy, at one state of
    training; `discrepancy_of_mean` moves far less.
    """

    cutoffs: FloatArray
    truncated: FloatArray
    cross_entropy: float
    mean_term: float
    n_labelled: int

    @property
    def discrepancy(self) -> FloatArray:
        """``R = |truncated - L| / L``, (n,); NaN where L is 0."""
        return _ratio(np.abs(self.truncated - self.cross_entropy), self.cross_entropy)

    @property
    def discrepancy_of_mean(self) -> FloatArray:
        """``(truncated - L) / mean_term``, (n,); NaN where the mean term is 0."""
        return _ratio(self.truncated - self.cross_entropy, self.mean_term)


class LossSpectrumSum:
    """Sums the cross-entropy by frequency over images, one at a time.

    Parameters
    ----------
    cutoffs : (n,) float array
        Cycles per pixel of what is given to `add`, not negative, rising.

    Raises
    ------
    BlockSegError
        If the cutoffs are negative or do not rise.

    Notes
    -----
    Images may differ in size: every image is cut at the same frequencies, the sums are added and
    divided once by all labelled pixels. Besides the logits, memory holds a few maps of one image,
    whatever the number of classes. FFTs run in the precision of the logits, sums in float64: with
    float32 logits `truncated` is good to about 1e-7 of `mean_term`, `cross_entropy` to 1e-5 of
    itself; give float64 to see closer than that.

    Examples
    --------
    >>> logits = np.array([[[3.0, 3.0, -1.0, -1.0]], [[0.0, 0.0, 0.0, 0.0]]])
    >>> total = LossSpectrumSum(np.array([0.0, 0.5]))
    >>> total.add(logits, np.array([[1, 1, 2, 2]]))
    >>> found = total.result()
    >>> bool(np.isclose(found.truncated[-1], found.cross_entropy))
    True
    """

    def __init__(self, cutoffs: FloatArray) -> None:
        self.cutoffs = _checked_cutoffs(cutoffs)
        self._truncated = np.zeros(len(self.cutoffs))
        self._loss = 0.0
        self._mean_term = 0.0
        self._weight = 0.0

    def add(
        self,
        logits: FloatArray,
        values: IntArray | None = None,
        *,
        soft_labels: FloatArray | None = None,
    ) -> None:
        """Count one image; one without a labelled pixel adds nothing.

        Parameters
        ----------
        logits : (K, rows, cols) float array
            Finite.
        values : (rows, cols) int array
            0 = unlabelled, 1..K.
        soft_labels : (K, rows, cols) float array, in place of `values`
            ``B * W``, for instance averaged over blocks or low-passed; 0 in every map where
            nothing is known.

        Raises
        ------
        LabelError
            If logits and labels do not fit each other.
        """
        labels = _checked_labels(logits, values, soft_labels)
        terms, loss, weight = _cross_terms(logits, labels)
        self._truncated += sum_below(terms, _plane(logits), self.cutoffs)
        self._loss += loss
        self._mean_term += float(terms[0, 0])
        self._weight += weight

    def result(self) -> LossSpectrum:
        """Return the means over all labelled pixels seen so far."""
        weight = self._weight if self._weight > 0 else np.nan
        return LossSpectrum(
            cutoffs=self.cutoffs,
            truncated=self._truncated / weight,
            cross_entropy=self._loss / weight,
            mean_term=self._mean_term / weight,
            n_labelled=round(self._weight),
        )


def cross_entropy_by_frequency(
    logits: FloatArray,
    values: IntArray | None = None,
    *,
    soft_labels: FloatArray | None = None,
) -> FloatArray:
    """Return the terms whose sum is the cross-entropy summed over the labelled pixels.

    Parameters
    ----------
    logits, values, soft_labels
        As in :meth:`LossSpectrumSum.add`.

    Returns
    -------
    (rows, cols // 2 + 1) float64 array
        Nats. Each bin holds its own term and that of its conjugate at the negative frequency,
        where there is one: the plain sum is the whole loss. Frequencies as in `square_frequency`.

    Raises
    ------
    LabelError
        If logits and labels do not fit each other.

    Notes
    -----
    ``sum CE = (1 / P) Re sum_f sum_c conj(b[c](f)) (yp(f) - y[c](f))`` with P pixels, b the DFT of
    ``B * W``, y that of the logits and yp that of ``logsumexp_c(Y)`` (METHOD, identity 1; arXiv
    2012.14123). Where every pixel is labelled, yp matters at DC only, since the one-hot maps sum
    to 1; with unlabelled pixels it matters everywhere, so it is never dropped.
    """
    terms = _cross_terms(logits, _checked_labels(logits, values, soft_labels))[0]
    folded: FloatArray = terms * both_sides(_plane(logits)[1])
    return folded


def truncated_cross_entropy(
    logits: FloatArray,
    values: IntArray | None,
    cutoffs: FloatArray,
    *,
    soft_labels: FloatArray | None = None,
) -> FloatArray:
    """Return the cross-entropy against labels low-passed at each cutoff, (n,), mean in nats.

    Parameters
    ----------
    logits, values, soft_labels
        As in :meth:`LossSpectrumSum.add`.
    cutoffs : (n,) float array
        Cycles per pixel, rising.

    Notes
    -----
    The sum of the terms of :func:`cross_entropy_by_frequency` inside the band equals the
    cross-entropy of the same logits against the ideally low-passed labels (METHOD, identity 3):
    one set of FFTs gives the whole curve. The low-passed labels have negative lobes, which belong
    to it, so a truncated cross-entropy can lie below 0.
    """
    total = LossSpectrumSum(cutoffs)
    total.add(logits, values, soft_labels=soft_labels)
    return total.result().truncated


def gradient_by_frequency(
    kernels: ComplexArray, probabilities: FloatArray, maps: FloatArray
) -> ComplexArray:
    """Return the spectrum of the summed loss's gradient to the features before the last layer.

    Parameters
    ----------
    kernels : (K, D, rows, cols // 2 + 1) complex array
        rfft2 of the kernels of a circular convolution from D features straight to K logits, each
        kernel laid into an array of (rows, cols) with its centre at [0, 0].
    probabilities : (K, rows, cols) float array
        ``S * W``: softmax of the logits, 0 at unlabelled pixels.
    maps : (K, rows, cols) float array
        ``B * W``, one-hot or soft labels.

    Returns
    -------
    (D, rows, cols // 2 + 1) complex array
        rfft2 of the gradient.

    Notes
    -----
    ``dL/dx[d](f) = sum_c conj(k[c,d](f)) (s[c](f) - b[c](f))`` (METHOD, identity 6). Exact for
    this case only: ReLU, batch norm, zero padding and up-sampling lie outside it, so gradients of
    real networks have to be measured.
    """
    residual = fft.rfft2(np.asarray(probabilities) - np.asarray(maps))
    gradient: ComplexArray = np.einsum("cdij,cij->dij", kernels.conj(), residual)
    return gradient


# -- one image -----------------------------------------------------------------------------------


def _cross_terms(
    logits: FloatArray, labels: IntArray | FloatArray
) -> tuple[NDArray[np.float64], float, float]:
    # The terms of one half of the spectrum, the loss summed over pixels, the weight of the labels.
    plane = _plane(logits)
    terms = np.zeros((plane[0], plane[1] // 2 + 1))
    loss = weight = 0.0
    for label, surprise in _class_maps(logits, labels):
        loss += float(np.sum(label * surprise, dtype=np.float64))
        weight += float(np.sum(label, dtype=np.float64))
        b, t = fft.rfft2(label), fft.rfft2(surprise)
        terms += b.real * t.real + b.imag * t.imag
    return terms / (plane[0] * plane[1]), loss, weight


def _class_maps(
    logits: FloatArray, labels: IntArray | FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    # (B * W, Yp - Y) of one class after the other; a class that is not there adds nothing.
    # Yp is subtracted before the FFT: the large common part of the logits then cancels exactly.
    partition = _log_sum_exp(logits)
    hard = labels.ndim == 2
    for c, one in enumerate(logits):
        label = labels == c + 1 if hard else labels[c]
        if label.any():
            yield label.astype(partition.dtype, copy=False), partition - one


def _log_sum_exp(logits: FloatArray) -> FloatArray:
    # Class by class: scipy's would hold several arrays of the size of the logits.
    dtype = np.result_type(logits.dtype, np.float32)
    top = logits.max(axis=0).astype(dtype)
    total = np.zeros_like(top)
    for one in logits:
        total += np.exp(one - top)
    partition: FloatArray = top + np.log(total)
    return partition


def _plane(logits: FloatArray) -> tuple[int, int]:
    return logits.shape[1], logits.shape[2]


def _ratio(part: FloatArray, whole: float) -> FloatArray:
    return part / whole if whole else np.full(part.shape, np.nan)


def _checked_cutoffs(cutoffs: FloatArray) -> FloatArray:
    cutoffs = np.atleast_1d(np.asarray(cutoffs, np.float64))
    if cutoffs.ndim != 1 or not (cutoffs >= 0).all() or (np.diff(cutoffs) < 0).any():
        raise BlockSegError(
            f"Got cutoffs {cutoffs}; expected a list that rises, in cycles per pixel, from 0 on. "
            "Sort them."
        )
    return cutoffs


def _checked_labels(
    logits: FloatArray, values: IntArray | None, soft_labels: FloatArray | None
) -> IntArray | FloatArray:
    labels = soft_labels if values is None else values
    if labels is None or (values is not None and soft_labels is not None):
        raise LabelError("Got no labels, or two kinds; expected `values` or `soft_labels`.")
    wanted = logits.shape if values is None else logits.shape[1:]
    if logits.ndim != 3 or labels.shape != wanted:
        raise LabelError(
            f"Got logits of shape {logits.shape} and labels of shape {labels.shape}; expected "
            "(K, rows, cols) and the same rows and cols. Resize the logits to the labels."
        )
    if values is not None and values.size and not 0 <= values.min() <= values.max() <= len(logits):
        raise LabelError(
            f"Got labels {values.min()} to {values.max()} for {len(logits)} classes; expected 0 "
            f"(unlabelled) to {len(logits)}. Check that network and labels share a class list."
        )
    if not all(np.isfinite(one).all() for one in logits):
        raise LabelError(
            "Got logits that are not finite; a spectrum needs a number at every pixel. Check "
            "whether training diverged."
        )
    return labels
