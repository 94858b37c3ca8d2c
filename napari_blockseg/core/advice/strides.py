"""Which decoder stride to train at: what the labels' spectrum says that a coarser grid costs.

A network's decoder on cells of s working pixels cannot hold what lies above 0.5 / s cycles per
working pixel. How much of the labels' energy that is foretells what such a network loses
(``benchmarks/results/stride_loss.json``); where a trained model was analysed, what it lost when its
decoder was cut bounds the prediction from above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from napari_blockseg.core.advice.label_energy import LabelEnergy
from napari_blockseg.core.advice.stride_constants import (
    COSTS,
    DEFAULT_WAY,
    DETAIL_ENDS,
    LOSS_PER_ENERGY,
    LOSS_PER_ENERGY_ERROR,
    MIN_SAVING,
    RATIO_ERROR,
)
from napari_blockseg.core.analysis import Analysis
from napari_blockseg.core.config import STRIDES
from napari_blockseg.core.stride_choice import StrideCandidate

#: The full grid: nothing is truncated.
FULL = STRIDES[0]
_EDGE = 1e-9
# A network that has hardly learned loses nothing when it is cut. What counts was trained for a
# while, and its mean IoU is well above the 1 / K that one class everywhere can reach.
MIN_STEPS = 200
_ABOVE_CHANCE = 1.5


def stride_candidates(
    energy: LabelEnergy,
    way: str = DEFAULT_WAY,
    costs: Mapping[int, float] | None = None,
    measured: Mapping[int, float] | None = None,
) -> tuple[StrideCandidate, ...]:
    """Predict what each stride costs.

    Parameters
    ----------
    energy : LabelEnergy
        Of enough paint.
    way : str
        How features get to a coarser grid.
    costs : mapping of int to float, optional
        Multiply-adds by stride, as a share of the full grid's.
    measured : mapping of int to float, optional
        Loss by stride that it need not exceed, as a model's analysis shows:
        :func:`measured_losses`.

    Notes
    -----
    ``ratio = 1 - loss_per_energy * cut``, where `cut` is the share of label energy between the two
    grids' Nyquist frequencies. The band holds the fit's error, the scatter of trained networks, and
    twice the standard error of `cut`; no more than that scatter is won. No stride costs less than a
    finer one.
    """
    found: list[StrideCandidate] = []
    for stride, kept in zip(energy.strides, energy.energy, strict=True):
        cut, slope = energy.cut(stride), loss_per_energy(way, stride)
        loss, unsure = min(slope * cut, 1.0), slope * energy.cut_error(stride)
        bound = (measured or {}).get(stride, math.inf)
        measured_here = bound < loss
        if measured_here:
            loss, unsure = bound, 0.0
        loss = max(loss, found[-1].loss) if found else loss
        known = stride == energy.strides[0]
        noise = 0.0 if known else RATIO_ERROR.get(way, RATIO_ERROR[DEFAULT_WAY])
        spread = math.hypot(min(LOSS_PER_ENERGY_ERROR * cut, loss), 2 * unsure, noise)
        found.append(
            StrideCandidate(
                stride=stride,
                way=way,
                energy=kept,
                loss=loss,
                unsure=unsure,
                low=max(1.0 - loss - spread, 0.0),
                high=min(1.0 - loss + spread, 1.0 + noise),
                cost=(costs or {}).get(stride),
                measured=measured_here,
            )
        )
    return tuple(found)


def loss_per_energy(way: str, stride: int) -> float:
    """Return the share of mean IoU lost per share of label energy cut, by way down and stride."""
    if way == "polyphase" and stride >= DETAIL_ENDS:
        way = DEFAULT_WAY
    return LOSS_PER_ENERGY.get(way, LOSS_PER_ENERGY[DEFAULT_WAY])


def known_costs(
    network: str, form: str, output_stride: int, way: str = DEFAULT_WAY
) -> Mapping[int, float]:
    """Return multiply-adds by decoder stride, as a share of the full grid's; empty if unknown."""
    return COSTS.get((network, form), {}).get(way, {}).get(output_stride, {})


def measured_losses(
    analysis: Analysis, energy: LabelEnergy, way: str = DEFAULT_WAY
) -> dict[int, float]:
    """Return what a coarser stride need not exceed, from a trained model that was cut.

    Parameters
    ----------
    analysis : Analysis
        Of a model with the same network and working scale.
    energy : LabelEnergy
        Of the labels to train on.
    way : str
        As in :func:`stride_candidates`.

    Returns
    -------
    dict of int to float
        Loss as a share of the mean IoU, by stride; without strides of which it says nothing.
        Empty for a model that has learned too little to lose anything.

    Notes
    -----
    Weights that were trained on a finer grid can be kept and the decoder cut: training at the
    coarser stride need not do worse. Labels that are blocks cannot show what is lost inside a
    block, so what lies between the full grid and a block (or the stride that the model was trained
    at) is still predicted from the labels, and only what is coarser is measured.
    """
    trials = {one.decoder_stride: one.miou for one in analysis.trials}
    base = trials.get(analysis.decoder_stride)
    seen = [
        cutoff
        for cutoff, share in zip(analysis.label_cutoffs, analysis.label_energy, strict=True)
        if share is not None
    ]
    learned = base is not None and base > _ABOVE_CHANCE / len(analysis.classes)
    if base is None or not learned or not seen:
        return {}
    resolved = 0.5 / max(seen) * analysis.scale
    coarsest = max(analysis.decoder_stride, resolved * (1 - _EDGE))
    start = next((one for one in energy.strides if one >= coarsest), None)
    if start is None:
        return {}
    slope = loss_per_energy(way, start)
    return {
        stride: slope * energy.cut(start) + max(0.0, 1.0 - miou / base)
        for stride, miou in trials.items()
        if miou is not None and stride > start and stride in energy.strides
    }


def worth_it(candidate: StrideCandidate) -> bool:
    """Whether a candidate's saving, as far as it is known, is worth a loss."""
    return candidate.cost is None or candidate.cost <= 1 - MIN_SAVING


def choose_candidate(candidates: Sequence[StrideCandidate], tolerance: float) -> StrideCandidate:
    """Return the cheapest candidate whose predicted loss stays within the tolerance.

    Parameters
    ----------
    candidates : sequence of StrideCandidate
        Any strides and ways, at least one.
    tolerance : float
        Allowed loss, as a share of the mean IoU, 0..1.

    Returns
    -------
    StrideCandidate
        With the lowest cost where all that qualify have one, else with the largest stride. Where
        nothing qualifies, the one that loses least. What the paint leaves open counts as lost: with
        little paint the choice stays fine. A loss for a saving below `MIN_SAVING` is not worth it.
    """
    within = [one for one in candidates if one.loss + one.unsure <= tolerance + _EDGE]
    fit = [one for one in within if not one.loss or worth_it(one)]
    if not fit:
        return min(candidates, key=lambda one: (one.loss, one.stride))
    if any(one.cost is None for one in fit):
        return max(fit, key=lambda one: (one.stride, -one.loss))
    return min(fit, key=lambda one: (one.cost, -one.stride, one.loss))
