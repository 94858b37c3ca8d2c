"""The choice of a decoder stride with its reason, in words for someone who paints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_blockseg.core.advice.grids import Grids, grid_candidates, judged
from napari_blockseg.core.advice.label_energy import LabelEnergy
from napari_blockseg.core.advice.stride_constants import DEFAULT_WAY
from napari_blockseg.core.advice.strides import FULL, choose_candidate, stride_candidates
from napari_blockseg.core.spectrum import MIN_BLOCKS, MIN_COVERAGE
from napari_blockseg.core.stride_choice import StrideCandidate, StrideChoice


def choose_stride(
    energy: LabelEnergy,
    tolerance: float,
    *,
    block: int,
    scale: float,
    ways: Sequence[str] = (DEFAULT_WAY,),
    costs: Mapping[str, Mapping[int, float]] | None = None,
    measured: Mapping[str, Mapping[int, float]] | None = None,
    model: str = "",
) -> StrideChoice:
    """Choose the decoder stride to train at.

    Parameters
    ----------
    energy : LabelEnergy
        Of the labels; its strides are what there is to choose from.
    tolerance : float
        Mean IoU that may be lost, as a share of that on the full grid, 0..1.
    block : int
        Block size, in pixels of the image.
    scale : float
        Working pixels per pixel of the image.
    ways : sequence of str
        How features may get to a coarser grid.
    costs, measured : mapping of str to mapping, optional
        By way; as in :func:`~napari_blockseg.core.advice.strides.stride_candidates`.
    model : str
        Name of the model that `measured` comes from.

    Returns
    -------
    StrideChoice
        The full grid where there is not enough paint.
    """
    about = {"tolerance": tolerance, "scale": scale, "block": block}
    if not energy.enough:
        return StrideChoice(stride=FULL, grounds="paint", reason=_too_little(energy), **about)
    rows = [
        stride_candidates(energy, way, (costs or {}).get(way), (measured or {}).get(way))
        for way in ways
    ]
    # The full grid is the same whatever the way down.
    candidates = (*rows[0], *(one for more in rows[1:] for one in more[1:]))
    chosen = choose_candidate(candidates, tolerance)
    told = any(one.measured for one in candidates)
    reason = _reason(chosen, candidates, tolerance, scale)
    reason += _besides(energy, block, model if told else "")
    return StrideChoice(
        stride=chosen.stride,
        way=chosen.way,
        grounds="model" if told else "labels",
        reason=reason,
        candidates=candidates,
        model=model if told else None,
        **about,
    )


def choose_grids(
    energy: LabelEnergy,
    tolerance: float,
    grids: Sequence[Grids],
    shares: Mapping[Grids, float],
    *,
    block: int,
    scale: float,
    way: str = DEFAULT_WAY,
    measured: Mapping[int, float] | None = None,
    model: str = "",
) -> StrideChoice:
    """Choose all the grids of a network: input, encoder's end and decoder.

    Parameters
    ----------
    energy : LabelEnergy
        At the strides of :func:`~napari_blockseg.core.advice.grids.energy_strides`.
    tolerance, block, scale, model
        As in :func:`choose_stride`.
    grids : sequence of Grids
        What there is to choose from, the full one first.
    shares : mapping of Grids to float
        Predicted time, as a share of that of the first.
    way : str
        How features get to a coarser decoder.
    measured : mapping of int to float, optional
        As in :func:`~napari_blockseg.core.advice.grids.grid_candidates`.

    Returns
    -------
    StrideChoice
        The full grids where there is not enough paint.
    """
    about = {"tolerance": tolerance, "scale": scale, "block": block}
    if not energy.enough:
        return StrideChoice(
            stride=grids[0].decoder_stride, grounds="paint", reason=_too_little(energy), **about
        )
    candidates = grid_candidates(energy, grids, way, shares, measured)
    chosen, candidates = judged(candidates, tolerance)
    told = any(one.measured for one in candidates)
    reason = _reason_of_grids(chosen, candidates, tolerance, scale)
    reason += _besides(energy, block, model if told else "")
    return StrideChoice(
        stride=chosen.stride,
        way=chosen.way,
        grounds="model" if told else "labels",
        reason=reason,
        candidates=candidates,
        model=model if told else None,
        output_stride=chosen.output_stride,
        input_scale=chosen.input_scale,
        decoder=chosen.decoder,
        **about,
    )


def kept_choice(stride: int, tolerance: float, model: str, resumed: bool) -> StrideChoice:
    """Return the choice of a run that goes on, or starts, from a model's weights."""
    if resumed:
        reason = f"Decoder stride {stride}, as before: a run that goes on keeps its grid."
    else:
        reason = (
            f"Decoder stride {stride}, that of {model}, whose weights this training starts from. "
            "Give --decoder-stride to change it ('auto' chooses anew)."
        )
    return StrideChoice(
        stride=stride, grounds="kept", reason=reason, tolerance=tolerance, model=model
    )


