"""Follow a training by its reports: what the command prints, what a stopped one answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_blockseg.core.reports import TrainDone, TrainStep, Validation


class TrainingLog:
    """Remember where a training stands.

    A generator that is closed can yield nothing more, so whoever closes it says `train_done` from
    this log.

    Parameters
    ----------
    model : Path
        Folder of the model in training.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.steps: list[TrainStep] = []
        self.validations: list[Validation] = []
        self.done: TrainDone | None = None

    def add(self, report: Any) -> None:
        """Take note of a report; other kinds are passed over."""
        if isinstance(report, TrainStep):
            self.steps.append(report)
        elif isinstance(report, Validation):
            self.validations.append(report)
        elif isinstance(report, TrainDone):
            self.done = report

    def stopped(self) -> TrainDone:
        """Return the report of a training that was stopped now."""
        last = self.steps[-1] if self.steps else None
        return TrainDone(
            steps=last.step if last else 0,
            seconds=last.seconds if last else 0.0,
            val_miou=self.validations[-1].miou if self.validations else None,
            model=str(self.model),
            stopped=True,
        )

    def losses(self, points: int) -> list[float]:
        """Return the loss as at most this many means over equal parts of the training."""
        losses = [step.loss for step in self.steps if step.loss is not None]
        size = max(1, -(-len(losses) // points))
        parts = [losses[i : i + size] for i in range(0, len(losses), size)]
        return [sum(part) / len(part) for part in parts]
