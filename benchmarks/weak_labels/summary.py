"""Tables and a picture from whatever cells exist; a missing cell is shown as missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from outcomes import BLOCK_SECONDS, STROKE_SECONDS, Mean, Study
from picture import draw_annotation
from plan import (
    BASELINE,
    BLOCKS,
    CLAIM,
    CONVPAINT,
    DATA,
    DEFAULT,
    LONGER,
    PEERS,
    Cell,
    equal_cells,
    interactive_cells,
    row_cells,
    screen_cells,
    shortcut_cells,
    train_cells,
)
from targets import targets

MISSING = "missing"


def summarize(results: Path) -> int:
    """Write ``summary.md``, ``summary.json`` and ``annotation.png``."""
    study = Study(results)
    lines = ["# Weak labels: which loss, and what block labels are worth", ""]
    lines += [
        "Test mIoU over the classes that own 50 training blocks or more; boundary F over all "
        "classes. Differences and ratios are of paired seeds (same initial weights, same luck of "
        'crops), with the 90 % interval of their mean where there are several. Recipe "shortcut" '
        'is the network as the product has it, loss "block", against dense masks with the same '
        "network; the others were made before there was a shortcut.",
        "",
        *("## Losses (camvid, blocks of 16 pixels, seed 0)", "", *_screen(study), ""),
    ]
    for data in DATA:
        lines += [f"## {data}", "", *_not_resolvable(study, data), "", *_rows(study, data), ""]
    lines += ["## Pseudo-labels at equal time", "", *_equal(study), ""]
    lines += ["## Peers on the same labels", "", *_peers(study), ""]
    lines += ["## Interactive mode", "", *_interactive(study), ""]
    lines += ["## Targets", "", *targets(study), ""]
    (results / "summary.md").write_text("\n".join(lines), encoding="utf-8")
    rows = [
        {"cell": cell.to_dict(), "resolvable": study.miou(cell), **study.found[cell]["test"]}
        for cell in study.found
        if cell.block > 1
    ]
    (results / "summary.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw_annotation(study, results / "annotation.png")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _row(name: str, *values: Mean | str | None, sign: tuple[int, ...] = ()) -> str:
    """Return a line of a table; `sign` names the values that are differences."""
    shown = [
        MISSING if value is None else value if isinstance(value, str) else value.text(i in sign)
        for i, value in enumerate(values)
    ]
    return f"| {name} | " + " | ".join(shown) + " |"


def _head(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]


def _screen(study: Study) -> list[str]:
    lines = _head(
        *("labels", "recipe", "mIoU", f"minus {BASELINE}", "minus dense"),
        *("boundary F", "CPU seconds a step"),
    )
    for cell in screen_cells():
        seconds = study.found.get(cell, {}).get("cpu_seconds_per_step")
        lines.append(
            _row(
                f"{cell.choice} | {cell.recipe}",
                study.score(cell),
                study.difference(cell, BASELINE),
                study.to_dense(cell),
                study.test(cell, "boundary_f"),
                None if seconds is None else f"{seconds:.3f}",
                sign=(1, 2),
            )
        )
    return lines


def _not_resolvable(study: Study, data: str) -> list[str]:
    lines = []
    for block in sorted(BLOCKS[data]):
        kept = study.resolvable(data, block)
        lost = [name for i, name in enumerate(study.names(data)) if i not in kept]
        lines.append(f"- blocks of {block} do not resolve: {', '.join(lost) or 'none'}")
    return lines


def _rows(study: Study, data: str) -> list[str]:
    lines = _head(
        *("labels", "recipe", "seeds", "mIoU", "ratio to dense", "minus dense"),
        *(f"minus {BASELINE}", "boundary F"),
    )
    shown = dict.fromkeys(
        Cell(c.data, c.block, c.choice, c.recipe, 0)
        for c in (*train_cells(), *shortcut_cells(), *row_cells())
        if c.data == data
    )
    order = {name: i for i, name in enumerate(("all", "pure", "random10", "suggested10"))}
    for cell in sorted(shown, key=lambda c: (c.block, order[c.choice], c.recipe)):
        labels = "dense" if cell.block == 1 else f"blocks of {cell.block}, {cell.choice}"
        # Dense masks are scored over what the data set's first block size resolves.
        block = CLAIM[data] if cell.block == 1 else cell.block
        dense = cell.block == 1
        lines.append(
            _row(
                f"{labels} | {cell.recipe} | {len(study.seeds(cell))}",
                study.score(cell, block),
                "" if dense else study.to_dense(cell, ratio=True),
                "" if dense else study.to_dense(cell),
                "" if dense or cell.recipe == BASELINE else study.difference(cell, BASELINE),
                study.test(cell, "boundary_f"),
                sign=(2, 3),
            )
        )
    return lines


def _equal(study: Study) -> list[str]:
    """Pseudo-labels beside the plain loss with as much time, that is more steps."""
    lines = _head("data, labels", "seeds", LONGER, "block_pseudo", f"block_pseudo minus {LONGER}")
    for cell in dict.fromkeys(c.other("block_pseudo") for c in equal_cells() if c.seed == 0):
        longer = cell.other(LONGER)
        lines.append(
            _row(
                f"{cell.data}, {cell.block}, {cell.choice} | {len(study.seeds(longer))}",
                study.score(longer),
                study.score(cell),
                study.difference(cell, LONGER),
                sign=(2,),
            )
        )
    return lines


def _peers(study: Study) -> list[str]:
    mine = DEFAULT
    lines = _head("data, labels", "method", "seeds", "mIoU", f"{mine} minus it", "boundary F")
    for data, block in CLAIM.items():
        for choice in ("all", "random10"):
            ours = Cell(data, block, choice, mine, 0)
            for recipe in (mine, *PEERS):
                cell = ours.other(recipe)
                lines.append(
                    _row(
                        f"{data}, {block}, {choice} | {recipe} | {len(study.seeds(cell))}",
                        study.score(cell),
                        "" if recipe == mine else study.difference(ours, recipe),
                        study.test(cell, "boundary_f"),
                        sign=(1,),
                    )
                )
    return [
        *lines,
        "",
        f"{CONVPAINT}: napari-convpaint itself, with the one kind of features that it has without "
        "a download; its pretrained ones could not be had.",
    ]


def _interactive(study: Study) -> list[str]:
    lines = _head("data, labels", "seconds", "seeds", "mIoU", "minus dense", "head", "network")
    for cell in (one for one in interactive_cells() if one.seed == 0):
        name = f"{cell.data}, {cell.block}, {cell.choice} | {cell.recipe.split('_')[1]}"
        name += f" | {len(study.seeds(cell))}"
        both = [study.contestant(cell, one) for one in ("interactive", "network")]
        lines.append(_row(name, study.score(cell), study.to_dense(cell), *both, sign=(1,)))
    seconds = f"{STROKE_SECONDS:g} s a stroke and {BLOCK_SECONDS:g} s a block"
    lines += ["", "Head and network are scored whichever previews."]
    return [*lines, "", f"Annotation time in the picture is simulated: {seconds}."]
