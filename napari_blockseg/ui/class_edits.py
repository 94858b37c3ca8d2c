"""Class lists with a class more or less, or a class changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari_blockseg.core.classes import ClassInfo, default_color
from napari_blockseg.core.errors import LabelError

Classes = tuple[ClassInfo, ...]
Color = tuple[int, int, int]


def with_added(classes: Classes, name: str, color: Color | None = None) -> Classes:
    """Return `classes` with one more at the end.

    Raises
    ------
    LabelError
        If there is a class of that name, or it is empty.
    """
    value = len(classes) + 1
    name = _free_name(classes, name)
    return (*classes, ClassInfo(value=value, name=name, color=color or _spare_color(classes)))


def with_changed(
    classes: Classes, value: int, name: str | None = None, color: Color | None = None
) -> Classes:
    """Return `classes` with another name or color for one of them.

    Raises
    ------
    LabelError
        If another class has that name, or it is empty.
    """
    change: dict[str, Any] = {}
    if name is not None:
        change["name"] = _free_name(classes, name, value)
    if color is not None:
        change["color"] = color
    return tuple(c.model_copy(update=change) if c.value == value else c for c in classes)


def without(classes: Classes, value: int) -> Classes:
    """Return `classes` without one of them; the values after it move down."""
    return _numbered([c for c in classes if c.value != value])


def with_restored(classes: Classes, gone: ClassInfo) -> Classes:
    """Return `classes` with one that was deleted at its value again; later values move up.

    A class that was added since may have taken its name or color: it gets another one then.
    """
    names = {c.name for c in classes}
    free = (f"{gone.name} {n}" for n in range(2, len(classes) + 3))
    name = next(n for n in (gone.name, *free) if n not in names)
    taken = gone.color in {c.color for c in classes}
    color = _spare_color(classes) if taken else gone.color
    again = gone.model_copy(update={"name": name, "color": color})
    before = gone.value - 1
    return _numbered([*classes[:before], again, *classes[before:]])


def _numbered(classes: Sequence[ClassInfo]) -> Classes:
    return tuple(c.model_copy(update={"value": i}) for i, c in enumerate(classes, start=1))


def _spare_color(classes: Classes) -> Color:
    used = {c.color for c in classes}
    return next(c for c in map(default_color, range(len(used) + 1)) if c not in used)


def _free_name(classes: Classes, name: str, value: int | None = None) -> str:
    name = name.strip()
    if not name:
        raise LabelError("Got a class without a name. Type one.")
    if any(c.name == name and c.value != value for c in classes):
        raise LabelError(f'There is a class "{name}" already. Choose another name.')
    return name
