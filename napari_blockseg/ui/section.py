"""A titled section of the dock that folds away."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QPointF, Qt, Signal
from qtpy.QtGui import QMouseEvent, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget


class Section(QWidget):
    """A header with a title and one line of news, and a body that shows when it is clicked.

    Parameters
    ----------
    title : str
        Name of the panel.
    body : QWidget
        The panel.
    expanded : bool
        Whether the body shows at first.
    """

    #: (expanded) The section was opened or folded.
    toggled = Signal(bool)

    def __init__(
        self, title: str, body: QWidget, expanded: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.body = body
        self._header = _Header(title)
        self._header.clicked.connect(lambda: self.set_expanded(not self.expanded))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._header)
        layout.addWidget(body)
        self.set_expanded(expanded)

    @property
    def expanded(self) -> bool:
        """Whether the body shows."""
        return self._header.expanded

    def set_expanded(self, expanded: bool) -> None:
        """Open or fold the section."""
        changed = expanded != self._header.expanded
        self._header.expanded = expanded
        self._header.update()
        self.body.setVisible(expanded)
        if changed:
            self.toggled.emit(expanded)

    def set_news(self, text: str) -> None:
        """Show one line at the right of the title, also while the section is folded."""
        self._header.news.setText(text)


class _Header(QWidget):
    clicked = Signal()

    def __init__(self, title: str) -> None:
        super().__init__()
        self.expanded = False
        self.setObjectName("blockseg_header")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAccessibleName(title)
        label = QLabel(title)
        label.setObjectName("blockseg_title")
        self.news = QLabel()
        self.news.setObjectName("blockseg_news")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(22, 5, 8, 5)
        layout.addWidget(label)
        layout.addStretch(1)
        layout.addWidget(self.news)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802  (Qt's name)
        if event.button() == Qt.MouseButton.LeftButton:
            self.clicked.emit()

    def keyPressEvent(self, event: QEvent) -> None:  # noqa: N802  (Qt's name)
        if event.key() in (Qt.Key.Key_Space, Qt.Key.Key_Return):
            self.clicked.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802  (Qt's name)
        super().paintEvent(event)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setBrush(self.palette().windowText())
        painter.setPen(Qt.PenStyle.NoPen)
        x, y = 11.0, self.height() / 2
        points = [(-3, -4), (4, 0), (-3, 4)] if not self.expanded else [(-4, -3), (4, -3), (0, 4)]
        painter.drawPolygon(QPolygonF([QPointF(x + dx, y + dy) for dx, dy in points]))
        painter.end()
