"""The advice below the spectrum: which block size to use, why, and a button that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_blockseg.ui.panels import spectrum_words as words
from napari_blockseg.ui.wrapped import WrappedLabel

if TYPE_CHECKING:
    from napari_blockseg.ui.panels.spectrum_measure import Judgement

_REGRID_TIP = "Puts what is painted in all images on the new grid, in one step that undo takes back"


class SpectrumAdvice(QWidget):
    """Say which block size to use; hidden while nothing is known."""

    #: The user wants this block size, in pixels.
    regrid_requested = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._wanted: int | None = None
        self.headline = WrappedLabel()
        self.headline.setObjectName("blockseg_title")
        self.words = WrappedLabel()
        self.regrid = QPushButton()
        self.regrid.setToolTip(_REGRID_TIP)
        self.regrid.clicked.connect(self._on_regrid_clicked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        for widget in (self.headline, self.words, self.regrid):
            layout.addWidget(widget)
        self.hide()

    def show_judgement(self, judgement: Judgement, block: int) -> None:
        """Show what is advised to someone who paints blocks of this size, in pixels."""
        advice = judgement.advice
        self._wanted = advice.recommended_block
        self.headline.setText(words.headline(advice, block))
        sentences = [advice.reason]
        regrids = self._wanted is not None and self._wanted != block
        if regrids:
            sentences.append(words.change_words(judgement.changed, block, self._wanted))
            self.regrid.setText(f"Change the grid to {words.blocks_of(self._wanted)}")
        self.words.setText(" ".join(sentences))
        self.regrid.setVisible(regrids)
        self.show()

    def _on_regrid_clicked(self) -> None:
        if self._wanted is not None:
            self.regrid_requested.emit(self._wanted)
