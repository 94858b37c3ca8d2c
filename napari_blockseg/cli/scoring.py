"""``blockseg evaluate``: how good predicted masks are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_blockseg.cli.console import number, progress, save_json, say, table, warn
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.core.errors import LabelError


def evaluate(
    predictions: Annotated[
        str, typer.Option("--predictions", metavar="DIR", help="Predicted masks.")
    ],
    masks: Annotated[str, typer.Option("--masks", metavar="DIR", help="True masks.")],
    json: JsonFile = None,
) -> None:
    """Compare predicted masks with true ones; images match by name, classes too."""
    result = score_folders(Path(predictions), Path(masks))
    say(describe(result))
    save_json(None if json is None else Path(json), result)


def score_folders(predictions: Path, masks: Path) -> dict[str, Any]:
    """Return the scores of a folder of predictions, as ``--json`` writes them.

    Raises
    ------
    LabelError
        If no prediction has a mask, or the shapes of a pair differ.
    """
    from napari_blockseg.files.masks import (
        common_classes,
        find_classes_json,
        match_masks,
        read_mask,
    )
    from napari_blockseg.files.spec import image_stem

    # With no stems to match, all the files are "unmatched": that lists a folder of masks.
    guesses = {image_stem(path): path for path in match_masks((), predictions)[1]}
    truths, without_prediction = match_masks(guesses, masks)
    if not truths:
        raise LabelError(
            f"None of the {len(guesses)} masks in {predictions} has the name of a mask in {masks}. "
            "They match by file name without suffix."
        )
    if without_prediction:
        warn(f"{len(without_prediction)} masks have no prediction and do not count.")
    if len(guesses) > len(truths):
        warn(f"{len(guesses) - len(truths)} predictions have no mask and do not count.")
    table, guess_table = find_classes_json(masks), find_classes_json(predictions)
    common_classes(guess_table, table.classes, "predictions know", "masks have")

    def pair(stem: str) -> tuple[Any, Any]:
        truth = read_mask(truths[stem], table)
        # A class that the truth does not know becomes 0: predicting it is never right.
        return truth, read_mask(guesses[stem], guess_table, table.classes)

    return _score(sorted(truths), pair, table.names)


def _score(stems: Sequence[str], load: Callable[[str], Any], names: list[str]) -> dict[str, Any]:
    from napari_blockseg.core.metrics import BoundaryF, Confusion

    confusion, edges = Confusion(len(names)), BoundaryF(len(names))
    with progress("evaluating") as advance:
        for done, stem in enumerate(stems, start=1):
            truth, predicted = load(stem)
            if truth.shape != predicted.shape:
                raise LabelError(
                    f"The prediction of {stem!r} has shape {predicted.shape}, its mask "
                    f"{truth.shape}. Check that both belong to the same image."
                )
            planes = truth.reshape(-1, *truth.shape[-2:])
            for plane, guess in zip(planes, predicted.reshape(planes.shape), strict=True):
                confusion.add(plane, guess)
                edges.add(plane, guess)
            advance(done / len(stems), f"{done} of {len(stems)} images")
    iou = confusion.iou()
    return {
        "miou": confusion.miou(),
        "pixel_accuracy": confusion.pixel_accuracy(),
        "boundary_f": edges.mean(),
        # NaN (a class that no mask has) becomes null in the file.
        "classes": {name: float(value) for name, value in zip(names, iou, strict=True)},
    }


def describe(result: dict[str, Any]) -> str:
    """Return the scores as text."""
    rows = [[name, number(value)] for name, value in result["classes"].items()]
    return "\n".join(
        [
            table(["class", "IoU"], rows),
            f"mIoU {number(result['miou'])}, pixel accuracy {number(result['pixel_accuracy'])}, "
            f"boundary F {number(result['boundary_f'])}",
        ]
    )
