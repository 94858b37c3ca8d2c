"""Class lists with a class more, or a class changed."""

from __future__ import annotations

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
    used = {c.color for c in classes}
    spare = next(c for c in (default_color(i) for i in range(value)) if c not in used)
    return (*classes, ClassInfo(value=value, name=name, color=color or spare))


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


def _free_name(classes: Classes, name: str, value: int | None = None) -> str:
    name = name.strip()
    if not name:
        raise LabelError("Got a class without a name. Type one.")
    if any(c.name == name and c.value != value for c in classes):
        raise LabelError(f'There is a class "{name}" already. Choose another name.')
    return name
