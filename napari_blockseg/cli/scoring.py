"""``blockseg evaluate``: how good predicted masks are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_blockseg.cli.console import number, progress, save_json, say, table, warn
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.cli.spectrum import MASK_SUFFIXES
from napari_blockseg.core.errors import LabelError

if TYPE_CHECKING:
    from napari_blockseg.files.masks import ClassTable


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
    from napari_blockseg.files.masks import find_classes_json, match_masks, read_mask

    stems = {
        path.stem: path
        for path in sorted(_existing(predictions).iterdir())
        if path.suffix.lower() in MASK_SUFFIXES
    }
    pairs, without_prediction = match_masks(list(stems), _existing(masks))
    if not pairs:
        raise LabelError(
            f"None of the {len(stems)} masks in {predictions} has the name of a mask in {masks}."
        )
    if without_prediction:
        warn(f"{len(without_prediction)} masks have no prediction and do not count.")
    if len(stems) > len(pairs):
        warn(f"{len(stems) - len(pairs)} predictions have no mask and do not count.")
    truth_table, predicted_table = find_classes_json(masks), find_classes_json(predictions)
    translate = translation(predicted_table, truth_table)
    names = [info.name for info in truth_table.classes]

    def pair(stem: str) -> tuple[Any, Any]:
        predicted = read_mask(stems[stem], predicted_table)
        return read_mask(pairs[stem], truth_table), translate[predicted]

    return _score({stem: pair for stem in sorted(pairs)}, names)


def translation(source: ClassTable, target: ClassTable) -> Any:
    """Return an array that turns class values of one table into those of another, by name.

    Classes that the target does not have become 0: predicting one is never right.
    """
    import numpy as np

    values = {info.name: info.value for info in target.classes}
    lookup = np.zeros(max(info.value for info in source.classes) + 1, np.uint16)
    for info in source.classes:
        lookup[info.value] = values.get(info.name, 0)
    if not lookup.any():
        raise LabelError(
            f"Predictions and masks share no class: got {', '.join(c.name for c in source.classes)} "
            f"and {', '.join(values)}. Classes match by name; check both classes.json."
        )
    return lookup


def _score(pairs: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    from napari_blockseg.core.metrics import BoundaryF, Confusion

    confusion, edges = Confusion(len(names)), BoundaryF(len(names))
    with progress("evaluating") as advance:
        for done, (stem, load) in enumerate(pairs.items(), start=1):
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
            advance(done / len(pairs), f"{done} of {len(pairs)} images")
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


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise LabelError(f"Got {folder}; expected a folder of masks. Check the path.")
    return folder
