"""The page of `blockseg analyse --report`."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from napari_blockseg.cli.console import number
from napari_blockseg.cli.report import analysis_words as words
from napari_blockseg.cli.report import page
from napari_blockseg.cli.report.analysis_charts import (
    discrepancy_chart,
    layer_entries,
    layers_chart,
    loss_chart,
    trials_chart,
)
from napari_blockseg.cli.report.tables import Cell, table

if TYPE_CHECKING:
    from napari_blockseg.core.analysis import Analysis, Checkpoint, LayerSpectrum, TruncationTrial

_BLOCKS = (4, 8, 16, 32, 64)


def analysis_page(analysis: Analysis) -> str:
    """Return the whole page."""
    title = words.heading(analysis)
    parts = [_head(analysis, title)]
    if analysis.trials:
        parts.append(_trials(analysis))
    parts.append(_loss(analysis))
    if analysis.end.layers:
        parts.append(_layers(analysis))
    parts += [
        page.section("What to distrust", page.items(words.distrust(analysis))),
        page.section("How this was computed", page.named(words.how(analysis))),
        page.footer("analyse", "analysis.json"),
    ]
    return page.document(f"{title} - analysis of a network", parts)


def _head(analysis: Analysis, title: str) -> str:
    return "\n".join(
        [
            "<header>",
            page.paragraph("Analysis of a trained network: how fine must it compute?", "kicker"),
            f"<h1>{escape(title)}</h1>",
            page.paragraph(analysis.reason, "lead"),
            page.tiles(words.facts(analysis)),
            page.paragraph(words.basis(analysis), "muted"),
            *(page.paragraph(note, "warn") for note in analysis.notes),
            "</header>",
            page.paragraph(words.WHAT_IT_IS),
        ]
    )


def _trials(analysis: Analysis) -> str:
    header = ["decoder stride", "cross-entropy", "mean IoU", "pixel accuracy", "energy dropped"]
    return page.section(
        "What a coarser decoder costs",
        page.paragraph(words.TRIALS),
        page.pair(
            trials_chart(analysis, miou=False).html(), trials_chart(analysis, miou=True).html()
        ),
        table(
            "The trained weights with other decoder strides, not trained again.",
            header,
            [_trial_row(one, analysis) for one in analysis.trials],
        ),
    )


def _trial_row(one: TruncationTrial, analysis: Analysis) -> tuple[str, list[Cell]]:
    name = str(one.decoder_stride)
    name += " (as trained)" if one.decoder_stride == analysis.decoder_stride else ""
    name += " (recommended)" if one.decoder_stride == analysis.recommended_stride else ""
    dropped = one.predicted_loss_of_energy
    cells = [number(one.cross_entropy), number(one.miou), number(one.pixel_accuracy)]
    return escape(name), [*map(Cell, cells), Cell("-" if dropped is None else f"{dropped:.1%}")]


def _loss(analysis: Analysis) -> str:
    return page.section(
        "What the loss sees of the labels",
        page.paragraph(words.LOSS),
        loss_chart(analysis).html(),
        page.paragraph(words.DISCREPANCY),
        page.pair(
            discrepancy_chart(analysis, of_mean=True).html(),
            discrepancy_chart(analysis, of_mean=False).html(),
        ),
        _discrepancy_table(analysis),
    )


def _discrepancy_table(analysis: Analysis) -> str:
    cutoffs = analysis.end.loss.cutoffs
    blocks = [b for b in _BLOCKS if cutoffs[0] <= 0.5 / b <= cutoffs[-1] * (1 + 1e-9)]
    header = ["", "mean IoU", "L", *(f"{b} px" for b in blocks)]
    rows = []
    for one in analysis.checkpoints:
        rows += [_discrepancy_row(one, blocks, True), _discrepancy_row(one, blocks, False)]
    return table("By block size, beside the cross-entropy L: both discrepancies.", header, rows)


def _discrepancy_row(one: Checkpoint, blocks: list[int], of_mean: bool) -> tuple[str, list[Cell]]:
    from napari_blockseg.cli.analyse import value_at

    loss = one.loss
    values = loss.discrepancy_of_mean if of_mean else loss.discrepancy
    found = [_signed(value_at(loss.cutoffs, values, 0.5 / block)) for block in blocks]
    name = f"{one.moment} (step {one.step}): " + ("of the mean term" if of_mean else "R")
    return escape(name), [
        Cell(number(one.miou)),
        Cell(number(loss.cross_entropy)),
        *map(Cell, found),
    ]


def _signed(value: float | None) -> str:
    # Rounding must not leave a minus before a zero.
    return number(None if value is None else round(value, 3) + 0.0)


def _layers(analysis: Analysis) -> str:
    moments = [one.moment for one in analysis.checkpoints if one.layers]
    options = [(moment, "moment", moment) for moment in reversed(moments)]
    header = ["layer", "grid, px of the image", "grid, working px", "could be cut to"]
    return page.section(
        "What the layers hold",
        page.paragraph(words.LAYERS),
        page.chips(layer_entries(analysis)),
        page.choice("Moment of training:", ["activations", "gradients"], options),
        page.pair(
            layers_chart(analysis, gradients=False).html(),
            layers_chart(analysis, gradients=True).html(),
        ),
        table(
            "At the end of training.",
            header,
            [_layer_row(one, analysis) for one in analysis.end.layers],
        ),
    )


def _layer_row(layer: LayerSpectrum, analysis: Analysis) -> tuple[str, list[Cell]]:
    cut = "-" if layer.truncatable_to is None else str(layer.truncatable_to)
    grids = [f"{layer.stride:g}", f"{layer.stride * analysis.scale:g}"]
    return escape(layer.name), [*map(Cell, grids), Cell(cut)]
