"""How long to train: a number of steps, which can be repeated exactly, or of minutes."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QSizePolicy, QWidget

from napari_blockseg.core.config import DEFAULT_STEPS, TrainConfig

_DEFAULTS = {"steps": float(DEFAULT_STEPS), "minutes": 10.0}


class LengthRow(QWidget):
    """A number and its unit; the config wants exactly one of the two fields."""

    #: The user changed it.
    value_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.label = QLabel("Train for")
        self.label.setToolTip("Steps can be repeated exactly; minutes end when you need them to.")
        self.number = QDoubleSpinBox()
        # Its buttons would leave no room for four digits where the dock is narrow. napari's style
        # sheet asks for 90 pixels, which only another style sheet can change.
        self.number.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.number.setStyleSheet("min-width: 40px;")
        self.number.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.unit = QComboBox()
        self.unit.addItems(list(_DEFAULTS))
        self.unit.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.number, 1)
        layout.addWidget(self.unit)
        self._set_unit("steps")
        self.number.valueChanged.connect(self.value_changed)
        self.unit.currentTextChanged.connect(self._on_unit_changed)

    def applied_to(self, config: TrainConfig) -> TrainConfig:
        """Return the config with this length."""
        steps = self.unit.currentText() == "steps"
        length = {
            "steps": round(self.number.value()) if steps else None,
            "minutes": None if steps else self.number.value(),
        }
        return TrainConfig(**{**config.model_dump(), **length})

    def set_value(self, config: TrainConfig) -> None:
        """Show the length of a config; says nothing."""
        blocked = self.unit.blockSignals(True), self.number.blockSignals(True)
        unit = "steps" if config.minutes is None else "minutes"
        self.unit.setCurrentText(unit)
        self._set_unit(unit)
        value = config.minutes if unit == "minutes" else config.total_steps
        self.number.setValue(float(value or _DEFAULTS[unit]))
        self.unit.blockSignals(blocked[0])
        self.number.blockSignals(blocked[1])

    def _set_unit(self, unit: str) -> None:
        steps = unit == "steps"
        self.number.setDecimals(0 if steps else 1)
        self.number.setRange(1 if steps else 0.1, 10**7 if steps else 10**5)
        self.number.setSingleStep(100 if steps else 1)
        self.number.setValue(_DEFAULTS[unit])

    def _on_unit_changed(self, unit: str) -> None:
        blocked = self.number.blockSignals(True)
        self._set_unit(unit)
        self.number.blockSignals(blocked)
        self.value_changed.emit()
