"""What is known about the labels of all pieces together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.spectrum import LabelSpectrum, combine, label_spectrum
from napari_blockseg.learn.analysis.observe import numbers
from napari_blockseg.learn.analysis.pieces import Piece
from napari_blockseg.learn.losses import class_weights


class LabelSums:
    """Counts and spectra of labels, summed over pieces.

    Parameters
    ----------
    n_classes : int
        K.
    cutoffs : (n,) float array
        Rising, in cycles per pixel of the image.

    Attributes
    ----------
    images, crops, pieces : int
        Images, those of them that were cut, and all pieces.
    pixels, labelled : int
        Pixels of the image in all pieces, and those that have a label.
    block : int
        Block size of the labels, in pixels.
    """

    def __init__(self, n_classes: int, cutoffs: NDArray[np.float64]) -> None:
        self._cutoffs = cutoffs
        self._counts = np.zeros(n_classes, np.int64)
        self._spectra: list[LabelSpectrum] = []
        self.images = self.crops = self.pieces = 0
        self.pixels = self.labelled = self.block = 0

    def add(self, pieces: Sequence[Piece]) -> None:
        """Add the pieces of one image."""
        self.images += 1
        self.crops += pieces[0].is_crop
        self.pieces += len(pieces)
        self.block = pieces[0].block
        for piece in pieces:
            cells = piece.target.cells.numpy()
            self._counts += np.bincount(cells[cells >= 0], minlength=len(self._counts))
            self.pixels += piece.mask.size
            self.labelled += piece.n_labelled
            self._spectra.append(
                label_spectrum(piece.values, len(self._counts), piece.block, self._cutoffs)
            )

    def weights(self, class_balance: float) -> Tensor:
        """Return the weights of the classes in the loss, (K,), as training makes them."""
        return class_weights(torch.from_numpy(self._counts), class_balance)

    def energy(self) -> tuple[float | None, ...]:
        """Return the share of the labels' energy below each cutoff; None above their Nyquist."""
        nyquist = 0.5 / self.block * (1 + 1e-9)
        shares = numbers(combine(self._spectra).mean)
        return tuple(
            share if cutoff <= nyquist else None
            for cutoff, share in zip(self._cutoffs, shares, strict=True)
        )

    def describe(self) -> str:
        """Return in words what kind of labels they are."""
        what = "dense masks" if self.block == 1 else f"blocks of {self.block} pixels"
        return f"{what}, {self.labelled / self.pixels:.0%} of the pixels labelled"
