"""Held-out IoU of every class as it stands, and where it went since the time before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

from napari_blockseg.ui.job_bar import chips

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.reports import Validation

_WHO = {"interactive": "Quick head", "network": "Network", None: "Held out"}


class ScoreLabel(QLabel):
    """Mean IoU and the IoU of each class, in percent; hidden while nothing is known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setToolTip(
            "IoU in percent on painted blocks that are kept from the training, and how it changed "
            "since the last time"
        )
        self._before: dict[str, float] = {}
        self.clear()

    def clear(self) -> None:
        """Forget what was shown."""
        super().clear()
        self._before = {}
        self.hide()

    def show_scores(self, report: Validation, classes: Iterable[ClassInfo]) -> None:
        """Show a score; its changes are against the one that was shown before it."""
        now = {name: 100 * iou for name, iou in report.iou.items() if iou is not None}
        words = {name: f"{iou:.0f}{self._change(name, iou)}" for name, iou in now.items()}
        mean = "-" if report.miou is None else f"{100 * report.miou:.1f}"
        head = f"{_WHO[report.source]}: <b>mIoU {mean} %</b>{_other(report)}"
        self.setText(f"{head}<br>{chips(classes, words)}")
        self._before = now
        self.show()

    def _change(self, name: str, iou: float) -> str:
        """Return an arrow and by how much a class went up or down, nothing where it did not."""
        change = round(iou) - round(self._before.get(name, iou))
        if not change:
            return ""
        return f"&nbsp;<small>{'▲' if change > 0 else '▼'}{abs(change)}</small>"


def _other(report: Validation) -> str:
    """Return how good the one is that does not preview; a worker of another version may not say."""
    iou = getattr(report, "other_miou", None)
    if iou is None or report.source is None:
        return ""
    who = "network" if report.source == "interactive" else "quick head"
    return f", {who} {100 * iou:.1f} %"
