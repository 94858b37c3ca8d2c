"""Truncation really applied: the trained weights, run with coarser decoders, without retraining."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_blockseg.core.analysis import TruncationTrial
from napari_blockseg.core.config import STRIDES
from napari_blockseg.learn.analysis.observe import ScoreSum
from napari_blockseg.learn.analysis.pieces import Piece
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import MULTIPLE, Network, pad_to_multiple
from napari_blockseg.nets.truncation import fit_ways

#: How much mIoU may fall, and by what share the cross-entropy may rise (or by how many nats, where
#: it is so small that a share says nothing), for a stride to be recommended.
MIOU_TOLERANCE = 0.01
LOSS_TOLERANCE = 0.05
_LOSS_NATS = 0.01
#: What the truncation throws away is read off this layer: the last one before the logits.
DECODER_LAYER = "fused features"


class Trials:
    """Runs one decoder a stride on the same features and scores them.

    Parameters
    ----------
    model : Model
        The weights of its decoder and shortcut are taken; they do not depend on the stride.
    """

    def __init__(self, model: Model) -> None:
        self._device = model.device
        self._trained = model.network.decoder_stride
        networks = {stride: _network(model, stride) for stride in STRIDES}
        # A network without a decoder has no stride finer than its encoder's end.
        networks = {s: network for s, network in networks.items() if network.decoder_stride == s}
        n_classes, spread = len(model.spec.classes), model.network.align_corners
        self._networks = networks
        self.scores = {
            stride: ScoreSum(n_classes, stride, spread, network.logits_stride)
            for stride, network in networks.items()
        }
        # No layer was looked at until someone says otherwise.
        self.energy_below: Callable[[str, int], float | None] = lambda name, stride: None

    def add(self, features: list[Tensor], coarse: Tensor, piece: Piece) -> None:
        """Score every stride on one piece.

        Parameters
        ----------
        features : list of tensors
            The encoder's, of this piece.
        coarse : (K, cell rows, cell cols) tensor
            Logits of the trained stride: they are there already.
        piece : Piece
            What they are of.
        """
        image = pad_to_multiple(piece.image[None].float(), MULTIPLE).to(self._device)
        for stride, network in self._networks.items():
            logits = coarse
            if stride != self._trained:
                with torch.inference_mode(False), torch.no_grad():
                    logits = network.decode(image, features)[0].float().cpu()
            self.scores[stride].add(logits, piece)

    def results(self) -> tuple[TruncationTrial, ...]:
        """Return the scores, the finest stride first."""
        return tuple(self._result(score) for score in self.scores.values())

    def _result(self, score: ScoreSum) -> TruncationTrial:
        kept = self.energy_below(DECODER_LAYER, score.stride)
        return TruncationTrial(
            decoder_stride=score.stride,
            cross_entropy=score.cross_entropy,
            miou=score.confusion.miou(),
            pixel_accuracy=score.confusion.pixel_accuracy(),
            predicted_loss_of_energy=None if kept is None else 1 - kept,
        )


def _network(model: Model, stride: int) -> Network:
    spec = model.spec
    changes: dict[str, object] = {"decoder_stride": stride, "weights": "none"}
    if spec.network.truncation == "polyphase" and stride != spec.network.stride:
        # A branch of another stride has learned nothing: what is measured is the mean alone.
        changes["truncation"] = "area"
    config = spec.network.model_copy(update=changes)
    # Building draws weights that are not wanted, from everybody's generator.
    with torch.random.fork_rng(devices=[]):
        network = build_network(config, len(spec.classes), spec.n_channels)
    decoder, shortcut = network.decoder, network.shortcut
    decoder.load_state_dict(fit_ways(model.network.decoder.state_dict(), decoder))
    if shortcut is not None and model.network.shortcut is not None:
        shortcut.load_state_dict(model.network.shortcut.state_dict())
    network.encoder = model.network.encoder  # one for all: only decoders differ
    network.to(device=model.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().requires_grad_(False)


def recommend_stride(trials: Sequence[TruncationTrial], trained: int) -> tuple[int | None, str]:
    """Return the coarsest decoder stride that costs next to nothing, and why, in plain words.

    Parameters
    ----------
    trials : sequence of TruncationTrial
        At rising strides, the trained one among them.
    trained : int
        The stride it was trained with; finer ones are never recommended.

    Returns
    -------
    stride : int or None
        The coarsest up to which mIoU falls by at most `MIOU_TOLERANCE` and the cross-entropy rises
        by at most `LOSS_TOLERANCE`; None when nothing could be scored.
    reason : str
        With the measured changes.
    """
    base = next(one for one in trials if one.decoder_stride == trained)
    if base.miou is None:
        return None, "Nothing could be scored, so no decoder stride can be recommended."
    chosen, refused = base, None
    for trial in trials:
        if trial.decoder_stride <= trained:
            continue
        if not _costs_little(trial, base):
            refused = trial
            break
        chosen = trial
    return chosen.decoder_stride, _reason(base, chosen, refused)


def _costs_little(trial: TruncationTrial, base: TruncationTrial) -> bool:
    allowed = max(LOSS_TOLERANCE * base.cross_entropy, _LOSS_NATS)
    drop = (base.miou or 0.0) - (trial.miou or 0.0)
    return drop <= MIOU_TOLERANCE and trial.cross_entropy - base.cross_entropy <= allowed


def _reason(base: TruncationTrial, chosen: TruncationTrial, refused: TruncationTrial | None) -> str:
    if chosen is base:
        text = f"Keep decoder stride {base.decoder_stride}."
    else:
        text = (
            f"The decoder can work on a grid of {chosen.decoder_stride} pixels a cell instead of "
            f"{base.decoder_stride}, which is cheaper: {_change(chosen, base)}."
        )
    if refused is not None:
        verb = "At" if chosen is base else "Not coarser: at"
        text += f" {verb} {refused.decoder_stride}, {_change(refused, base)}."
    allowed = f"mIoU may fall by {MIOU_TOLERANCE:g}, the cross-entropy rise by {LOSS_TOLERANCE:.0%}"
    return (
        f"{text} Measured with the trained weights as they are, not trained again ({allowed}); a "
        "network that is trained at a stride can do better there."
    )


def _change(trial: TruncationTrial, base: TruncationTrial) -> str:
    loss = trial.cross_entropy - base.cross_entropy
    share = f" ({loss / base.cross_entropy:+.1%})" if base.cross_entropy > 0 else ""
    miou = (trial.miou or 0.0) - (base.miou or 0.0)
    return f"mIoU changes by {miou:+.3f} and the cross-entropy by {loss:+.3f}{share}"
