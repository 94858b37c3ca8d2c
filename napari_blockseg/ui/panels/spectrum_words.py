"""What the Spectrum panel says, in words for someone who paints and has read no paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_blockseg.core.spectrum import MIN_BLOCKS, MIN_COVERAGE
from napari_blockseg.ui.spectrum_geometry import energy_at, error_at, loss_at

if TYPE_CHECKING:
    from napari_blockseg.core.advice import Advice
    from napari_blockseg.core.analysis import Analysis
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.spectrum import LabelSpectrum

#: With an error above this a share is little more than a guess.
_ROUGH = 0.15
_WHERE = {
    "plane": "in this plane",
    "image": "in the painted planes of this image",
    "project": "in the painted images",
}


def needed_blocks(n_blocks: int) -> int:
    """Return how many blocks have to be labelled before the spectrum says anything."""
    return max(math.ceil(MIN_COVERAGE * n_blocks), min(MIN_BLOCKS, n_blocks))


def blocks_of(block: int) -> str:
    """Return the block size in words.

    Examples
    --------
    >>> blocks_of(12), blocks_of(1)
    ('blocks of 12 px', 'single pixels')
    """
    return "single pixels" if block == 1 else f"blocks of {block} px"


def too_little_words(painted: int, total: int, scope: str, stack: bool) -> str:
    """Return what is missing before there is a spectrum: how many more blocks."""
    missing = max(needed_blocks(total) - painted, 0)
    where = _WHERE[scope] if scope != "image" or stack else "in this image"
    blocks = "block" if missing == 1 else "blocks"
    return (
        f"Not enough paint yet\n\nPaint {missing:,} more {blocks}.\n"
        f"{painted:,} of {needed_blocks(total):,} needed are painted {where}."
    )


def kept_words(spectrum: LabelSpectrum, block: int, classes: Sequence[ClassInfo]) -> str:
    """Return what blocks of a size keep of the painted classes, the worst named with its error."""
    energy = energy_at(spectrum, 0.5 / block)
    known = np.flatnonzero(np.isfinite(energy))
    if not len(known):
        return ""
    low = int(known[np.argmin(energy[known])])
    least, most = round(100 * energy[low]), round(100 * float(energy[known].max()))
    error = float(error_at(spectrum, 0.5 / block)[low])
    about = f" (± {100 * error:.0f})" if np.isfinite(error) and error >= 0.005 else ""
    head = f"{blocks_of(block).capitalize()} keep"
    if error > _ROUGH:
        return f"{head} roughly {least} %{about} of the painted shapes: paint more to know."
    if most - least < 2:
        return f"{head} {least} %{about} of the painted shapes."
    return f"{head} {least}{about} to {most} % of the painted shapes, least of {classes[low].name}."


def headline(advice: Advice, block: int) -> str:
    """Return the advice in a few words."""
    if advice.recommended_block is None:
        return "No block size to recommend yet"
    if advice.recommended_block == block:
        return f"Your {blocks_of(block)} fit"
    return f"Use {blocks_of(advice.recommended_block)}"


def news(advice: Advice, block: int) -> str:
    """Return the advice for the title of the panel."""
    wanted = advice.recommended_block
    if wanted is None:
        return ""
    return f"{wanted} px fits" if wanted == block else f"use {wanted} px blocks"


def change_words(share: float | None, block: int, recommended: int) -> str:
    """Return what another grid would do to what is painted; `share` of it changes."""
    if recommended < block:
        return "Nothing painted is lost: every block is split."
    if share is None:
        return "Blocks are merged by majority. Undo brings them back."
    amount = "less than 1 %" if share < 0.01 else f"about {100 * share:.0f} %"
    return f"Merging changes {amount} of what is painted here. Undo brings it back."


def loss_words(analysis: Analysis, block: int) -> str:
    """Return what a model's loss says about a block size."""
    loss = analysis.end.loss
    there = loss_at(loss, 0.5 / block)
    whole = f"{loss.cross_entropy:.2f} with all detail"
    if there is None or loss.cross_entropy <= 0:
        return f"Dashed, right scale: the model's loss, {whole}."
    more = 100 * (there / loss.cross_entropy - 1)
    difference = "the same" if abs(more) < 0.5 else f"{more:+.0f} %"
    earlier = " Faint: earlier in training." if len(analysis.checkpoints) > 1 else ""
    return (
        f"Dashed, right scale: the model's loss, {there:.2f} at {blocks_of(block)}, {whole} "
        f"({difference}).{earlier}"
    )
