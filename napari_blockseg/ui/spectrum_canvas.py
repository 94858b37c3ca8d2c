"""The plot of the Spectrum panel: label curves, the grid, a cutoff that mouse and keys move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QGraphicsPolygonItem, QWidget

from napari_blockseg.ui.axis import Axis, next_block, snapped_block
from napari_blockseg.ui.curves import Curve
from napari_blockseg.ui.plots import SHARES, Canvas, PlotColors, pg
from napari_blockseg.ui.spectrum_geometry import LossOverlay, nearest_curve, with_one_raised

#: How near to a curve, in pixels, the mouse means it.
_NEAR = 9
_LEFT_AXIS, _RIGHT_AXIS = 42, 34
#: Anchors of a text at the right and at the left of a line.
_RIGHT, _LEFT = (-0.04, 0.5), (1.04, 0.5)
#: Where on the height of 0 to 1 the two texts at the cutoff stand, under one another.
_LABEL_HEIGHT, _TAG_HEIGHT = 0.09, 0.24
_ARROWS = (Qt.Key.Key_Left, Qt.Key.Key_Right)


class SpectrumCanvas(Canvas):
    """Label spectrum: share of each class's energy up to a cutoff, and a cutoff to move.

    The axis names a cutoff by the block that resolves it. Beyond the block Nyquist, the present
    grid, the labels know nothing: it is shaded. Press anywhere to move the cutoff there; left and
    right arrow move it by a block size, with Shift by a pixel, Home and End to the ends.
    """

    #: The user moved the cutoff to blocks of this size, pixels.
    block_moved = Signal(int)
    #: The mouse means the curve of this name; "" none.
    curve_hovered = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(190, parent)
        self.axis = Axis(1 / 1024, 16)
        self.block = 16
        self._curves: list[Curve] = []
        self._overlay = LossOverlay()
        self._raised = self._hovered = ""
        self._tag_text = ""
        self._bands: dict[str, QGraphicsPolygonItem] = {}
        self._dragging = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.view.viewport().installEventFilter(self)
        self.view.viewport().setMouseTracking(True)
        self.layout().setContentsMargins(2, 2, 2, 2)
        self._build()
        self.set_colors(self.colors)

    def _build(self) -> None:
        self.view.ci.layout.setContentsMargins(0, 6, 4, 2)
        self.plot = self._add_plot(0)
        self.plot.setYRange(0, 1, padding=0.05)
        self.plot.getAxis("left").setTicks([SHARES])
        self.plot.getAxis("left").setWidth(_LEFT_AXIS)
        self.plot.setLabel("bottom", "← coarser &nbsp; &nbsp; block size, px &nbsp; &nbsp; finer →")
        right = self.plot.getAxis("right")
        right.setStyle(tickTextOffset=4, tickFont=self.plot.getAxis("left").style["tickFont"])
        self.unknown = pg.LinearRegionItem(movable=False, pen=pg.mkPen(None))
        self.nyquist = pg.InfiniteLine(angle=90, movable=False)
        self.nyquist_label = pg.InfLineLabel(
            self.nyquist, "", position=0.5, rotateAxis=(1, 0), anchors=[(0.5, 0), (0.5, 0)]
        )
        self.cutoff = pg.InfiniteLine(angle=90, movable=False)
        self.cutoff_label = pg.InfLineLabel(
            self.cutoff, "", position=_LABEL_HEIGHT, anchors=[_RIGHT, _RIGHT]
        )
        self.tag = pg.TextItem("", anchor=(0, 1))
        self.tag.hide()
        for depth, item in enumerate((self.unknown, self.nyquist, self.cutoff, self.tag)):
            item.setZValue(90 + depth if depth else -10)
            self.plot.addItem(item, ignoreBounds=True)

    # -- what it shows -------------------------------------------------------------------------

    def set_colors(self, colors: PlotColors) -> None:
        """Take the colors of a theme."""
        super().set_colors(colors)
        self.unknown.setBrush(pg.mkBrush(*colors.grid, 45))
        self.nyquist.setPen(pg.mkPen(colors.grid, width=1.5, style=Qt.PenStyle.DashLine))
        self.nyquist_label.setColor(colors.text)
        self.cutoff_label.setColor(colors.text)
        self.cutoff_label.fill = pg.mkBrush(*colors.background, 225)
        self.tag.fill = pg.mkBrush(*colors.background, 235)
        self.plot.getAxis("right").setPen(pg.mkPen(colors.grid))
        self.plot.getAxis("right").setTextPen(pg.mkPen(colors.text))
        self._show_cutoff()
        self.update()

    def set_axis(self, axis: Axis) -> None:
        """Show these frequencies; the curves that are shown belong to the axis before."""
        self.axis = axis
        self.plot.setXRange(*axis.range(), padding=0.0)
        self.plot.getAxis("bottom").setTicks([axis.ticks()])
        grid = float(axis.place(axis.nyquist))
        self.nyquist.setPos(grid)
        self.nyquist_label.setFormat(f"your grid: {axis.block} px")
        self.unknown.setRegion((grid, axis.range()[1] + 1))
        self.set_block(self.block)

    def show_curves(self, curves: Sequence[Curve], overlay: LossOverlay | None = None) -> None:
        """Draw label curves, and a model's loss over them."""
        self._curves = list(curves)
        self._overlay = overlay or LossOverlay()
        self._show_right_axis()
        self._redraw()

    def raise_curve(self, name: str, text: str = "") -> None:
        """Draw one curve thick and the others faint, and say what it is; "" takes it back."""
        self._raised, self._tag_text = name, text
        self._redraw()

    def set_block(self, block: int) -> None:
        """Move the cutoff to what blocks of this size resolve; says nothing."""
        self.block = min(max(block, self.axis.block), self.axis.coarsest)
        self.cutoff.setPos(float(self.axis.place(0.5 / self.block)))
        self._show_cutoff()
        self._place_tag()

    def set_description(self, text: str) -> None:
        """Say to a screen reader what the plot shows."""
        if text != self.accessibleDescription():
            self.setAccessibleDescription(text)

    def _show_cutoff(self) -> None:
        emphasis = self.hasFocus() or self._dragging
        color = self.colors.accent if emphasis else self.colors.text
        self.cutoff.setPen(pg.mkPen(color, width=3 if emphasis else 1.6))
        self.cutoff_label.setFormat("1 px" if self.block == 1 else f"blocks of {self.block} px")
        # Curves rise to the right: below them, at the right of the line, is most room.
        room = (self.axis.range()[1] - self.cutoff.value()) / self.plot.vb.viewPixelSize()[0]
        side = _RIGHT if room > self.cutoff_label.boundingRect().width() + 8 else _LEFT
        self.cutoff_label.anchors = [side, side]
        self.cutoff_label.updatePosition()
        self.tag.setAnchor(side)

    def _show_right_axis(self) -> None:
        shown = bool(self._overlay.curves)
        self.plot.showAxis("right", shown)
        if shown:
            self.plot.getAxis("right").setTicks([list(self._overlay.ticks)])
            self.plot.getAxis("right").setWidth(_RIGHT_AXIS)
            self.plot.getAxis("right").setGrid(False)

    def _redraw(self) -> None:
        curves = [*self._curves, *self._overlay.curves]
        shown = with_one_raised(curves, self._raised, self.colors.background)
        self._draw(self.plot, shown)
        self._draw_bands(shown)
        self._place_tag()

    def _draw_bands(self, curves: Sequence[Curve]) -> None:
        wanted = {curve.name: curve for curve in curves if curve.band is not None}
        for name in [name for name in self._bands if name not in wanted]:
            self.plot.removeItem(self._bands.pop(name))
        for name, curve in wanted.items():
            if name not in self._bands:
                item = QGraphicsPolygonItem()
                item.setPen(pg.mkPen(None))
                item.setZValue(-5)
                self._bands[name] = item
                self.plot.addItem(item, ignoreBounds=True)
            self._bands[name].setBrush(pg.mkBrush(*curve.color, 22))
            self._bands[name].setPolygon(_outline(curve))

    def _place_tag(self) -> None:
        known = [c for c in (*self._curves, *self._overlay.curves) if c.name == self._raised]
        self.tag.setVisible(bool(known and self._tag_text))
        if not known or not self._tag_text:
            return
        self.tag.setText(self._tag_text, color=known[0].color)
        self.tag.setPos(self.cutoff.value(), _TAG_HEIGHT)

    # -- the user ------------------------------------------------------------------------------

    def eventFilter(self, watched: Any, event: QEvent) -> bool:  # noqa: N802  (Qt's name)
        """Take the mouse from the plot: pyqtgraph's own moves are too narrow to grab."""
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton:
            return self._on_press(event)
        if kind == QEvent.Type.MouseMove:
            return self._on_mouse_moved(event)
        if kind == QEvent.Type.MouseButtonRelease and self._dragging:
            self._dragging = False
            self._show_cutoff()
            return True
        if kind == QEvent.Type.Leave:
            self._hover("")
        if kind == QEvent.Type.Wheel:
            event.ignore()  # the dock scrolls
            return True
        return super().eventFilter(watched, event)

    def _on_press(self, event: QMouseEvent) -> bool:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        inside = self.plot.vb.sceneBoundingRect().contains(event.position())
        if self._curves and inside:
            self._dragging = True
            self._move_to_mouse(event)
        return True

    def _on_mouse_moved(self, event: QMouseEvent) -> bool:
        if self._dragging:
            self._move_to_mouse(event)
            return True
        point = self.plot.vb.mapSceneToView(event.position())
        reach = _NEAR * self.plot.vb.viewPixelSize()[1]
        curves = [*self._curves, *self._overlay.curves]
        self._hover(nearest_curve(curves, point.x(), point.y(), reach))
        cursor = Qt.CursorShape.SplitHCursor if curves else Qt.CursorShape.ArrowCursor
        self.view.viewport().setCursor(cursor)
        return False

    def _hover(self, name: str) -> None:
        if name != self._hovered:
            self._hovered = name
            self.curve_hovered.emit(name)

    def _move_to_mouse(self, event: QMouseEvent) -> None:
        place = self.plot.vb.mapSceneToView(event.position()).x()
        self._move(snapped_block(self.axis.cutoff(place), self.axis))

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  (Qt's name)
        """Move the cutoff by the arrow keys, Home and End."""
        if not self._curves:
            super().keyPressEvent(event)
        elif event.key() in _ARROWS:
            coarser = event.key() == Qt.Key.Key_Left
            fine = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._move(next_block(self.block, coarser, fine, self.axis))
        elif event.key() in (Qt.Key.Key_Home, Qt.Key.Key_End):
            at_start = event.key() == Qt.Key.Key_Home
            self._move(self.axis.coarsest if at_start else self.axis.block)
        else:
            super().keyPressEvent(event)

    def _move(self, block: int) -> None:
        if block != self.block:
            self.set_block(block)
            self.block_moved.emit(self.block)

    def focusInEvent(self, event: QEvent) -> None:  # noqa: N802  (Qt's name)
        """Show where the keys go."""
        super().focusInEvent(event)
        self._show_cutoff()
        self.update()

    def focusOutEvent(self, event: QEvent) -> None:  # noqa: N802  (Qt's name)
        """Show that the keys go elsewhere."""
        super().focusOutEvent(event)
        self._show_cutoff()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802  (Qt's name)
        """Draw a frame while the keys go here."""
        super().paintEvent(event)
        if self.hasFocus():
            painter = QPainter(self)
            painter.setPen(QPen(pg.mkColor(self.colors.accent), 2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 3, 3)
            painter.end()


def _outline(curve: Curve) -> QPolygonF:
    """Return the band around a curve as a closed line."""
    low, high = curve.band or (curve.y, curve.y)
    known = np.isfinite(low) & np.isfinite(high)
    x = np.concatenate([curve.x[known], curve.x[known][::-1]])
    y = np.concatenate([low[known], high[known][::-1]])
    return QPolygonF([QPointF(float(a), float(b)) for a, b in zip(x, y, strict=True)])
