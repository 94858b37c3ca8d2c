"""Which grids a network should work on: input, encoder's end and decoder, chosen together.

The decoder's stride alone is chosen in :mod:`~napari_blockseg.core.advice.strides`. Here the
output stride, a halved input and the lack of a decoder stand beside it: what each loses is again
predicted from the labels' energy, what each takes is given (`nets` predicts it layer by layer), and
the fastest within the tolerance is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_blockseg.core.advice.label_energy import LabelEnergy
from napari_blockseg.core.advice.stride_constants import (
    GRIDS_ERROR,
    HALVED_LOSS,
    LOSS_PER_ENERGY_ERROR,
    MIN_SAVING,
    NO_DECODER_LOSS,
    OUTPUT_STRIDE_LOSS,
)
from napari_blockseg.core.advice.strides import FULL, choose_candidate, stride_candidates
from napari_blockseg.core.stride_choice import StrideCandidate

#: The output strides between which a loss was measured.
USUAL, COARSE = 16, 32
HALF = 0.5


@dataclass(frozen=True)
class Grids:
    """What a network works on.

    Parameters
    ----------
    input_scale : float
        Side of the input as a share of that at working scale, 1 or 0.5.
    output_stride, decoder_stride : int
        Pixels of the input per cell.
    decoder : bool
        Without one, `decoder_stride` is the output stride.
    """

    input_scale: float
    output_stride: int
    decoder_stride: int
    decoder: bool = True

    @property
    def cell(self) -> int:
        """Working pixels per cell of the logits."""
        return round(self.decoder_stride / self.input_scale)


def possible_grids(
    output_stride: int, may_halve: bool = True, may_lack_decoder: bool = True
) -> list[Grids]:
    """List the grids to choose from; the first is the full one.

    Parameters
    ----------
    output_stride : int
        What was asked for. 16 may become 32; what 8 would lose nobody has measured.
    may_halve : bool
        Whether the input may be halved.
    may_lack_decoder : bool
        Whether the network may be one without a decoder.
    """
    ends = [output_stride, COARSE] if output_stride == USUAL else [output_stride]
    strides = {end: [s for s in (4, 8, 16, 32) if s <= end] for end in ends}
    found = []
    for scale in (1.0, HALF) if may_halve else (1.0,):
        for end in ends:
            found += [Grids(scale, end, stride) for stride in strides[end]]
            found += [Grids(scale, end, end, decoder=False)] if may_lack_decoder else []
    return found


def energy_strides(grids: Sequence[Grids]) -> list[int]:
    """Return the strides, in working pixels, at which the labels' energy has to be known."""
    cells = {FULL, 2 * FULL}
    for one in grids:
        cells |= {one.cell, round(one.output_stride / one.input_scale)}
    return sorted(cells)


def grid_candidates(
    energy: LabelEnergy,
    grids: Sequence[Grids],
    way: str,
    shares: Mapping[Grids, float],
    measured: Mapping[int, float] | None = None,
) -> tuple[StrideCandidate, ...]:
    """Predict what grids cost.

    Parameters
    ----------
    energy : LabelEnergy
        At :func:`energy_strides` of the grids.
    grids : sequence of Grids
        The full one first.
    way : str
        How features get to a coarser decoder.
    shares : mapping of Grids to float
        Predicted time, as a share of that of the first.
    measured : mapping of int to float, optional
        As in :func:`~napari_blockseg.core.advice.strides.stride_candidates`; it bounds grids that
        differ in the decoder's stride alone.

    Notes
    -----
    Losses are taken to add up: that of the halved input, of the coarser encoder's end, and of the
    decoder's stride or of having no decoder. Each is a constant times the share of energy between
    the two grids' Nyquist frequencies.
    """
    bounded = {one.stride: one for one in stride_candidates(energy, way, measured=measured)}
    free = {one.stride: one.loss for one in stride_candidates(energy, way)}
    found = []
    for one in grids:
        cut, known = energy.cut(one.cell), bounded[one.cell]
        if replace(one, decoder_stride=grids[0].decoder_stride) == grids[0]:
            loss, unsure, told = known.loss, known.unsure, known.measured
        else:
            # A trained model that was cut says nothing about other networks.
            loss, told = min(_loss(one, grids[0], energy, free), 1.0), False
            unsure = loss / cut * energy.cut_error(one.cell) if cut else 0.0
        noise = 0.0 if one == grids[0] else GRIDS_ERROR
        spread = math.hypot(min(LOSS_PER_ENERGY_ERROR * cut, loss), 2 * unsure, noise)
        found.append(
            StrideCandidate(
                stride=one.decoder_stride,
                way=way,
                energy=energy.energy[energy.strides.index(one.cell)],
                loss=loss,
                unsure=unsure,
                low=max(1.0 - loss - spread, 0.0),
                high=min(1.0 - loss + spread, 1.0 + noise),
                cost=shares[one],
                measured=told,
                output_stride=one.output_stride,
                input_scale=one.input_scale,
                decoder=one.decoder,
            )
        )
    return tuple(found)


def _loss(one: Grids, full: Grids, energy: LabelEnergy, free: Mapping[int, float]) -> float:
    """Return the sum of what each coarser grid loses; `free` is the decoder's part by cell."""
    start = round(FULL / one.input_scale)
    if one.decoder:
        loss = max(free[one.cell] - free[start], 0.0)
    else:
        loss = NO_DECODER_LOSS * _between(energy, start, one.cell)
    if one.output_stride > full.output_stride:
        # Not from the finer end's: labels so fine that neither end holds them would lose nothing.
        end = round(one.output_stride / one.input_scale)
        loss += OUTPUT_STRIDE_LOSS * _between(energy, start, end)
    return loss + (HALVED_LOSS * energy.cut(start) if one.input_scale < 1 else 0.0)


def judged(
    candidates: Sequence[StrideCandidate], tolerance: float
) -> tuple[StrideCandidate, tuple[StrideCandidate, ...]]:
    """Return what is chosen, and all candidates with a word on why each was taken or left.

    The fastest whose predicted loss, with what the paint leaves open, stays within the tolerance;
    of those that are hardly slower the one that loses least.
    """
    chosen = choose_candidate(candidates, tolerance)
    near = [one for one in candidates if _time(one) * (1 - MIN_SAVING) <= _time(chosen)]
    chosen = min(near, key=lambda one: (one.loss + one.unsure, _time(one)))
    words = tuple(
        one.model_copy(update={"verdict": _verdict(one, chosen, tolerance)}) for one in candidates
    )
    return words[list(candidates).index(chosen)], words


def _verdict(one: StrideCandidate, chosen: StrideCandidate, tolerance: float) -> str:
    if one is chosen:
        return "chosen"
    if one.loss > tolerance:
        return "loses too much"
    if one.loss + one.unsure > tolerance:
        return "too little paint to be sure"
    if one.loss and one.cost is not None and one.cost > 1 - MIN_SAVING:
        return "saves too little"
    return "slower" if _time(one) > _time(chosen) else "saves too little"


def _time(one: StrideCandidate) -> float:
    return 1.0 if one.cost is None else one.cost


def _between(energy: LabelEnergy, fine: int, coarse: int) -> float:
    """Return the share of energy between the Nyquist frequencies of two strides."""
    return max(energy.cut(coarse) - energy.cut(fine), 0.0)
