"""The slow learner: the whole network, trained anew from the encoder's weights for every cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_sets import Source, finished, score
from painting import Annotator
from plan import DATA, Cell

from napari_blockseg.core.chances import PlaneChances
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.learn.checkpoint import Model, load_model
from napari_blockseg.learn.train import train
from napari_blockseg.learn.uncertainty import block_chances

NETWORK = NetworkConfig(decoder_stride=4, shortcut=False)


class Networks:
    """Networks of one data set, kept in a folder.

    Parameters
    ----------
    data : str
        A key of `plan.DATA`.
    annotator : Annotator
        Of that data set.
    work : Path
        Folder of the models.
    steps : int, optional
        Fewer than the plan's, to try the machinery out.
    """

    def __init__(
        self, data: str, annotator: Annotator, work: Path, steps: int | None = None
    ) -> None:
        self._data, self._annotator, self._work, self._steps = data, annotator, work, steps

    def learned(self, cell: Cell, known: dict[str, Any]) -> Model:
        """Return the network of a cell, trained if it is not there yet."""
        folder = self._work / cell.name
        if not (folder / "done").exists():
            images, classes = self._annotator.images(known), self._annotator.classes
            config = self._config(cell.seed)
            for _ in train(images, classes, NETWORK, config, out=folder / "model"):
                pass
            (folder / "model" / "resume.safetensors").unlink(missing_ok=True)
            (folder / "done").touch()
        return load_model(folder / "model", "cpu")

    def chances(self, model: Model, known: dict[str, Any]) -> list[PlaneChances]:
        """Return what a network says about the blocks of the training images."""
        return [
            finished(block_chances(model, one.image_id, one.pixels, one.labels))
            for one in self._annotator.images(known)
        ]

    def score(self, model: Model) -> dict[str, Any]:
        """Return the scores on the test images."""
        return score(model, Source(DATA[self._data], "test"))

    def settings(self, seed: int) -> dict[str, Any]:
        """Return how it learns."""
        return {
            "train": self._config(seed).model_dump(mode="json"),
            "network": NETWORK.model_dump(mode="json"),
        }

    def _config(self, seed: int) -> TrainConfig:
        data = DATA[self._data]
        return TrainConfig(
            steps=self._steps or data.steps,
            seed=seed,
            crop=data.crop,
            scale=data.scale,
            orientation=data.orientation,
            validation=False,
            keep_checkpoints=False,
            device="cpu",
            checkpoint_seconds=3600,
        )
