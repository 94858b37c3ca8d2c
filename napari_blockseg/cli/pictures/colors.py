"""Class colors as they can be read on white paper and on a dark screen."""

from __future__ import annotations

from napari_blockseg.cli.pictures.chart import PAPER, Color

DARK: Color = (22, 25, 30)
# Thin lines on a dark screen need more.
_MIN_CONTRAST, _MIN_CONTRAST_ON_DARK = 2.2, 3.2


def readable(color: Color, paper: Color = PAPER) -> Color:
    """Return the color, darkened or lightened until it stands out from the paper.

    Parameters
    ----------
    color, paper : (red, green, blue)
        0 to 255.
    """
    light = _luminance(paper) > 0.5
    toward, least = (0.0, _MIN_CONTRAST) if light else (1.0, _MIN_CONTRAST_ON_DARK)
    parts = tuple(part / 255 for part in color)
    while _contrast(parts, paper) < least:
        parts = tuple(part + 0.08 * (toward - part) for part in parts)
    red, green, blue = (round(part * 255) for part in parts)
    return red, green, blue


def _contrast(parts: tuple[float, ...], paper: Color) -> float:
    pair = sorted((_relative(parts), _luminance(paper)))
    return (pair[1] + 0.05) / (pair[0] + 0.05)


def _luminance(color: Color) -> float:
    return _relative(tuple(part / 255 for part in color))


def _relative(parts: tuple[float, ...]) -> float:
    """Return the relative luminance of sRGB parts, 0 to 1 (WCAG 2.1)."""
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
