"""What a training that was stopped answers, and where runs lie: shared by command and worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.reports import TrainDone

if TYPE_CHECKING:
    from napari_blockseg.learn.train import Training


def stopped_report(training: Training | None, folder: Path) -> TrainDone:
    """Return the report of a training whose generator was closed.

    A closed generator can yield nothing more, so whoever closes it says this.

    Parameters
    ----------
    training : Training or None
        The run; None when it was stopped before it began.
    folder : Path
        Where its model is.
    """
    if training is None:
        return TrainDone(steps=0, seconds=0.0, val_miou=None, model=str(folder), stopped=True)
    spec = training.live_model().spec
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
            f"{folder} holds a model already. Go on with it (resume), or give the new one another "
            "folder."
        )
