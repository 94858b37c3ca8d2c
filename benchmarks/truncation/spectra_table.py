"""Spectra of the trained networks beside how they scored, as a table."""

from __future__ import annotations

import statistics
from typing import Any

from outcomes import Study
from plan import DATA, VARIANTS

#: Cutoff of the loss that is shown: the Nyquist frequency of these blocks, in image pixels.
BLOCK = 16
_ROLES = ("low_level", "aspp", "last", "logits")


def spectra_lines(study: Study) -> list[str]:
    """Return a table for each data set; cells without spectra are left out.

    Parameters
    ----------
    study : Study
        The cells.
    """
    lines = [
        "Cross-entropy in nats a pixel of the test images; what the band of blocks of "
        f"{BLOCK} image pixels adds to it, over it (the discrepancy R, which mostly says how sure "
        "a network is) and over the mean's term; and the share of energy, without the mean, that "
        "cells of 8 / 16 / 32 pixels of the full-scale input would keep of low-level features, "
        "ASPP, last features and logits (1.00 too where their own grid is no finer). Means over "
        "the seeds there are.",
    ]
    for data in DATA:
        rows = [_row(study, data, name) for name in VARIANTS]
        if any(rows):
            lines += ["", f"### {data}", "", *_HEADER, *(row for row in rows if row)]
    return lines


_HEADER = (
    "| network | seeds | mIoU | cross-entropy | R | of the mean's term | low-level | ASPP |"
    " last features | logits |",
    "|" + "---|" * 10,
)


def _row(study: Study, data: str, name: str) -> str:
    cells = [study.found[cell] for cell in study.seeds(data, name)]
    cells = [cell for cell in cells if "spectra" in cell]
    if not cells:
        return ""
    losses = [cell["spectra"]["loss"] for cell in cells]
    place = losses[0]["blocks"].index(BLOCK)
    words = [
        name,
        str(len(cells)),
        _mean([cell["test"]["miou"] for cell in cells], 3),
        _mean([loss["cross_entropy"] for loss in losses], 3),
        _mean([loss["discrepancy"][place] for loss in losses], 2),
        _mean([loss["discrepancy_of_mean"][place] for loss in losses], 3),
        *(_shares([cell["spectra"]["layers"] for cell in cells], role) for role in _ROLES),
    ]
    return f"| {' | '.join(words)} |"


def _shares(layers: list[dict[str, Any]], role: str) -> str:
    """Return the shares of one layer from the finest cells to the coarsest."""
    known = [one[role] for one in layers if one[role]]
    if not known:
        return ""
    return " / ".join(
        _mean([one["below"][place] for one in known], 2)
        for place in reversed(range(len(known[0]["below"])))
    )


def _mean(values: list[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.{digits}f}" if known else ""
