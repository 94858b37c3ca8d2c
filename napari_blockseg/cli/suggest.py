"""``blockseg suggest``: which blocks to label next."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from napari_blockseg.cli.console import number, progress, save_json, say, table, warn
from napari_blockseg.cli.interrupts import interrupt_flag
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.core.config import PredictConfig
from napari_blockseg.core.reports import Method, Notice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.reports import Suggestion
    from napari_blockseg.files.project import Project


def suggest(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Project folder.")],
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, help="How many blocks.")
    ] = 20,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="|".join(get_args(Method)),
            help="What to go by: 'diverse' takes doubts between two classes, away from borders, "
            "spread out, of classes with few blocks; 'uncertainty' is where pixels are unsure.",
        ),
    ] = "diverse",
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of the order among equals.")
    ] = 0,
    device: Annotated[str | None, config_option(PredictConfig, "device")] = None,
    json: JsonFile = None,
) -> None:
    """List the blocks that are worth labelling next, over all images."""
    if method not in get_args(Method):
        raise typer.BadParameter(f"Got method {method!r}; expected {', '.join(get_args(Method))}.")
    config = config_from_options(PredictConfig, device=device)
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.checkpoint import load_model
    from napari_blockseg.learn.engine import for_prediction

    with Project.open(Path(project)) as opened:
        ready = for_prediction(load_model(Path(model), device=config.device))
        found = _find(ready, opened, count, method, seed, config)
        if found is None:
            say("Stopped; nothing was chosen.")
            raise typer.Exit(1)
        say(describe(found))
        result = {"method": method, "block": opened.block, "suggestions": _rows(opened, found)}
        save_json(None if json is None else Path(json), result)


def _find(
    model: Any, project: Project, count: int, method: Any, seed: int, config: PredictConfig
) -> list[Suggestion] | None:
    """Run the search, and say how far it is; None when Ctrl-C ended it."""
    from napari_blockseg.cli.next_blocks import next_blocks

    steps = next_blocks(model, project, count, method, seed, config)
    with interrupt_flag() as asked, progress("predicting") as advance, closing(steps):
        while not asked.is_set():
            try:
                report = next(steps)
            except StopIteration as stop:
                found: list[Suggestion] = stop.value
                return found
            if isinstance(report, Notice):
                (warn if report.level == "warning" else say)(report.message)
            else:
                share = report.done / report.total
                advance(share, f"{report.done} of {report.total} {report.what}")
    return None


def describe(found: Sequence[Suggestion]) -> str:
    """Return suggestions as a table, the most promising first."""
    if not found:
        return "Every block is labelled."
    rows = [
        [_name(one), str(one.row), str(one.col), number(one.score), one.reason] for one in found
    ]
    return table(["image", "row", "col", "score", "why"], rows)


def _name(one: Suggestion) -> str:
    return f"{one.image_id}[{','.join(map(str, one.index))}]" if one.index else one.image_id


def _rows(project: Project, found: Sequence[Suggestion]) -> list[dict[str, Any]]:
    """Return suggestions with the pixels (row start, row stop, col start, col stop) they cover."""
    rows = []
    for one in found:
        in_rows, in_cols = project.grid(one.image_id).pixel_slices(one.row, one.col)
        pixels = [in_rows.start, in_rows.stop, in_cols.start, in_cols.stop]
        rows.append({**one.model_dump(mode="json"), "pixels": pixels})
    return rows
