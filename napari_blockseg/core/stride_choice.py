"""Which decoder stride was chosen, and why: a frozen record, to and from JSON.

Made by :mod:`~napari_blockseg.core.advice.strides`; stored with a model, sent by the worker, shown
before training.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

#: What a choice rests on. "labels": their spectrum; "model": that and the analysis of a model;
#: "kept": the model that training starts or goes on from; "paint": there is too little of it;
#: "only": this network has one stride.
Grounds = Literal["labels", "model", "kept", "paint", "only"]


class _Part(BaseModel):
    # Unknown keys are passed over: a newer version may say more.
    model_config = ConfigDict(frozen=True, extra="ignore")


class StrideCandidate(_Part):
    """One decoder stride, or one set of grids, and what it is expected to cost.

    Attributes
    ----------
    stride : int
        Working pixels per cell of the decoder's grid.
    way : str
        How features get there; see `NetworkConfig.truncation`.
    energy : float or None
        Share of the labels' energy (without the mean) that a grid this coarse can hold, 0..1.
    loss : float
        Predicted mean IoU that is lost, as a share of that on the full grid, 0..1.
    unsure : float
        Of `loss`, from having seen part of the labels only: one standard error.
    low, high : float
        About eight of ten ratios of mean IoU to that on the full grid lie between these.
    cost : float or None
        Multiply-adds as a share of the full grid's, where known; where all grids were looked at,
        predicted time as a share of that of the network that was asked for.
    measured : bool
        Whether a model's analysis had a say.
    output_stride : int or None
        Working pixels per cell of the encoder's end; None where only decoder strides were compared.
    input_scale : float
        Side of the network's input as a share of that at working scale.
    decoder : bool
        Whether there is a decoder; without one the logits are as coarse as the encoder's end.
    verdict : str
        Why it was taken or left, in a word or two; empty where only decoder strides were compared.
    """

    stride: int
    way: str = "area"
    energy: float | None = None
    loss: float
    unsure: float = 0.0
    low: float
    high: float
    cost: float | None = None
    measured: bool = False
    output_stride: int | None = None
    input_scale: float = 1.0
    decoder: bool = True
    verdict: str = ""

    @property
    def ratio(self) -> float:
        """Predicted mean IoU over that on the full grid."""
        return 1.0 - self.loss

    @property
    def name(self) -> str:
        """What it is, in words: its decoder stride and whatever else is truncated."""
        parts = [f"decoder stride {self.stride}" if self.decoder else "no decoder"]
        if self.output_stride is not None:
            parts.append(f"output stride {self.output_stride}")
        if self.input_scale != 1:
            parts.append(f"input x {self.input_scale:g}")
        return ", ".join(parts)


class StrideChoice(_Part):
    """The decoder stride that was chosen.

    Attributes
    ----------
    stride : int
        Working pixels per cell.
    way : str or None
        How features get there; None where that was not looked at.
    grounds : str
        What the choice rests on.
    reason : str
        A few sentences for someone who has not read the paper.
    tolerance : float
        The loss that was allowed, as a share of the mean IoU.
    candidates : tuple of StrideCandidate
        What there was to choose from, the finest first; empty where nothing was compared.
    scale : float or None
        Working pixels per pixel of the image.
    block : int or None
        Pixels of the image per block of the labels.
    model : str or None
        The model that had a say.
    output_stride, input_scale, decoder
        As in :class:`StrideCandidate`, of what was chosen.
    """

    stride: int
    way: str | None = None
    grounds: Grounds
    reason: str
    tolerance: float
    candidates: tuple[StrideCandidate, ...] = ()
    scale: float | None = None
    block: int | None = None
    model: str | None = None
    output_stride: int | None = None
    input_scale: float = 1.0
    decoder: bool = True

    @property
    def summary(self) -> str:
        """The first sentence of the reason."""
        return self.reason.partition(". ")[0].rstrip(".") + "."
