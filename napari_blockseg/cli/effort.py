"""``blockseg effort``: what the labels of a project took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import save_json, say, table
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.cli.outputs import file_to_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.effort import Effort


def effort(
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Project folder.")],
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv",
            metavar="FILE",
            help="Write a row per image and class there.",
            callback=file_to_write,
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Count strokes, blocks and seconds per class and image; pauses count 20 s at most."""
    from napari_blockseg.core.effort import measure_effort
    from napari_blockseg.files.effort import project_actions
    from napari_blockseg.files.project import Project

    with Project.open(Path(project)) as opened:
        actions = project_actions(opened.root, opened.image_ids)
        classes = opened.classes
    found = measure_effort(actions)
    say(describe(found, classes))
    if csv is not None:
        _write_csv(Path(csv), found, classes)
    save_json(None if json is None else Path(json), _as_json(found, classes))


def describe(found: Sequence[Effort], classes: Sequence[ClassInfo]) -> str:
    """Return the effort as two tables, by class and by image, each with its sum."""
    from napari_blockseg.core.effort import sum_effort

    if not found:
        return "Nothing was painted by hand."
    names = _names(classes)
    by_class = [[one for one in found if one.value == v] for v in sorted({e.value for e in found})]
    images = list(dict.fromkeys(one.image_id for one in found))
    by_image = [[one for one in found if one.image_id == i] for i in images]
    header = ["strokes", "blocks", "seconds"]
    last = ["all", *_numbers(sum_effort(found))]
    parts = []
    for title, groups in (("class", by_class), ("image", by_image)):
        rows = [
            [
                _name(names, group[0]) if title == "class" else group[0].image_id,
                *_numbers(sum_effort(group)),
            ]
            for group in groups
        ]
        parts.append(table([title, *header], [*rows, last]))
    return "\n\n".join(parts)


def _numbers(one: Effort) -> list[str]:
    return [str(one.strokes), str(one.blocks), f"{one.seconds:.0f}"]


def _names(classes: Sequence[ClassInfo]) -> dict[int, str]:
    from napari_blockseg.core.effort import DELETED, UNDONE

    apart = {DELETED: "(deleted)", UNDONE: "(undone)", 0: "(erased)"}
    return {**apart, **{one.value: one.name for one in classes}}


def _name(names: dict[int, str], one: Effort) -> str:
    return names.get(one.value, f"(class {one.value})")


def _as_json(found: Sequence[Effort], classes: Sequence[ClassInfo]) -> dict[str, Any]:
    from napari_blockseg.core.effort import sum_effort

    names = _names(classes)
    total = sum_effort(found)
    return {
        "strokes": total.strokes,
        "blocks": total.blocks,
        "seconds": total.seconds,
        "rows": [
            {
                "image": one.image_id,
                "class": _name(names, one),
                "value": one.value,
                "strokes": one.strokes,
                "blocks": one.blocks,
                "seconds": one.seconds,
            }
            for one in found
        ],
    }


def _write_csv(path: Path, found: Sequence[Effort], classes: Sequence[ClassInfo]) -> None:
    import csv

    from napari_blockseg.core.atomic import replacing

    rows = _as_json(found, classes)["rows"]
    names = ["image", "class", "value", "strokes", "blocks", "seconds"]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows({**row, "seconds": f"{row['seconds']:.3f}"} for row in rows)
