"""The strip: labels as blocks of several sizes show them, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_blockseg.cli.pictures.chart import INK, Page, legend

if TYPE_CHECKING:
    from napari_blockseg.cli.spectrum.findings import Example, View
    from napari_blockseg.core.classes import ClassInfo

_PANEL, _GAP, _MARGIN, _CAPTION = 260, 16, 36, 64
#: Nothing is known there: void, or not painted. Two greys make a weave that no class color is.
_NOTHING = ((236, 238, 241), (214, 218, 223))


def draw_strip(
    examples: Sequence[Example],
    classes: Sequence[ClassInfo],
    path: Path,
    recommended: int | None = None,
) -> Path:
    """Write the examples as a PNG, a row each.

    Parameters
    ----------
    examples : sequence of Example
        Planes through blocks of several sizes.
    classes : sequence of ClassInfo
        Names and colors.
    path : Path
        The file; its folder is created.
    recommended : int or None
        Block size whose picture gets a frame.
    """
    columns = max(len(example.views) for example in examples)
    width = 2 * _MARGIN + columns * _PANEL + (columns - 1) * _GAP
    heights = [_height(example) for example in examples]
    page = Page(width, 190 + 26 * len(classes) + sum(heights) + len(examples) * (_CAPTION + 24), 2)
    page.text(_MARGIN, 18, "What each block size leaves of the labels", 22)
    items = [(info.name, info.color) for info in classes]
    if any((view.values == 0).any() for example in examples for view in example.views):
        items.append(("no label", _NOTHING[1]))
    top = legend(page, _MARGIN, 58, width - 2 * _MARGIN, items) + 18
    for example, height in zip(examples, heights, strict=True):
        for column, view in enumerate(example.views):
            left = _MARGIN + column * (_PANEL + _GAP)
            if view.block == recommended:
                page.box(left - 4, top - 4, left + _PANEL + 4, top + height + 4, INK)
            page.paste(view_picture(view, classes).resize((_PANEL, height), _how(view)), left, top)
            _caption(page, left, top + height + 8, view, recommended)
        top += height + _CAPTION + 24
    return page.save(path, top)


def view_picture(view: View, classes: Sequence[ClassInfo]) -> Image.Image:
    """Return a view in class colors, a pixel a pixel; where nothing is known, a grey weave."""
    palette = np.zeros((max(info.value for info in classes) + 1, 3), np.uint8)
    for info in classes:
        palette[info.value] = info.color
    colored = palette[view.values]
    row, col = np.indices(view.values.shape) // 4
    weave = np.array(_NOTHING, np.uint8)[(row + col) % 2]
    return Image.fromarray(np.where((view.values == 0)[..., None], weave, colored))


def as_palette(picture: Image.Image) -> Image.Image:
    """Return the picture with as few bits a pixel as its colors need, for small files."""
    pixels: NDArray[Any] = np.asarray(picture)
    colors = np.unique(pixels.reshape(-1, 3), axis=0)
    return (
        picture
        if len(colors) > 256
        else picture.quantize(max(len(colors), 2), dither=Image.Dither.NONE)
    )


def _height(example: Example) -> int:
    rows, cols = (int(n) for n in example.views[0].values.shape)
    return max(1, round(rows * _PANEL / cols))


def _how(view: View) -> Image.Resampling:
    # Blocks keep their hard edges when they are enlarged.
    large = view.values.shape[1] > _PANEL
    return Image.Resampling.BOX if large else Image.Resampling.NEAREST


def _caption(page: Page, left: float, top: float, view: View, recommended: int | None) -> None:
    page.text(left, top, title(view, recommended), 14, INK)
    page.wrapped(left, top + 21, losses(view), _PANEL, 12)


def title(view: View, recommended: int | None) -> str:
    """Return what a view is."""
    if view.right is None:
        return "the pixels' classes" if view.block == 1 else f"as painted, {view.block} px"
    return f"blocks of {view.block} px" + (" (recommended)" if view.block == recommended else "")


def losses(view: View) -> str:
    """Return what a view has lost, in words."""
    if view.right is None:
        return ""
    text = f"{view.right:.1%} of the pixels keep their class."
    if view.lost:
        text += f" Gone: {', '.join(view.lost)}."
    return text
