"""What a training that was stopped answers, and where runs lie: shared by command and worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.reports import TrainDone

if TYPE_CHECKING:
    from napari_blockseg.learn.checkpoint import ModelSpec


def stopped_report(spec: ModelSpec | None, folder: Path) -> TrainDone:
    """Return the report of a training whose generator was closed.

    A closed generator can yield nothing more, so whoever closes it says this.

    Parameters
    ----------
    spec : ModelSpec or None
        Of the model as it was saved; None when it was stopped before there was one.
    folder : Path
        Where its model is.
    """
    if spec is None:
        return TrainDone(steps=0, seconds=0.0, val_miou=None, model=str(folder), stopped=True)
    return TrainDone(
        steps=spec.steps,
        seconds=spec.seconds,
        val_miou=spec.val_miou,
        model=str(folder),
        stopped=True,
    )


def check_folder_is_free(folder: Path) -> None:
    """Make sure that a new run replaces no model.

    Raises
    ------
    ModelError
        If there is one.
    """
    if (folder / "model.json").exists():
        raise ModelError(
            f"{folder} holds a model already. Go on with it (--resume), or give the new one "
            "another folder."
        )
