"""One pass of a network over one piece: logits, features, and the gradients of training's loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_blockseg.core.analysis import LossCurve
from napari_blockseg.core.metrics import Confusion
from napari_blockseg.core.spectrum import LossSpectrum, LossSpectrumSum
from napari_blockseg.learn.analysis.layers import LayerProbe, Seen
from napari_blockseg.learn.analysis.pieces import Piece
from napari_blockseg.learn.losses import batch_loss
from napari_blockseg.learn.stitching import RowUpsampler
from napari_blockseg.nets.network import MULTIPLE, Network
from napari_blockseg.nets.truncation import upsample

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass gave.

    Parameters
    ----------
    coarse : (K, cell rows, cell cols) tensor
        Logits on the decoder's grid.
    logits : (K, rows, cols) float32 array
        Logits at working scale.
    features : list of tensors
        The encoder's, cut off from the graph.
    layers : list of Seen
        Every layer's output, with gradients; empty when layers are not asked for.
    padded : (rows, cols)
        Of the image in working pixels, with the network's padding.
    """

    coarse: Tensor
    logits: NDArray[np.float32]
    features: list[Tensor]
    layers: list[Seen]
    padded: tuple[int, int]


def run_network(
    network: Network, piece: Piece, device: torch.device, weights: Tensor, kind: Any, layers: bool
) -> Pass:
    """Run a network over a piece; with `layers` also backwards, on the loss of its training.

    Parameters
    ----------
    network : Network
        In eval mode (batch norm keeps its statistics), on `device`, its parameters without
        gradients: only those of activations are wanted.
    piece : Piece
        What to look at.
    device : torch.device
        Where the network is.
    weights : (K,) float tensor
        Weight of each class in the loss.
    kind : {"block", "pixel"}
        The loss.
    layers : bool
        Whether to listen to the layers.
    """
    image = piece.image[None].to(
        device=device, dtype=torch.float32, memory_format=torch.channels_last
    )
    probe = LayerProbe(network)
    # The caller may be in any mode; the graph is needed for the layers, and only for them.
    with torch.inference_mode(False), torch.set_grad_enabled(layers):
        with probe.listening() as seen:
            logits = network(image.requires_grad_(layers))
        if layers:
            target = piece.target.to(device)
            batch_loss(logits, [target], weights.to(device), kind).backward()  # type: ignore[no-untyped-call]
    return Pass(
        coarse=probe.coarse[0].detach().float().cpu(),
        logits=logits[0].detach().float().cpu().numpy(),
        features=[one.detach() for one in probe.features],
        layers=seen if layers else [],
        padded=(_padded(image.shape[-2]), _padded(image.shape[-1])),
    )


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE


class LossSum:
    """The spectrum of the loss, summed over pieces.

    Parameters
    ----------
    cutoffs : (n,) float array
        Rising, in cycles per working pixel.
    scale : float
        Working pixels per pixel of the image.
    """

    def __init__(self, cutoffs: FloatArray, scale: float) -> None:
        self._sum = LossSpectrumSum(cutoffs)
        self._scale = scale

    def add(self, logits: NDArray[np.float32], piece: Piece) -> None:
        """Add one piece; `logits` (K, rows, cols) are at working scale."""
        values = piece.working_values()
        if values is not None:
            self._sum.add(logits, values)
        else:
            self._sum.add(logits, soft_labels=piece.soft_labels(len(logits)))

    def curve(self) -> LossCurve:
        """Return the curve, with cutoffs in cycles per pixel of the image."""
        found: LossSpectrum = self._sum.result()
        return LossCurve(
            cutoffs=tuple(float(one) for one in found.cutoffs * self._scale),
            truncated=tuple(float(one) for one in found.truncated),
            cross_entropy=found.cross_entropy,
            mean_term=found.mean_term,
            discrepancy=numbers(found.discrepancy),
            discrepancy_of_mean=numbers(found.discrepancy_of_mean),
        )


class ScoreSum:
    """Cross-entropy and confusion of one decoder stride, summed over pieces.

    Parameters
    ----------
    n_classes : int
        K.
    stride : int
        Working pixels per cell of the decoder's grid.
    align_corners : bool
        How the network spreads its logits; see :class:`~napari_blockseg.nets.network.Network`.
    logits_stride : int, optional
        Working pixels per cell of the logits, where that is another number.
    """

    def __init__(
        self,
        n_classes: int,
        stride: int,
        align_corners: bool = False,
        logits_stride: int | None = None,
    ) -> None:
        self.stride = stride
        self._cell = logits_stride or stride
        self._align_corners = align_corners
        self.confusion = Confusion(n_classes)
        self._loss = 0.0
        self._weight = 0.0

    def add(self, coarse: Tensor, piece: Piece) -> None:
        """Add one piece.

        Parameters
        ----------
        coarse : (K, cell rows, cell cols) float32 tensor
            Logits on their own grid, on the CPU.
        piece : Piece
            What they are of. The cross-entropy is taken at working scale, as in training; the
            confusion at the pixels of the image, as a prediction has them.
        """
        rows, cols = piece.image.shape[-2:]
        logits = upsample(coarse[None], self._cell, self._align_corners)[..., :rows, :cols]
        values = piece.working_values()
        if values is not None:
            wanted = torch.from_numpy(values.astype(np.int64))[None] - 1
            losses = F.cross_entropy(logits, wanted, ignore_index=-1, reduction="none")
            self._weight += int((wanted >= 0).sum())
        else:
            shares = torch.from_numpy(piece.soft_labels(logits.shape[1]))[None]
            losses = -(shares * logits.log_softmax(1))
            self._weight += float(shares.sum(dtype=torch.float64))
        self._loss += float(losses.sum(dtype=torch.float64))
        self._count(coarse, piece)

    def _count(self, coarse: Tensor, piece: Piece) -> None:
        rows, cols = piece.mask.shape
        upsampler = RowUpsampler(rows, cols, self._cell / piece.grid.scale)
        for start, logits in upsampler.push(coarse, last=True):
            truth = piece.mask[start : start + logits.shape[1]]
            self.confusion.add(truth, logits.argmax(0).numpy() + 1)

    @property
    def cross_entropy(self) -> float:
        """Mean over the labelled pixels, in nats."""
        return self._loss / self._weight if self._weight else float("nan")


def numbers(values: FloatArray | Sequence[float]) -> tuple[float | None, ...]:
    """Return floats, None where there is no number."""
    return tuple(float(one) if np.isfinite(one) else None for one in values)
