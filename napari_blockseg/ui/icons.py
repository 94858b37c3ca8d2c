"""Small line icons in the color of the theme's text."""

from __future__ import annotations

from qtpy.QtCore import QByteArray, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

_SIZE = 20
_PATHS = {
    "brush": "M4 20V16L15 5L19 9L8 20ZM12.5 7.5L16.5 11.5",
    "eraser": "M3.5 14.5L12.5 5.5L19.5 12.5L13 19H8ZM8 10L15 17M12 19H21",
    "fill": "M4 12L11 5L18 12L11 19ZM4 12H18M11 5L8.5 2.5M21 17.5A1.4 1.4 0 1 1 18.4 17.5L19.7 15Z",
    "pick": "M4 20L5 16L12 9L15 12L8 19ZM10.5 7.5L16.5 13.5M13.5 10.5L18 6M16 4L20 8",
    "polygon": "M5 9L13 4L20 10L17 19.5L7 19Z",
    "pan": "M12 3V21M3 12H21M9 6L12 3L15 6M9 18L12 21L15 18M6 9L3 12L6 15M18 9L21 12L18 15",
    "undo": "M9 14L4 9L9 4M4 9H14A5.5 5.5 0 0 1 14 20H10",
    "redo": "M15 14L20 9L15 4M20 9H10A5.5 5.5 0 0 0 10 20H14",
    "add": "M12 5V19M5 12H19",
    "remove": "M4 7H20M9 7V4H15V7M6.5 7L7.5 20H16.5L17.5 7M10 11V16M14 11V16",
    "color": "M12 3C12 3 5.5 10.5 5.5 14.5A6.5 6.5 0 0 0 18.5 14.5C18.5 10.5 12 3 12 3ZM12 18"
    "A3.5 3.5 0 0 1 8.5 14.5",
    "folder": "M3 19V5H9.5L11.5 8H21V19Z",
    "grid": "M4 4H20V20H4ZM4 9.3H20M4 14.7H20M9.3 4V20M14.7 4V20",
    "previous": "M14.5 5L8 12L14.5 19",
    "next": "M9.5 5L16 12L9.5 19",
    "more": "M5 7H19M5 12H19M5 17H19",
}


def icon(name: str, color: QColor) -> QIcon:
    """Return an icon; disabled buttons get it faded.

    Parameters
    ----------
    name : str
        One of the keys of ``_PATHS``.
    color : QColor
        Usually the text color of the widget's palette.
    """
    made = QIcon()
    faded = QColor(color)
    faded.setAlphaF(0.3)
    made.addPixmap(_pixmap(name, color), QIcon.Mode.Normal)
    made.addPixmap(_pixmap(name, faded), QIcon.Mode.Disabled)
    return made


def swatch(color: tuple[int, int, int], size: int = 14) -> QIcon:
    """Return a small rounded square of a color, (red, green, blue) 0 to 255."""
    pixmap = _blank(size)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(*color))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawRoundedRect(0, 0, size, size, 3, 3)
    painter.end()
    made = QIcon(pixmap)
    made.addPixmap(pixmap, QIcon.Mode.Selected)  # else Qt tints it in a selected row
    return made


def _pixmap(name: str, color: QColor) -> QPixmap:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" '
        f'stroke="{color.name()}" stroke-opacity="{color.alphaF():.2f}" stroke-width="1.7" '
        f'stroke-linecap="round" stroke-linejoin="round"><path d="{_PATHS[name]}"/></svg>'
    )
    pixmap = _blank(_SIZE)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(0, 0, _SIZE, _SIZE))
    painter.end()
    return pixmap


def _blank(size: int) -> QPixmap:
    # twice the points, for screens with fine pixels
    pixmap = QPixmap(QSize(2 * size, 2 * size))
    pixmap.setDevicePixelRatio(2)
    pixmap.fill(Qt.GlobalColor.transparent)
    return pixmap
