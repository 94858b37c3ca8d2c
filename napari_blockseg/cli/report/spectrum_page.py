"""The page of `blockseg spectrum --report`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from napari_blockseg.cli.report import page
from napari_blockseg.cli.report import spectrum_words as words
from napari_blockseg.cli.report.spectrum_charts import (
    ceilings_chart,
    class_ceilings_chart,
    spectrum_chart,
)
from napari_blockseg.cli.report.tables import Cell, table

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum import Findings
    from napari_blockseg.cli.spectrum.findings import Example, View

_LINEAR = ("linear", "layout", '{"yaxis.type":"linear","yaxis.range":[0,1.02]}')
_LOG = (
    "logarithmic",
    "layout",
    '{"yaxis.type":"log","yaxis.range":[-2,0.02],"yaxis.tickvals":[0.01,0.02,0.05,0.1,0.2,0.5,1],'
    '"yaxis.ticktext":["1 %","2 %","5 %","10 %","20 %","50 %","100 %"]}',
)


def spectrum_page(findings: Findings) -> str:
    """Return the whole page."""
    title = words.heading(findings)
    parts = [_head(findings, title)]
    if findings.examples:
        parts.append(_examples(findings))
    if findings.rows:
        parts += [_which_size(findings), _ceilings(findings)]
    parts += [_spectrum(findings), _how(findings), page.footer("spectrum", "spectrum.json")]
    return page.document(f"{title} - label spectrum", parts)


def _head(findings: Findings, title: str) -> str:
    return "\n".join(
        [
            "<header>",
            page.paragraph("Label spectrum: which block size do these labels need?", "kicker"),
            f"<h1>{escape(title)}</h1>",
            page.paragraph(findings.advice.reason, "lead"),
            page.tiles(words.facts(findings)),
            page.paragraph(words.basis(findings), "muted"),
            *(page.paragraph(note, "warn") for note in findings.notes),
            "</header>",
            page.paragraph(words.WHAT_IT_IS),
        ]
    )


def _entries(findings: Findings) -> list[page.Entry]:
    return [(str(info.value), info.name, info.color) for info in findings.classes]


# -- pictures ------------------------------------------------------------------------------------


def _examples(findings: Findings) -> str:
    strips = "".join(_strip(example, findings) for example in findings.examples)
    legend = page.legend(_entries(findings))
    text = words.STRIP if findings.measured else words.PAINTED_STRIP
    return page.section("See what each block size loses", page.paragraph(text), legend, strips)


def _strip(example: Example, findings: Findings) -> str:
    figures = [_photograph(example)] if example.pixels is not None else []
    figures += [_figure(view, findings) for view in example.views]
    return f'<h3>{escape(example.name)}</h3><div class="strip">{"".join(figures)}</div>'


def _figure(view: View, findings: Findings) -> str:
    from napari_blockseg.cli.pictures.strip import as_palette, losses, title, view_picture

    best = findings.advice.recommended_block
    what = title(view, best)
    picture = page.image(as_palette(view_picture(view, findings.classes)), f"Labels, {what}")
    kind = ' class="best"' if view.block == best and view.right is not None else ""
    return (
        f"<figure{kind}>{picture}<figcaption><b>{escape(what)}</b>"
        f"{escape(losses(view))}</figcaption></figure>"
    )


def _photograph(example: Example) -> str:
    from PIL import Image

    from napari_blockseg.cli.pictures.overlay import to_rgb

    picture = page.image(Image.fromarray(to_rgb(example.pixels)), "The image")
    return f"<figure>{picture}<figcaption><b>the image</b></figcaption></figure>"


# -- numbers -------------------------------------------------------------------------------------


def _which_size(findings: Findings) -> str:
    groups = "".join(
        f"<dt>{escape(size)}</dt><dd>{_class_names(findings, members)}</dd>"
        for size, members in words.which_size(findings)
    )
    absent = [c.name for i, c in enumerate(findings.classes) if not findings.is_present(i)]
    note = f"Not in these labels: {', '.join(absent)}." if absent else ""
    return page.section(
        "Which size for which class",
        page.paragraph(words.WHICH_SIZE),
        f'<dl class="sizes">{groups}</dl>',
        page.paragraph(note, "muted") if note else "",
        _heat_table(findings),
        page.chips(_entries(findings)),
        class_ceilings_chart(findings).html(),
    )


def _class_names(findings: Findings, members: list[int]) -> str:
    chosen = (findings.classes[i] for i in members)
    return ", ".join(page.swatch(info.color) + escape(info.name) for info in chosen)


def _heat_table(findings: Findings) -> str:
    rows = [
        (page.swatch(info.color) + escape(info.name), _class_cells(findings, i))
        for i, info in enumerate(findings.classes)
        if findings.is_present(i)
    ]
    text = "Best IoU of each class by block size"
    if any(cell.lost for _, cells in rows for cell in cells):
        text += "; hatched: the class is the majority of too few blocks to be learned"
    return table(text + ".", _header(findings), rows, _best_column(findings))


def _class_cells(findings: Findings, i: int) -> list[Cell]:
    cells = []
    for row in findings.rows:
        owned = float(row.owned_blocks[i])
        about = "" if findings.measured else "about "
        tip = f"{findings.classes[i].name}: {about}{owned:,.0f} blocks of {row.block} px"
        text = "\u2013" if row.iou[i] != row.iou[i] else f"{row.iou[i]:.2f}"
        cells.append(Cell(text, float(row.iou[i]), findings.too_few(row, i), tip))
    return cells


def _ceilings(findings: Findings) -> str:
    rows = findings.rows
    lines = [("mean IoU", [row.miou for row in rows])]
    if findings.measured:
        lines += [
            ("mean IoU, band-limited", [row.band_limited_miou for row in rows]),
            ("boundary F", [row.boundary_f for row in rows]),
            ("pixel accuracy", [row.pixel_accuracy for row in rows]),
            ("label energy in the band", [row.energy for row in rows]),
        ]
    else:
        lines.append(("expected error of the estimate", [row.error for row in rows]))
    cells = [(escape(name), [_plain(value) for value in values]) for name, values in lines]
    if findings.advice.predictions:
        cells.append(("trained on them, predicted share", _trained_cells(findings)))
    return page.section(
        "How good can labels of each size be?",
        page.paragraph(words.CEILINGS),
        ceilings_chart(findings).html(),
        table("By block size.", _header(findings), cells, _best_column(findings)),
    )


def _trained_cells(findings: Findings) -> list[Cell]:
    found = {one.block: one.trained_ratio for one in findings.advice.predictions}
    cells = []
    for row in findings.rows:
        lost = ", ".join(findings.loses(row))
        tip = f"over fewer classes: without {lost}" if lost else ""
        cells.append(Cell(_plain(found.get(row.block)).text, None, bool(lost), tip))
    return cells


def _plain(value: float | None) -> Cell:
    return Cell("\u2013" if value is None or value != value else f"{value:.3f}")


def _header(findings: Findings) -> list[str]:
    return ["", *(f"{row.block} px" for row in findings.rows)]


def _best_column(findings: Findings) -> int | None:
    blocks = [row.block for row in findings.rows]
    best = findings.advice.recommended_block
    return blocks.index(best) if best in blocks else None


def _spectrum(findings: Findings) -> str:
    note = "" if findings.curve.enough else "There is not enough paint yet for these curves."
    return page.section(
        "The label spectrum",
        page.paragraph(words.SPECTRUM),
        page.paragraph(note, "warn") if note else "",
        page.chips(_entries(findings)),
        page.choice("Vertical axis:", ["spectrum"], [_LINEAR, _LOG]),
        spectrum_chart(findings).html(),
    )


# -- small print ---------------------------------------------------------------------------------


def _how(findings: Findings) -> str:
    return "\n".join(
        [
            page.section("What to distrust", page.items(words.distrust(findings))),
            page.section("How this was computed", page.named(words.how(findings))),
        ]
    )
