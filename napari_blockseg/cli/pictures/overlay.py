"""The overlay picture: image, painted blocks, prediction and truth side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from napari_blockseg.cli.pictures.chart import GREY, INK, Page, legend
from napari_blockseg.core.normalize import Normalization, normalize

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels

_PANEL, _GAP, _MARGIN, _CAPTION = 300, 14, 36, 26
_OPACITY = 0.55


@dataclass(frozen=True)
class Strip:
    """One row of the picture; a panel that is None stays out.

    Attributes
    ----------
    title : str
        What stands above the row.
    pixels : (rows, cols, channels) array
        The image as it was read.
    blocks : BlockLabels or None
        What was painted.
    prediction, truth : (rows, cols) int array or None
        Dense masks.
    """

    title: str
    pixels: Any
    blocks: BlockLabels | None = None
    prediction: Any = None
    truth: Any = None


def draw_overlay(
    strips: Sequence[Strip], classes: Sequence[ClassInfo], path: Path, heading: str, text: str
) -> Path:
    """Write rows of panels with a legend as a PNG.

    Parameters
    ----------
    strips : sequence of Strip
        One row each.
    classes : sequence of ClassInfo
        Names and colors.
    path : Path
        The file; its folder is created.
    heading, text : str
        Above the rows.
    """
    painted = any(strip.blocks is not None for strip in strips)
    rows = [_panels(strip, classes, painted) for strip in strips]
    columns = max(len(row) for row in rows)
    width = 2 * _MARGIN + columns * _PANEL + (columns - 1) * _GAP
    heights = [max(picture.height for _, picture in row) for row in rows]
    page = Page(width, 150 + sum(heights) + len(rows) * (2 * _CAPTION + 16))
    page.text(_MARGIN, 18, heading, 22)
    y = page.wrapped(_MARGIN, 52, text, width - 2 * _MARGIN, 14)
    items = [(info.name, info.color) for info in classes]
    top = legend(page, _MARGIN, y + 6, width - 2 * _MARGIN, items) + 12
    for strip, row, height in zip(strips, rows, heights, strict=True):
        page.text(_MARGIN, top, strip.title, 14, INK)
        for column, (caption, picture) in enumerate(row):
            left = _MARGIN + column * (_PANEL + _GAP)
            page.paste(picture, left, round(top) + _CAPTION)
            page.text(left, top + _CAPTION + picture.height + 5, caption, 12, GREY)
        top += height + 2 * _CAPTION + 16
    return page.save(path, top)


def _panels(
    strip: Strip, classes: Sequence[ClassInfo], painted: bool
) -> list[tuple[str, Image.Image]]:
    grey = to_rgb(strip.pixels)
    panels = [("image", grey)]
    if strip.blocks is not None:
        tinted = tint(grey, strip.blocks.to_mask(), classes)
        share = strip.blocks.n_labelled / strip.blocks.values.size
        size = strip.blocks.grid.block
        caption = f"painted: {share:.0%} of the blocks of {size} px"
        panels.append((caption, _draw_grid(tinted, strip.blocks)))
    elif painted:
        # An empty panel, so that predictions stand below predictions.
        panels.append(("nothing painted", np.full_like(grey, 244)))
    if strip.prediction is not None:
        panels.append(("predicted", tint(grey, strip.prediction, classes)))
    if strip.truth is not None:
        panels.append(("truth", tint(grey, strip.truth, classes)))
    return [(caption, _fit(picture)) for caption, picture in panels]


def to_rgb(pixels: Any) -> Any:
    """Return pixels as (rows, cols, 3) uint8, for the eye."""
    spec = Normalization.for_dtype(pixels.dtype)
    if spec.kind == "percentile":
        # A few very bright objects must not leave the others dark.
        spec = Normalization(kind="percentile", low=1, high=98)
    scaled = normalize(pixels, spec)
    rgb = scaled[..., :3] if scaled.shape[-1] >= 3 else scaled[..., :1].repeat(3, axis=-1)
    return (rgb * 255).round().astype(np.uint8)


def tint(rgb: Any, mask: Any, classes: Sequence[ClassInfo]) -> Any:
    """Return the picture with the colors of the classes over it; 0 stays as it is."""
    palette = np.zeros((max(info.value for info in classes) + 1, 3))
    for info in classes:
        palette[info.value] = info.color
    # Grey below, so that the image's own colors are not taken for a class.
    below = rgb.mean(-1, keepdims=True).repeat(3, axis=-1)
    over = _OPACITY * palette[mask] + (1 - _OPACITY) * below
    return np.where((mask > 0)[..., None], over, below).round().astype(np.uint8)


def _draw_grid(rgb: Any, blocks: BlockLabels) -> Any:
    """Return the picture with the outline of every painted block."""
    size = blocks.grid.block
    if size < 4:
        return rgb
    lined = rgb.copy()
    painted = blocks.to_mask() > 0
    edge = np.zeros_like(painted)
    edge[::size] = True
    edge[:, ::size] = True
    lined[edge & painted] = (0.7 * lined[edge & painted] + 0.3 * 255).astype(np.uint8)
    return lined


def _fit(rgb: Any) -> Image.Image:
    picture = Image.fromarray(rgb)
    factor = _PANEL / max(picture.width, picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(
        size, Image.Resampling.LANCZOS if factor < 1 else Image.Resampling.BICUBIC
    )
