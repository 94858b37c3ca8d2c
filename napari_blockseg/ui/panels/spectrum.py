"""The Spectrum panel: what the painted labels say about the grid they are painted on."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_blockseg.ui.axis import Axis
from napari_blockseg.ui.panels import spectrum_words as words
from napari_blockseg.ui.panels.ceiling_table import CeilingTable
from napari_blockseg.ui.panels.spectrum_advice import SpectrumAdvice
from napari_blockseg.ui.panels.spectrum_measure import Judgement, Measurement
from napari_blockseg.ui.panels.spectrum_meter import SpectrumMeter
from napari_blockseg.ui.panels.spectrum_overlay import OverlayChooser
from napari_blockseg.ui.plots import theme_colors
from napari_blockseg.ui.remembered import recall, remember
from napari_blockseg.ui.spectrum_canvas import SpectrumCanvas
from napari_blockseg.ui.spectrum_geometry import (
    LossOverlay,
    energy_at,
    error_at,
    loss_overlay,
    spectrum_curves,
)
from napari_blockseg.ui.wrapped import WrappedLabel

if TYPE_CHECKING:
    from napari_blockseg.core.analysis import Analysis
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.spectrum import LabelSpectrum
    from napari_blockseg.ui.session import Session

_LOG_AXIS = "spectrum_log_axis"
_PATIENCE_MS = 250
_PLOT_TIP = (
    "How much of each class's painted shape a grid of blocks keeps. Drag the line to a block size, "
    "or use ← and → (Shift: by a pixel; Home, End: to the ends)."
)
_SCOPE_TIP = "Which labels are measured, and advised on (S)"
_LOG_TIP = "Give every halving of the block the same room (L); else frequencies are drawn evenly"


class SpectrumPanel(QWidget):
    """Live label spectrum, ceilings per block size, the block to use, and a model's loss.

    Parameters
    ----------
    session
        The open project. The panel follows its labels, classes and image by itself.
    """

    #: The user moved the cutoff, cycles per pixel.
    value_changed = Signal(float)
    #: One line for the panel's title.
    news_changed = Signal(str)
    #: The user wants this block size, in pixels.
    regrid_requested = Signal(int)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._measurement: Measurement | None = None
        self._judgement: Judgement | None = None
        self._analysis: Analysis | None = None
        self._block: int | None = None
        self._classes: tuple[ClassInfo, ...] = ()
        self._hovered = ""
        self._patience = QTimer(self, interval=_PATIENCE_MS, singleShot=True)
        self._patience.timeout.connect(lambda: self.canvas.set_message("Measuring…"))
        self.meter = SpectrumMeter(session, self)
        self._build()
        self._join()
        self._on_theme()
        self.restart()

    def value(self) -> float | None:
        """Return the cutoff in cycles per pixel, None while there is no spectrum."""
        return None if self._block is None or self.spectrum is None else 0.5 / self._block

    def set_value(self, cutoff: float) -> None:
        """Move the cutoff to the block that resolves it, cycles per pixel; says nothing."""
        self._block = max(round(0.5 / cutoff), 1)
        self._show_cutoff()

    @property
    def spectrum(self) -> LabelSpectrum | None:
        """What is drawn, None before anything is."""
        return None if self._measurement is None else self._measurement.spectrum

    def set_analysis(self, analysis: Analysis | None) -> None:
        """Lay the loss of an analysed model over the curves; None takes it away."""
        self._analysis = analysis
        self._draw()
        self._show_cutoff()

    def close_threads(self) -> None:
        """End the background threads; the panel shows nothing new afterwards."""
        self._session.viewer.events.theme.disconnect(self._on_theme)
        self.meter.close()

    def restart(self) -> None:
        """Forget what was measured (another project, grid or class list) and measure again."""
        self._fill_scopes()
        self.meter.restart()

    # -- building ------------------------------------------------------------------------------

    def _build(self) -> None:
        self.canvas = SpectrumCanvas()
        self.canvas.setAccessibleName("Label spectrum with a cutoff")
        self.canvas.setToolTip(_PLOT_TIP)
        # Room for two lines at any time: nothing may jump while the line is dragged.
        self.kept = WrappedLabel(least_lines=2)
        self.kept.hide()
        self.paint_bar = QProgressBar()
        self.paint_bar.setTextVisible(False)
        self.paint_bar.setFixedHeight(10)
        self.paint_bar.setAccessibleName("Paint that is there, of what the spectrum needs")
        self.table = CeilingTable()
        self.advice = SpectrumAdvice()
        self.advice.regrid_requested.connect(self.regrid_requested)
        self.overlay = OverlayChooser()
        layout = QVBoxLayout(self)
        layout.setSpacing(5)
        layout.addLayout(self._make_choices())
        shown = (self.canvas, self.paint_bar, self.kept, self.table, self.advice, self.overlay)
        for widget in shown:
            layout.addWidget(widget)
        layout.setStretch(1, 1)
        layout.addStretch(1)
        chain = [self.scope, self.log, self.canvas, self.table, self.advice.regrid]
        chain += self.overlay.focus_chain()
        for first, second in pairwise(chain):
            QWidget.setTabOrder(first, second)

    def _make_choices(self) -> QHBoxLayout:
        self.scope = QComboBox()
        self.scope.setAccessibleName("Which labels are measured")
        self.scope.setToolTip(_SCOPE_TIP)
        self.scope.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.scope.setMinimumContentsLength(5)
        self.log = QCheckBox("log axis")
        self.log.setToolTip(_LOG_TIP)
        self.log.setChecked(recall(_LOG_AXIS, True))
        label = QLabel("&Scope")
        label.setBuddy(self.scope)
        row = QHBoxLayout()
        row.addWidget(label)
        row.addWidget(self.scope, 1)
        row.addWidget(self.log)
        return row

    def _join(self) -> None:
        session, meter = self._session, self.meter
        self.canvas.block_moved.connect(self._on_block_moved)
        self.canvas.curve_hovered.connect(self._on_curve_hovered)
        self.table.class_hovered.connect(self._on_class_hovered)
        self.table.class_pinned.connect(lambda _: self._show_raised())
        self.scope.currentIndexChanged.connect(self._on_scope_chosen)
        self.log.toggled.connect(self._on_log_toggled)
        meter.measured.connect(self._on_measured)
        meter.judged.connect(self._on_judged)
        meter.emptied.connect(self._on_emptied)
        meter.reading.connect(self._on_reading)
        session.classes_changed.connect(self._on_classes_changed)
        session.image_changed.connect(lambda _: self._fill_scopes())
        session.project_closed.connect(self._fill_scopes)
        session.viewer.events.theme.connect(self._on_theme)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802  (Qt's name)
        """S: the next scope; L: the other kind of axis."""
        if event.key() == Qt.Key.Key_S:
            self._on_next_scope()
        elif event.key() == Qt.Key.Key_L:
            self.log.toggle()
        else:
            super().keyPressEvent(event)

    # -- what there is to choose ---------------------------------------------------------------

    def _fill_scopes(self) -> None:
        labels = self._session.labels()
        planes = 0 if labels is None else int(np.prod(labels.grid.leading_shape, dtype=int))
        stack = labels is not None and bool(labels.grid.leading_shape)
        images = len(self._session.project.image_ids) if self._session.project is not None else 0
        texts = {
            "plane": "this plane" if stack else "",
            "image": f"this image, {planes} planes" if stack else "this image",
            "project": f"all {images} images" if images > 1 else "",
        }
        offered = {scope: text for scope, text in texts.items() if text}
        chosen = self.meter.scope if self.meter.scope in offered else "image"
        blocked = self.scope.blockSignals(True)
        self.scope.clear()
        for scope, text in offered.items():
            self.scope.addItem(text, scope)
        self.scope.setCurrentIndex(self.scope.findData(chosen))
        self.scope.setEnabled(len(offered) > 1)
        self.scope.blockSignals(blocked)
        self.meter.set_scope(chosen)

    def _on_scope_chosen(self, _index: int) -> None:
        self.meter.set_scope(self.scope.currentData())

    def _on_next_scope(self) -> None:
        self.scope.setCurrentIndex((self.scope.currentIndex() + 1) % self.scope.count())

    def _on_log_toggled(self, on: bool) -> None:
        remember(_LOG_AXIS, on)
        self._draw()
        self._show_cutoff()

    def _on_classes_changed(self) -> None:
        self._classes = self._session.classes
        self.table.set_classes(self._classes)

    def _on_theme(self, event: object = None) -> None:
        self.canvas.set_colors(theme_colors(self._session.viewer.theme))
        self._draw()

    # -- what was measured ---------------------------------------------------------------------

    def _on_emptied(self) -> None:
        """Show nothing: what was shown is about something else."""
        self._measurement = self._judgement = None
        if self._session.classes != self._classes:
            self._on_classes_changed()
        self._clear("")
        if self._session.labels() is None or not self._session.classes:
            self._patience.stop()
            self.canvas.set_message("Open an image and paint some blocks.")
        else:
            self._patience.start()

    def _on_reading(self, done: int, total: int) -> None:
        self._patience.stop()
        self.canvas.set_message(f"Reading the labels of image {done + 1} of {total}…")

    def _on_measured(self, measurement: Measurement) -> None:
        self._patience.stop()
        self._measurement = measurement
        if measurement.spectrum is None:
            self._judgement = None
            self._show_too_little(measurement)
            return
        if self._block is None or self._block < self._session.block:
            self._block = 2 * self._session.block
        self.paint_bar.hide()
        self.canvas.set_message("")
        self._draw()
        self._show_cutoff()
        self._show_advice()

    def _show_too_little(self, measurement: Measurement) -> None:
        labels = self._session.labels()
        stack = labels is not None and bool(labels.grid.leading_shape)
        painted, total = measurement.painted, measurement.total
        self._clear(words.too_little_words(painted, total, self.meter.scope, stack))
        self.paint_bar.setRange(0, words.needed_blocks(total))
        self.paint_bar.setValue(painted)
        self.paint_bar.show()

    def _on_judged(self, judgement: Judgement | None) -> None:
        self._judgement = judgement
        self._show_advice()

    # -- showing -------------------------------------------------------------------------------

    def _axis(self) -> Axis:
        block = self._session.block if self._session.classes else 16
        low = 1 / (64 * block) if self._measurement is None else self._measurement.low
        # A grid of a few blocks still gets two octaves to move the line in.
        low = min(max(low, 1 / (128 * block)), 1 / (8 * block))
        return Axis(low, block, self.log.isChecked())

    def _draw(self) -> None:
        spectrum, axis = self.spectrum, self._axis()
        self.canvas.set_axis(axis)
        if spectrum is None:
            return
        background = self.canvas.colors.background
        curves = spectrum_curves(spectrum, self._session.classes, background, axis)
        overlay = LossOverlay()
        if self._analysis is not None:
            text = self.canvas.colors.text
            overlay = loss_overlay(self._analysis, axis, text, background)
        self.canvas.show_curves(curves, overlay)

    def _clear(self, text: str) -> None:
        self.canvas.set_axis(self._axis())
        self.canvas.show_curves([])
        self.canvas.set_message(text)
        self.canvas.set_description(text)
        self.table.set_block(self._session.block if self._session.classes else 16)
        self.table.clear_values()
        self.overlay.set_words("")
        for widget in (self.paint_bar, self.kept, self.advice):
            widget.hide()
        self.news_changed.emit("")

    def _show_cutoff(self) -> None:
        spectrum = self.spectrum
        if spectrum is None or self._block is None:
            return
        self.canvas.set_block(self._block)
        self._block = self.canvas.block
        self.table.set_kept(energy_at(spectrum, 0.5 / self._block), self._block)
        said = words.kept_words(spectrum, self._block, self._session.classes)
        self.kept.setText(said)
        self.kept.show()
        self.canvas.set_description(said)
        known = "" if self._analysis is None else words.loss_words(self._analysis, self._block)
        self.overlay.set_words(known)
        self._show_raised()

    def _show_raised(self) -> None:
        """Bring the curve in front that the mouse means, else the one that was clicked."""
        classes, pinned = self._session.classes, self.table.pinned
        name = self._hovered or (classes[pinned].name if 0 <= pinned < len(classes) else "")
        self.canvas.raise_curve(name, self._tag_of(name))

    def _tag_of(self, name: str) -> str:
        names = [info.name for info in self._session.classes]
        if name not in names or self.spectrum is None or self._block is None:
            return name
        place = names.index(name)
        kept = float(energy_at(self.spectrum, 0.5 / self._block)[place])
        error = float(error_at(self.spectrum, 0.5 / self._block)[place])
        if not np.isfinite(kept):
            return f"{name}: not painted"
        band = f" ± {100 * error:.0f}" if np.isfinite(error) and error >= 0.005 else ""
        return f"{name} {100 * kept:.0f}{band} %"

    def _show_advice(self) -> None:
        judgement, block = self._judgement, self._session.block
        if judgement is None or self.spectrum is None:
            return
        advice = judgement.advice
        self.table.set_ceilings(judgement.ceilings, advice.recommended_block)
        self.advice.show_judgement(judgement, block)
        self.news_changed.emit(words.news(advice, block))

    # -- the user ------------------------------------------------------------------------------

    def _on_block_moved(self, block: int) -> None:
        self._block = block
        self._show_cutoff()
        self.value_changed.emit(0.5 / block)

    def _on_curve_hovered(self, name: str) -> None:
        self._hovered = name
        self._show_raised()

    def _on_class_hovered(self, index: int) -> None:
        self._on_curve_hovered(self._session.classes[index].name if index >= 0 else "")
