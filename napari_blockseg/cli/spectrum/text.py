"""The findings as text of 80 columns: classes are rows, block sizes are columns."""

from __future__ import annotations

import textwrap

from napari_blockseg.cli.console import number, table
from napari_blockseg.cli.spectrum.findings import Findings

_WIDTH = 80
_LONGEST_NAME = 24


def describe(findings: Findings) -> str:
    """Return the tables, then the advice."""
    lines = [*_wrapped(_basis(findings)), *(line for n in findings.notes for line in _wrapped(n))]
    if findings.rows:
        lines += ["", "How well labels of each block size can describe the pixels, at best:"]
        lines += _tables(findings)
    else:
        lines += _wrapped("Not enough paint yet to estimate what each block size can describe.")
    best = findings.advice.recommended_block
    lines += ["", f"Recommended block: {'none' if best is None else f'{best} pixels'}."]
    lines += _wrapped(findings.advice.reason)
    return "\n".join(lines)


def _tables(findings: Findings) -> list[str]:
    """Return both tables, with the same columns, and what has to be said below."""
    header = ["block, pixels", *(f"{row.block} " for row in findings.rows)]
    upper, lower = _ceilings(findings), _classes(findings)
    lines = table(header, upper + lower).splitlines()
    below = []
    if findings.advice.predictions:
        below += _wrapped(
            "*: predicted mean IoU of a network, as a share of that of one trained on full labels, "
            "over the classes that have enough blocks; in brackets where classes are lost."
        )
    if any("(" in cell for row in lower for cell in row[1:]):
        below += _wrapped("In brackets: the class is the majority of too few blocks to be learned.")
    cut = len(upper) + 1
    return [*lines[:cut], "", "IoU of each class, at best:", *lines[cut:], *below]


def _basis(findings: Findings) -> str:
    text = f"{findings.images} images, {findings.pixels_used:,} labelled pixels"
    if findings.skipped:
        text += f", {findings.skipped} skipped"
    if not findings.measured:
        text += f"; estimated from blocks of {findings.block} pixels"
    return text


def _ceilings(findings: Findings) -> list[list[str]]:
    rows = findings.rows
    lines = {"mean IoU": [row.miou for row in rows]}
    if findings.measured:
        lines |= {
            "pixel accuracy": [row.pixel_accuracy for row in rows],
            "boundary F": [row.boundary_f for row in rows],
            "band-limited mIoU": [row.band_limited_miou for row in rows],
            "energy in band": [row.energy for row in rows],
        }
    else:
        lines["expected error"] = [row.error for row in rows]
    cells_of = [[name, *(f"{number(v)} " for v in values)] for name, values in lines.items()]
    if findings.advice.predictions:
        found = {one.block: one.trained_ratio for one in findings.advice.predictions}
        cells = [
            _bracketed(number(found.get(row.block)), bool(findings.loses(row))) for row in rows
        ]
        cells_of.append(["trained on them *", *cells])
    return cells_of


def _bracketed(cell: str, doubtful: bool) -> str:
    # The blank keeps the numbers in line.
    return f"({cell})" if doubtful else f"{cell} "


def _classes(findings: Findings) -> list[list[str]]:
    rows = []
    for i, info in enumerate(findings.classes):
        cells = []
        for row in findings.rows:
            cells.append(_bracketed(number(row.iou[i], 2), findings.too_few(row, i)))
        rows.append([textwrap.shorten(info.name, _LONGEST_NAME, placeholder=" ..."), *cells])
    return rows


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH)
