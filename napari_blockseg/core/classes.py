"""What the pixels may be: class values, names and colors."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from napari_blockseg.core.errors import LabelError

# Okabe & Ito (2008), ordered so that the first few differ in lightness too; then Tol's "muted".
_SAFE_COLORS: tuple[tuple[int, int, int], ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (240, 228, 66),
    (204, 121, 167),
    (0, 114, 178),
    (136, 204, 238),
    (136, 34, 85),
    (153, 153, 51),
    (68, 170, 153),
    (170, 68, 153),
    (221, 204, 119),
    (51, 34, 136),
    (204, 102, 119),
    (17, 119, 51),
)
MAX_CLASSES = 65535


class ClassInfo(BaseModel):
    """One class: its value in block labels and dense masks, its name, its color.

    ``id`` is the value under which it is exported, kept from a foreign ``classes.json``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int = Field(ge=1, le=MAX_CLASSES)
    name: str = Field(min_length=1)
    color: tuple[int, int, int]
    id: int | None = Field(default=None, ge=0, le=MAX_CLASSES)

    @field_validator("color")
    @classmethod
    def _color_in_range(cls, color: tuple[int, int, int]) -> tuple[int, int, int]:
        if not all(0 <= part <= 255 for part in color):
            raise ValueError(f"color parts must be 0 to 255, got {color}")
        return color

    @property
    def export_id(self) -> int:
        """The value in exported masks: ``id`` where there is one, else ``value``."""
        return self.value if self.id is None else self.id


def default_color(index: int) -> tuple[int, int, int]:
    """Return the color of class number `index` (0-based), safe for color-blind users.

    After 16 the hues are spread by the golden ratio: still distinct, no longer guaranteed safe.
    """
    if index < len(_SAFE_COLORS):
        return _SAFE_COLORS[index]
    hue = (index * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.65, 0.95 if index % 2 else 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)


def make_classes(
    names: Sequence[str], colors: Sequence[tuple[int, int, int]] | None = None
) -> tuple[ClassInfo, ...]:
    """Return classes 1..K with these names.

    Parameters
    ----------
    names : sequence of str
        Unique, not empty.
    colors : sequence of (red, green, blue), optional
        0 to 255; default colors otherwise.

    Raises
    ------
    LabelError
        If a name is empty or appears twice, or the number of colors differs.

    Examples
    --------
    >>> [c.value for c in make_classes(["cell", "background"])]
    [1, 2]
    """
    names = [name.strip() for name in names]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if not names or "" in names or doubles:
        what = f"names that repeat: {', '.join(doubles)}" if doubles else "an empty name"
        raise LabelError(f"Got {what}; expected one or more different class names. Rename them.")
    if colors is not None and len(colors) != len(names):
        raise LabelError(f"Got {len(colors)} colors for {len(names)} classes; give one for each.")
    chosen = [default_color(i) for i in range(len(names))] if colors is None else list(colors)
    return tuple(
        ClassInfo(value=i + 1, name=name, color=color)
        for i, (name, color) in enumerate(zip(names, chosen, strict=True))
    )


def present_values(names: Mapping[int, str], classes: Sequence[ClassInfo]) -> NDArray[np.uint16]:
    """Return what values from another time, or another list of classes, are called by today.

    Parameters
    ----------
    names : mapping of int to str
        What each value was called then.
    classes : sequence of ClassInfo
        The classes of today.

    Returns
    -------
    (largest value + 1,) uint16 array
        ``found[mask]`` is the mask in today's values; 0 where a class is gone. A class goes by its
        name; one whose name is gone was renamed if the class that has its value today is new.

    Examples
    --------
    >>> present_values({1: "sky", 2: "road", 3: "car"}, make_classes(["road", "automobile"]))
    array([0, 0, 1, 0], dtype=uint16)
    >>> present_values({1: "sky", 2: "raod"}, make_classes(["sky", "road"]))
    array([0, 1, 2], dtype=uint16)
    """
    by_name = {info.name: info.value for info in classes}
    known = set(names.values())
    renamed = {info.value for info in classes if info.name not in known}
    found = np.zeros(max(names, default=0) + 1, np.uint16)
    for value, name in names.items():
        found[value] = by_name.get(name, value if value in renamed else 0)
    return found
