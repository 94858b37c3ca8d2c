"""A label whose text wraps and is never cut off."""

from __future__ import annotations

from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

_ROOM = 4


class WrappedLabel(QLabel):
    """Plain text over as many lines as its width asks for.

    Qt's own labels tell a scroll area how high they are at some other width: below them a gap
    stays, or their last lines are cut off. This one fixes its height whenever its width changes.

    Parameters
    ----------
    least_lines
        Lines that it has room for at any time, so that nothing below it jumps.
    """

    def __init__(self, least_lines: int = 1, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._least_lines = least_lines
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setIndent(0)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def setText(self, text: str) -> None:  # noqa: N802  (Qt's name)
        """Show a text."""
        super().setText(text)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802  (Qt's name)
        """Return any width, and the height that the present width asks for."""
        return QSize(0, self.minimumHeight())

    def minimumSizeHint(self) -> QSize:  # noqa: N802  (Qt's name)
        """Return what `sizeHint` does."""
        return self.sizeHint()

    def hasHeightForWidth(self) -> bool:  # noqa: N802  (Qt's name)
        """Return False: its height is fixed by `resizeEvent`."""
        return False

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  (Qt's name)
        """Take the height that the new width asks for."""
        super().resizeEvent(event)
        self._fit()

    def needed_height(self) -> int:
        """Return the height of the text at the present width, in pixels."""
        metrics, flags = self.fontMetrics(), int(Qt.TextFlag.TextWordWrap.value)
        room = QRect(0, 0, max(self.contentsRect().width(), 1), 100_000)
        height = metrics.boundingRect(room, flags, self.text()).height()
        return max(height, self._least_lines * metrics.lineSpacing()) + _ROOM

    def _fit(self) -> None:
        if self.height() != self.needed_height() or self.minimumHeight() != self.height():
            self.setFixedHeight(self.needed_height())