def only_choice(stride: int, tolerance: float, network: str) -> StrideChoice:
    """Return the choice for a network that has one stride."""
    reason = f"Decoder stride {stride}: {network} has no decoder whose grid could be chosen."
    return StrideChoice(stride=stride, grounds="only", reason=reason, tolerance=tolerance)


def _besides(energy: LabelEnergy, block: int, model: str) -> str:
    """Return what else was looked at: a model that was analysed, blocks that hide detail."""
    text = ""
    if model:
        text = f" What {model} lost when its decoder was cut has been taken into account."
    return text + _blocks(block) if energy.block > FULL else text


def _too_little(energy: LabelEnergy) -> str:
    return (
        f"Decoder stride {FULL}, the full grid: there is not enough paint yet to tell what a "
        f"coarser one would lose: {energy.cells} labelled blocks, {energy.coverage:.0%} of the "
        f"painted images. At least {MIN_BLOCKS} blocks, {MIN_COVERAGE:.0%} and two classes are "
        "needed."
    )


def _reason(
    chosen: StrideCandidate,
    candidates: tuple[StrideCandidate, ...],
    tolerance: float,
    scale: float,
) -> str:
    coarser = [one for one in candidates if one.stride > chosen.stride]
    if chosen.stride == candidates[0].stride:
        text = (
            f"Decoder stride {chosen.stride}, the full grid: the network works on cells of "
            f"{chosen.stride / scale:g} pixels of your images."
        )
    else:
        text = (
            f"Decoder stride {chosen.stride}: the network works on cells of "
            f"{chosen.stride / scale:g} pixels of your images, {_how(chosen)}which should cost "
            f"{_percent(chosen.loss)} of its mean IoU (likely {_range(chosen)}) and saves "
            f"{_saved(chosen)}."
        )
    if not coarser:
        return f"{text} It is the coarsest there is."
    next_stride = min(one.stride for one in coarser)
    next_one = min((one for one in coarser if one.stride == next_stride), key=lambda one: one.loss)
    if next_one.loss + next_one.unsure <= tolerance:
        return f"{text} A coarser one would save too little computing to be worth it."
    open_ = next_one.loss <= tolerance
    text += (
        f" Cells of {next_one.stride / scale:g} pixels (stride {next_one.stride}) would cost about "
        f"{_percent(next_one.loss)} of the mean IoU (likely {_range(next_one)})"
    )
    if open_:
        return (
            f"{text}; too little is painted to be sure that it stays below {_percent(tolerance)}."
        )
    return f"{text}, more than the {_percent(tolerance)} that the stride tolerance allows."


def _reason_of_grids(
    chosen: StrideCandidate,
    candidates: tuple[StrideCandidate, ...],
    tolerance: float,
    scale: float,
) -> str:
    name = chosen.name[0].upper() + chosen.name[1:]
    cell = chosen.stride / chosen.input_scale / scale
    text = f"{name}: the network works on cells of {cell:g} pixels of your images"
    if chosen is candidates[0]:
        text += "; nothing that is faster stays within the tolerance."
    else:
        text += (
            f", {_how(chosen)}which should cost {_percent(chosen.loss)} of its mean IoU (likely "
            f"{_range(chosen)}) and takes {chosen.cost:.0%} of the time."
        )
    costs = {id(one): 1.0 if one.cost is None else one.cost for one in (chosen, *candidates)}
    fastest = min(candidates, key=lambda one: costs[id(one)])
    if fastest.loss + fastest.unsure <= tolerance:
        return text
    return (
        f"{text} The fastest of all ({fastest.name}, {fastest.cost:.0%} of the time) would cost "
        f"about {_percent(fastest.loss)}; the stride tolerance allows {_percent(tolerance)}."
    )


def _blocks(block: int) -> str:
    return (
        f" Your blocks of {block} pixels cannot show finer detail: borders are taken to be "
        "straight between them, and what is thinner than a block is not seen."
    )


def _how(one: StrideCandidate) -> str:
    kept = one.way == "polyphase" and one.decoder and one.stride > FULL
    return "with finer detail kept in channels, " if kept else ""


def _saved(one: StrideCandidate) -> str:
    if one.cost is None:
        return "computing"
    return f"{1 - one.cost:.0%} of the computing"


def _range(one: StrideCandidate) -> str:
    low, high = max(1 - one.high, 0.0), 1 - one.low
    return f"{_percent(low)} to {_percent(high)}"


def _percent(share: float) -> str:
    return f"{share:.1%}"
