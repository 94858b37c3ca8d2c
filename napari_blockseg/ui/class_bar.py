"""A bar that shows how an area is divided among classes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainter, QPainterPath, QPaintEvent
from qtpy.QtWidgets import QWidget

_HEIGHT = 12


class ClassBar(QWidget):
    """Segments in class colors, their lengths the shares; hidden while there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shares: list[tuple[tuple[int, int, int], float]] = []
        self.setFixedHeight(_HEIGHT)
        self.hide()

    def set_shares(self, shares: Sequence[tuple[tuple[int, int, int], float]]) -> None:
        """Show (color, share 0 to 1) pairs in this order."""
        self._shares = [(color, share) for color, share in shares if share > 0]
        self.setVisible(bool(self._shares))
        self.update()

    def segments(self, width: float) -> list[tuple[float, float]]:
        """Return (start, length) of each segment in a bar of this width."""
        total = sum(share for _, share in self._shares) or 1.0
        start, found = 0.0, []
        for _, share in self._shares:
            found.append((start, width * share / total))
            start += width * share / total
        return found

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802  (Qt's name)
        """Draw the segments in a rounded frame."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        frame = QPainterPath()
        frame.addRoundedRect(QRectF(self.rect()), 3, 3)
        painter.setClipPath(frame)
        segments = self.segments(self.width())
        for (color, _), (start, length) in zip(self._shares, segments, strict=True):
            painter.fillRect(QRectF(start, 0, length, self.height()), QColor(*color))
        painter.end()
