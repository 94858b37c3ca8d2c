"""Forms built by magicgui from the fields of a config: title, tip, range and choices live there."""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from magicgui.widgets import create_widget
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QCompleter, QDoubleSpinBox, QFormLayout, QLabel, QSizePolicy

from napari_blockseg.core.config import checked

if TYPE_CHECKING:
    from magicgui.widgets.bases import ValueWidget
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

C = TypeVar("C", bound="BaseModel")
_LIMITS = {"ge": "min", "le": "max", "multiple_of": "step"}
_BIG = 10**9
#: Stands for None in a combo box: magicgui shows None as a row of dashes.
_NONE = "auto"


def field_limits(field: FieldInfo) -> dict[str, float]:
    """Return what a config field says about its range: any of min, max, step."""
    limits: dict[str, float] = {}
    for rule in field.metadata:
        for name, option in _LIMITS.items():
            value = getattr(rule, name, None)
            if value is not None:
                limits[option] = value
    return limits


def field_choices(annotation: Any) -> list[tuple[str, Any]] | None:
    """Return (text, value) for an annotation with a fixed set of values, None for others."""
    if get_origin(annotation) is Literal:
        return [(str(value), value) for value in get_args(annotation)]
    if annotation == (bool | None):
        return [("auto", _NONE), ("on", True), ("off", False)]
    return None


def make_editor(
    name: str, field: FieldInfo, choices: Iterable[tuple[str, Any]] | None = None
) -> ValueWidget[Any]:
    """Return the magicgui widget that edits a config field.

    Parameters
    ----------
    name
        The field's name.
    field
        The field, as pydantic describes it.
    choices
        (text, value) pairs, where the field allows more than a form should list.

    Raises
    ------
    TypeError
        If no editor is known for the field's type.
    """
    options: dict[str, Any] = {"tooltip": field.description or ""}
    listed = choices or field_choices(field.annotation)
    kind: Any = field.annotation
    if listed is not None:
        options["choices"] = list(listed)
        default = _NONE if field.default is None else field.default
        widget = create_widget(value=default, name=name, options=options, widget_type="ComboBox")
    elif kind in (bool, str):
        widget = create_widget(field.default, annotation=kind, name=name, options=options)
        if kind is bool:
            widget.text = ""  # the row has a label already
    elif kind in (int, float):
        options |= {"min": 0, "max": _BIG, **field_limits(field)}
        widget = create_widget(field.default, annotation=kind, name=name, options=options)
        if kind is float:
            _set_decimals(widget.native, field.default)
    else:
        raise TypeError(f"no editor for the field {name} of type {kind}")
    widget.native.setToolTip(options["tooltip"])
    widget.native.setMinimumWidth(60)
    widget.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return widget


def _set_decimals(box: QDoubleSpinBox, default: float) -> None:
    """Give a number two more decimals than its default has, and steps that follow its size."""
    decimals = max(2 - math.floor(math.log10(default or 0.1)), 1)
    box.setDecimals(decimals)
    box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    box.setValue(default)


def allows_none(annotation: Any) -> bool:
    """Whether an annotation is a union with None."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return union and type(None) in get_args(annotation)


class ConfigForm(QObject, Generic[C]):
    """Editors of some fields of a config; the other fields keep the values they were given.

    Parameters
    ----------
    kind
        The config class.
    names
        Fields to edit.
    choices
        For some of them, the (text, value) pairs to choose from.
    suggestions
        For text fields, what is offered while typing.
    parent
        Qt parent.
    """

    #: The user changed a field.
    value_changed = Signal()

    def __init__(
        self,
        kind: type[C],
        names: Iterable[str],
        choices: Mapping[str, Iterable[tuple[str, Any]]] | None = None,
        suggestions: Mapping[str, list[str]] | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self._base = kind()
        self._silent = False
        self._optional = {n for n, f in kind.model_fields.items() if allows_none(f.annotation)}
        self.editors: dict[str, ValueWidget[Any]] = {}
        for name in names:
            editor = make_editor(name, kind.model_fields[name], (choices or {}).get(name))
            editor.changed.connect(self._on_changed)
            self.editors[name] = editor
        for name, texts in (suggestions or {}).items():
            self._suggest(name, texts)

    def value(self) -> C:
        """Return the config as the form shows it.

        Raises
        ------
        BlockSegError
            If the fields do not fit together; the message names the field.
        """
        shown = {name: editor.value for name, editor in self.editors.items()}
        for name in self._optional & shown.keys():
            shown[name] = None if shown[name] == _NONE else shown[name]
        return checked(self._kind, self._base.model_dump() | shown)

    def set_value(self, config: C) -> None:
        """Show a config; says nothing."""
        self._base = config
        self._silent = True
        try:
            for name, editor in self.editors.items():
                value = getattr(config, name)
                value = _NONE if value is None else value
                if hasattr(editor, "choices") and value not in editor.choices:
                    editor.set_choice(str(value), value)
                editor.value = value
        finally:
            self._silent = False

    def add_rows(self, layout: QFormLayout, names: Iterable[str]) -> None:
        """Put these fields into a form layout, with their titles and tips."""
        for name in names:
            field, editor = self._kind.model_fields[name], self.editors[name]
            label = QLabel(field.title or name)
            label.setToolTip(field.description or "")
            label.setBuddy(editor.native)
            layout.addRow(label, editor.native)

    def set_enabled(self, enabled: bool) -> None:
        """Let the user change the fields, or not."""
        for editor in self.editors.values():
            editor.enabled = enabled

    def _suggest(self, name: str, texts: list[str]) -> None:
        line = self.editors[name].native
        completer = QCompleter(texts, line)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        line.setCompleter(completer)

    def _on_changed(self) -> None:
        if not self._silent:
            self.value_changed.emit()
