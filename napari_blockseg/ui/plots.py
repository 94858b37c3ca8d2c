"""Plot canvases: they draw the curves of `ui.curves` and hold no rule of their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import qtpy

# pyqtgraph picks a binding of its own otherwise, and two in one process end badly.
os.environ.setdefault("PYQTGRAPH_QT_LIB", qtpy.API_NAME)

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_blockseg.ui.curves import (
    Color,
    Curve,
    TrainingHistory,
    iou_curves,
    loss_curves,
    mixed,
)

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo

#: Ticks of an axis of shares.
SHARES = [(0.0, "0"), (0.25, ""), (0.5, "50"), (0.75, ""), (1.0, "100 %")]


@dataclass(frozen=True)
class PlotColors:
    """Colors of a plot, from the viewer's theme: background, text, accent."""

    background: Color = (38, 41, 48)
    text: Color = (240, 241, 242)
    accent: Color = (86, 180, 233)

    @property
    def grid(self) -> Color:
        """Of axes and helper lines."""
        return mixed(self.text, self.background, 0.45)


def theme_colors(theme_id: str) -> PlotColors:
    """Return the plot colors of a napari theme."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_id)
    light = sum(theme.background.as_rgb_tuple()[:3]) > 3 * 127
    accent = (0, 114, 178) if light else (86, 180, 233)
    return PlotColors(
        tuple(theme.background.as_rgb_tuple()[:3]), tuple(theme.text.as_rgb_tuple()[:3]), accent
    )


class Canvas(QWidget):
    """A pyqtgraph view that does not move under the mouse, with a text for when it is empty."""

    def __init__(self, height: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.colors = PlotColors()
        self.view = pg.GraphicsLayoutWidget(self)
        self.view.setMinimumHeight(height)
        self.setMaximumHeight(round(1.6 * height))
        self.view.ci.layout.setContentsMargins(0, 8, 14, 4)
        self.view.ci.layout.setVerticalSpacing(2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.message = QLabel(self.view)
        self.message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.message.setWordWrap(True)
        self.message.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._lines: dict[tuple[int, str], pg.PlotDataItem] = {}

    def set_message(self, text: str) -> None:
        """Show a text in place of the plot; an empty one brings the plot back."""
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def resizeEvent(self, event: Any) -> None:  # noqa: N802  (Qt's name)
        """Keep the message in the middle."""
        super().resizeEvent(event)
        self.message.setGeometry(self.view.rect())

    def set_colors(self, colors: PlotColors) -> None:
        """Take the colors of a theme."""
        self.colors = colors
        self.view.setBackground(colors.background)
        self.message.setStyleSheet(
            f"color: rgb{colors.text}; background: rgb{colors.background}; padding: 20px;"
        )
        for plot in self._plots():
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(pg.mkPen(colors.grid))
                axis.setTextPen(pg.mkPen(colors.text))

    def _plots(self) -> list[pg.PlotItem]:
        return [item for item in self.view.ci.items if isinstance(item, pg.PlotItem)]

    def _add_plot(self, row: int) -> pg.PlotItem:
        plot = self.view.addPlot(row=row, col=0)
        plot.setMouseEnabled(x=False, y=False)
        plot.setMenuEnabled(False)
        plot.hideButtons()
        plot.getAxis("left").setWidth(42)
        plot.getAxis("left").enableAutoSIPrefix(False)
        plot.getAxis("bottom").enableAutoSIPrefix(False)
        font = self.font()
        font.setPointSizeF(max(font.pointSizeF() - 1, 7))
        for side in ("left", "bottom"):
            plot.getAxis(side).setStyle(
                tickFont=font, tickTextOffset=4, maxTickLevel=0, hideOverlappingLabels=False
            )
        plot.showGrid(y=True, alpha=0.12)
        return plot

    def _draw(self, plot: pg.PlotItem, curves: Sequence[Curve]) -> None:
        """Draw the curves; lines of the last time are moved rather than made anew."""
        wanted = {(id(plot), curve.name) for curve in curves}
        for key in [k for k in self._lines if k[0] == id(plot) and k not in wanted]:
            plot.removeItem(self._lines.pop(key))
        for depth, curve in enumerate(curves):
            key = (id(plot), curve.name)
            if key not in self._lines:
                self._lines[key] = plot.plot([], [], antialias=True, connect="finite")
            line = self._lines[key]
            line.setPen(pg.mkPen(curve.color, width=curve.width, dash=curve.dash))
            single = len(curve.x) == 1
            line.setSymbol("o" if single else None)
            line.setSymbolSize(6)
            line.setSymbolBrush(pg.mkBrush(curve.color))
            line.setData(curve.x, curve.y)
            line.setZValue(depth)


class TrainingCanvas(Canvas):
    """Training as it goes: loss above, held-out IoU below, over steps."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(240, parent)
        self.loss = self._add_plot(0)
        self.iou = self._add_plot(1)
        self.iou.setXLink(self.loss)
        # With a grid, pyqtgraph drops labels that reach out of the plot: leave them room.
        self.iou.setYRange(0, 1, padding=0.12)
        self.iou.getAxis("left").setTicks([SHARES])
        self.loss.setLabel("left", "loss")
        self.iou.setLabel("left", "IoU")
        self.iou.setLabel("bottom", "step")
        self.loss.getAxis("bottom").setStyle(showValues=False)
        self.set_colors(self.colors)

    def show_history(
        self, history: TrainingHistory, classes: Sequence[ClassInfo], steps: int | None
    ) -> None:
        """Draw a run; `steps` is its planned length, None when time decides."""
        colors = self.colors
        curves = loss_curves(history, colors.accent, colors.background)
        self._draw(self.loss, curves)
        self._draw(self.iou, iou_curves(history, classes, colors.text, colors.background))
        reached = max([*history.steps[-1:], *history.val_steps[-1:], 10])
        self.loss.setXRange(0, max(steps or 0, reached), padding=0.02)
        self._fit_loss(curves[0].y)

    def _fit_loss(self, values: np.ndarray) -> None:
        """Leave a few wild steps outside rather than squeeze all the others to the ground."""
        known = values[np.isfinite(values)]
        if len(known):
            top = max(float(np.percentile(known, 98)), float(known[-1])) * 1.1
            self.loss.setYRange(0, top or 1.0, padding=0)
