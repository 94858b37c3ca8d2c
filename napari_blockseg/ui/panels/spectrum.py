"""The Spectrum panel: what the painted labels say about the grid they are painted on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_blockseg.core.advice import Advice, EstimatedCeiling, estimate_ceilings, recommend
from napari_blockseg.core.spectrum import (
    MIN_BLOCKS,
    MIN_COVERAGE,
    LabelSpectrum,
    default_cutoffs,
    label_spectrum,
)
from napari_blockseg.ui.curves import energy_at, spectrum_curves
from napari_blockseg.ui.latest import Latest
from napari_blockseg.ui.panels.ceiling_table import CeilingTable
from napari_blockseg.ui.plots import SpectrumCanvas, theme_colors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.ui.session import Session

_CURVE_MS = 30
_ADVICE_MS = 400


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the advice thread found: ceilings and the recommended block."""

    ceilings: list[EstimatedCeiling]
    advice: Advice


def measure(labels: BlockLabels, n_classes: int) -> LabelSpectrum:
    """Return the label spectrum from the image's lowest frequency to the block Nyquist.

    Parameters
    ----------
    labels
        Of one plane.
    n_classes
        K.
    """
    block = labels.grid.block
    lowest = 1 / (max(labels.values.shape) * block)
    cutoffs = default_cutoffs(block)
    inside = cutoffs[cutoffs >= lowest * (1 - 1e-9)]
    return label_spectrum(labels.values, n_classes, block, inside if len(inside) > 1 else cutoffs)


def judge(labels: BlockLabels, classes: Sequence[ClassInfo]) -> Judgement:
    """Return the estimated ceilings and the advice for these labels."""
    ceilings = estimate_ceilings([labels], len(classes))
    return Judgement(ceilings, recommend(ceilings, [info.name for info in classes]))


def needed_blocks(n_blocks: int) -> int:
    """Return how many blocks have to be labelled before the spectrum says anything."""
    return max(math.ceil(MIN_COVERAGE * n_blocks), min(MIN_BLOCKS, n_blocks))


