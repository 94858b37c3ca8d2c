"""The Predict panel: which model, on what, and what came out. Knows no worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_blockseg.ui.class_bar import ClassBar
from napari_blockseg.ui.job_bar import JobBar, MessageLine, chips
from napari_blockseg.ui.runs import RunInfo, run_title
from napari_blockseg.ui.suggestions import SuggestionBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_blockseg.ui.session import Session

LIVE = "live"


@dataclass(frozen=True)
class PredictChoice:
    """What the Predict panel is about.

    Parameters
    ----------
    model
        Name of a run, "live" for the network in training, "" while there is none.
    follow
        Whether the preview is kept up to date with the view and the training.
    opacity
        Of the prediction layer, 0 to 1.
    uncertainty
        Whether it is shown where the network is unsure.
    uncertainty_opacity
        Of that layer, 0 to 1.
    """

    model: str = ""
    follow: bool = False
    opacity: float = 0.5
    uncertainty: bool = False
    uncertainty_opacity: float = 0.7


class PredictPanel(QWidget):
    """Choose a model, preview what is in view, predict whole images, export masks.

    Parameters
    ----------
    session
        The open project: its classes color the result.
    """

    value_changed = Signal()
    #: One line for the panel's title.
    news_changed = Signal(str)
    preview_requested = Signal()
    image_requested = Signal()
    all_images_requested = Signal()
    stop_requested = Signal()
    #: (folder) The user wants the predictions of the chosen run as masks in this folder.
    export_requested = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._live = False
        self._runs: list[RunInfo] = []
        self._busy = False
        self._build()
        self._fill_models()

    def value(self) -> PredictChoice:
        """Return what is chosen."""
        return PredictChoice(
            self.model.currentData() or "",
            self.follow.isChecked(),
            self.opacity.value() / 100,
            self.uncertainty.isChecked(),
            self.uncertainty_opacity.value() / 100,
        )

    def set_value(self, choice: PredictChoice) -> None:
        """Show a choice; says nothing. A model that there is not leaves the model as it is."""
        blocked = self.blockSignals(True)
        index = self.model.findData(choice.model)
        if index >= 0:
            self.model.setCurrentIndex(index)
        self.follow.setChecked(choice.follow)
        self.opacity.setValue(round(100 * choice.opacity))
        self.uncertainty.setChecked(choice.uncertainty)
        self.uncertainty_opacity.setValue(round(100 * choice.uncertainty_opacity))
        self.blockSignals(blocked)

    def set_live(self, live: bool) -> None:
        """Offer the network in training, or not; it is chosen when it appears."""
        if live != self._live:
            self._live = live
            chosen = LIVE if live else (self._runs[0].name if self._runs else "")
            self._fill_models(chosen)

    def set_runs(self, runs: Sequence[RunInfo]) -> None:
        """List the trained runs, newest first."""
        if list(runs) != self._runs:
            self._runs = list(runs)
            self._fill_models(self.model.currentData())

    def show_busy(self, share: float | None, text: str) -> None:
        """Show the progress of a job, 0 to 1 or None, and let nothing else start."""
        self._busy = True
        self.bar.show_progress(share, text)
        self.news_changed.emit("" if share is None else f"{100 * share:.0f} %")
        self._enable()

    def show_idle(self) -> None:
        """No job runs."""
        self._busy = False
        self.bar.hide()
        self.news_changed.emit("")
        self._enable()

    def show_result(self, pixels: dict[str, int], where: str) -> None:
        """Show how many pixels each class got, and where."""
        total = sum(pixels.values())
        shares = {name: n / total for name, n in pixels.items() if n and total}
        self.shares.set_shares(
            [(info.color, shares.get(info.name, 0.0)) for info in self._session.classes]
        )
        ranked = {name: f"{100 * s:.0f}&nbsp;%" for name, s in shares.items()}
        self.result.setText(f"{where}: " + chips(self._session.classes, ranked))
        self.result.show()
        self.message.show_message("info", "")

    def show_message(self, level: str, text: str) -> None:
        """Tell something; level is "info", "warning" or "error", an empty text clears."""
        self.message.show_message(level, text)

    # -- building ------------------------------------------------------------------------------

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.addLayout(self._make_form())
        layout.addLayout(self._make_buttons())
        self.bar = JobBar()
        self.bar.stop_requested.connect(self.stop_requested)
        self.shares = ClassBar()
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.result.hide()
        self.message = MessageLine()
        self.export = QPushButton("Export masks…")
        self.export.setToolTip("Write the predictions of the chosen run as label images")
        self.export.clicked.connect(self._on_export_clicked)
        self.suggestions = SuggestionBox()
        widgets = (self.bar, self.shares, self.result, self.message, self.export, self.suggestions)
        for widget in widgets:
            layout.addWidget(widget)
        layout.addStretch(1)

    def _make_form(self) -> QFormLayout:
        self.model = QComboBox()
        self.model.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.model.setMinimumContentsLength(8)
        self.model.currentIndexChanged.connect(self._on_changed)
        self.opacity = self._make_slider(PredictChoice().opacity)
        self.uncertainty = QCheckBox("Uncertainty")
        self.uncertainty.setToolTip(
            "Show where the network is unsure, block by block: dark sure, bright torn between two "
            "classes. The slider sets how strongly."
        )
        self.uncertainty.toggled.connect(self._on_changed)
        self.uncertainty_opacity = self._make_slider(PredictChoice().uncertainty_opacity)
        self.uncertainty_opacity.setAccessibleName("Opacity of the uncertainty")
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Model", self.model)
        form.addRow("Opacity", self.opacity)
        form.addRow(self.uncertainty, self.uncertainty_opacity)
        return form

    def _make_slider(self, share: float) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(0, 100)
        slider.setValue(round(100 * share))
        slider.valueChanged.connect(self._on_changed)
        return slider

    def _make_buttons(self) -> QVBoxLayout:
        self.preview = QPushButton("Preview view")
        self.preview.setToolTip("Predict the part of the image that is in view")
        self.follow = QCheckBox("Keep up to date")
        self.follow.setToolTip("Preview again when the view moves and while the network learns")
        self.image = QPushButton("Whole image")
        self.image.setToolTip("Predict the shown image and keep the mask in the project")
        self.all_images = QPushButton("All images")
        self.all_images.setToolTip("Predict every image of the project")
        self.preview.clicked.connect(self.preview_requested)
        self.image.clicked.connect(self.image_requested)
        self.all_images.clicked.connect(self.all_images_requested)
        self.follow.toggled.connect(self._on_changed)
        rows = QVBoxLayout()
        for left, right in ((self.preview, self.follow), (self.image, self.all_images)):
            row = QHBoxLayout()
            row.addWidget(left, 1)
            row.addWidget(right, 1)
            rows.addLayout(row)
        return rows

    # -- showing -------------------------------------------------------------------------------

    def _fill_models(self, chosen: str | None = None) -> None:
        before = self.model.currentData()
        blocked = self.model.blockSignals(True)
        self.model.clear()
        if self._live:
            self.model.addItem("in training", LIVE)
        for run in self._runs:
            score = "" if run.val_miou is None else f", mIoU {run.val_miou:.2f}"
            self.model.addItem(run_title(run.name) + score, run.name)
            self.model.setItemData(self.model.count() - 1, run.name, Qt.ItemDataRole.ToolTipRole)
        if not self.model.count():
            self.model.addItem("train one first", "")
        self.model.setCurrentIndex(max(self.model.findData(chosen), 0))
        self.model.blockSignals(blocked)
        self._enable()
        if self.model.currentData() != before:
            self.value_changed.emit()

    def _enable(self) -> None:
        ready = bool(self.model.currentData())
        for button in (self.preview, self.image, self.all_images):
            button.setEnabled(ready and not self._busy)
        self.follow.setEnabled(ready)
        self.uncertainty.setEnabled(ready)
        self.uncertainty_opacity.setEnabled(ready and self.uncertainty.isChecked())
        self.suggestions.set_ready(ready)
        self.export.setEnabled(bool(self._runs) and not self._busy)

    def _on_changed(self) -> None:
        self._enable()
        self.value_changed.emit()

    def _on_export_clicked(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export masks to a new folder in")
        if folder:
            self.export_requested.emit(folder)