class SpectrumPanel(QWidget):
    """Live label spectrum of the shown image, ceilings per block size, and the block to use.

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
        self._spectrum: LabelSpectrum | None = None
        self._advice: Advice | None = None
        self._cutoff: float | None = None
        self._curve_task = Latest(measure, _CURVE_MS, self)
        self._advice_task = Latest(judge, _ADVICE_MS, self)
        self._curve_task.done.connect(self._on_spectrum)
        self._advice_task.done.connect(self._on_judgement)
        for task in (self._curve_task, self._advice_task):
            task.failed.connect(session.report)
        self._build()
        self._listen(session)
        self.restart()

    def value(self) -> float | None:
        """Return the cutoff in cycles per pixel, None while there is no spectrum."""
        return self._cutoff

    def set_value(self, cutoff: float) -> None:
        """Move the cutoff, cycles per pixel; says nothing."""
        self._cutoff = cutoff
        self.canvas.set_cutoff(cutoff)
        self._fill_energy()

    @property
    def spectrum(self) -> LabelSpectrum | None:
        """What is drawn, None before anything is."""
        return self._spectrum

    def close_threads(self) -> None:
        """End the background threads; the panel shows nothing new afterwards."""
        self._session.viewer.events.theme.disconnect(self._on_theme)
        self._curve_task.close()
        self._advice_task.close()

    def restart(self) -> None:
        """Forget what was measured (another image, grid or class list) and measure again."""
        for task in (self._curve_task, self._advice_task):
            task.forget()
        self._spectrum = self._advice = self._cutoff = None
        self.table.set_classes(self._session.classes)
        self.table.set_block(self._empty_range()[1])
        self._clear("Open an image and paint some blocks.")
        self._measure()

    # -- building ------------------------------------------------------------------------------

    def _build(self) -> None:
        self.canvas = SpectrumCanvas()
        self.canvas.setToolTip(
            "Share of each class's energy that a grid can hold. Drag the line: the table shows "
            "what is kept below it."
        )
        self.canvas.cutoff_moved.connect(self._on_cutoff_moved)
        self.table = CeilingTable()
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.regrid = QPushButton()
        self.regrid.clicked.connect(self._on_regrid_clicked)
        layout = QVBoxLayout(self)
        for widget in (self.canvas, self.table, self.words, self.regrid):
            layout.addWidget(widget)
        layout.setStretch(0, 1)
        layout.addStretch(1)

    def _listen(self, session: Session) -> None:
        session.labels_changed.connect(self._on_labels_changed)
        session.classes_changed.connect(self.restart)
        session.image_changed.connect(self.restart)
        session.regridded.connect(self.restart)
        session.project_closed.connect(self.restart)
        session.viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    def _on_theme(self, event: object = None) -> None:
        self.canvas.set_colors(theme_colors(self._session.viewer.theme))
        self._draw()

    # -- measuring -----------------------------------------------------------------------------

    def _on_labels_changed(self, image_id: str) -> None:
        if image_id == self._session.image_id:
            self._measure()

    def _measure(self) -> None:
        labels = self._plane()
        if labels is None:
            return
        classes = self._session.classes
        total, painted = labels.values.size, labels.n_labelled
        if painted < needed_blocks(total):
            for task in (self._curve_task, self._advice_task):
                task.forget()
            self._spectrum = None
            self._clear(
                f"Not enough paint yet\n{painted} of at least {needed_blocks(total)} blocks"
            )
            return
        self._curve_task.ask(labels, len(classes))
        self._advice_task.ask(labels, classes)

    def _plane(self) -> BlockLabels | None:
        labels = self._session.labels()
        if labels is None or not self._session.classes:
            return None
        index = self._session.slice_index()
        return labels.plane(index) if index else labels

    # -- showing -------------------------------------------------------------------------------

    def _on_spectrum(self, spectrum: LabelSpectrum) -> None:
        self._spectrum = spectrum
        if self._cutoff is None:
            self._cutoff = 0.5 / (2 * self._session.block)
        self._draw()
        self._fill_energy()

    def _draw(self) -> None:
        spectrum = self._spectrum
        if spectrum is None or self._cutoff is None:
            return
        self.canvas.set_message("" if spectrum.enough else "Not enough paint yet")
        background = self.canvas.colors.background
        curves = spectrum_curves(spectrum, self._session.classes, background)
        self.canvas.show_curves(curves, float(spectrum.cutoffs[0]), self._session.block)
        self.canvas.set_cutoff(self._cutoff)

    def _clear(self, text: str) -> None:
        self.canvas.show_curves([], *self._empty_range())
        self.canvas.set_message(text)
        self.table.clear_values()
        self.words.clear()
        self.news_changed.emit("")
        self.words.hide()
        self.regrid.hide()

    def _empty_range(self) -> tuple[float, int]:
        block = self._session.block if self._session.classes else 16
        return 0.5 / block / 64, block

    def _fill_energy(self) -> None:
        if self._spectrum is not None and self._cutoff is not None:
            self.table.set_kept(energy_at(self._spectrum, self._cutoff), self._cutoff)

    def _on_judgement(self, judgement: Judgement) -> None:
        self._advice = judgement.advice
        block = self._session.block
        self.table.set_ceilings(judgement.ceilings, judgement.advice.recommended_block)
        self.words.setText(judgement.advice.reason)
        self.words.show()
        recommended = judgement.advice.recommended_block
        fits = "{} px fits" if recommended == block else "use {} px blocks"
        self.news_changed.emit("" if recommended is None else fits.format(recommended))
        self.regrid.setVisible(recommended is not None and recommended != block)
        self.regrid.setText(f"Change the grid to blocks of {recommended} px")

    # -- the user ------------------------------------------------------------------------------

    def _on_cutoff_moved(self, cutoff: float) -> None:
        self._cutoff = cutoff
        self._fill_energy()
        self.value_changed.emit(cutoff)

    def _on_regrid_clicked(self) -> None:
        if self._advice is not None and self._advice.recommended_block is not None:
            self.regrid_requested.emit(self._advice.recommended_block)
