"""What the spectrum plot draws: label curves, their error, a model's loss. Pure numpy, no Qt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.ui.curves import Color, Curve, FloatArray, mixed, readable

if TYPE_CHECKING:
    from napari_blockseg.core.analysis import Analysis, LossCurve
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.spectrum import LabelSpectrum
    from napari_blockseg.ui.axis import Axis

#: Cutoffs an octave: a line that looks smooth, and powers of two of the block lie on it.
_PER_OCTAVE = 8
_OCTAVES = 6
#: Curves that differ by less than this everywhere lie on one another.
_SAME = 0.01
#: An error below this is thinner than the line.
_VISIBLE_ERROR = 0.003
#: Of the plot's height: where the loss ends, and what a tick needs.
_TOP, _ROOM = 0.94, 0.12


def panel_cutoffs(block: int) -> FloatArray:
    """Return the cutoffs that the panel measures at, cycles per pixel, up to the block Nyquist."""
    octaves = np.arange(-_OCTAVES * _PER_OCTAVE, 1) / _PER_OCTAVE
    return 0.5 / block * 2.0**octaves


def spectrum_curves(
    spectrum: LabelSpectrum, classes: Sequence[ClassInfo], background: Color, axis: Axis
) -> list[Curve]:
    """Return one curve per class that the labels hold: share of energy up to a cutoff.

    Parameters
    ----------
    spectrum
        The label spectrum; ``energy[k]`` belongs to ``classes[k]``.
    classes
        The project's classes.
    background
        Color behind the curves.
    axis
        Where frequencies are drawn; those below its lowest are left out.

    Notes
    -----
    The one-hot maps of two classes that fill the image are each other's complement, so their
    curves are one line: the second is dashed, and both colors can be seen.
    """
    keep = np.asarray(spectrum.cutoffs) >= axis.low * (1 - 1e-9)
    x = axis.place(np.asarray(spectrum.cutoffs, dtype=float)[keep])
    curves: list[Curve] = []
    for info, energy, error in zip(classes, spectrum.energy, spectrum.error, strict=False):
        y = np.asarray(energy, dtype=float)[keep]
        if np.isfinite(y).any():
            hidden = any(np.nanmax(np.abs(y - other.y)) < _SAME for other in curves)
            color = readable(info.color, background)
            band = _band(y, np.asarray(error, dtype=float)[keep])
            curves.append(Curve(info.name, x, y, color, 1.8, band, (5, 5) if hidden else None))
    return curves


def _band(y: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    known = np.nan_to_num(error)
    if not (known > _VISIBLE_ERROR).any():
        return None
    return np.clip(y - known, 0, 1), np.clip(y + known, 0, 1)


def with_one_raised(curves: Sequence[Curve], name: str, background: Color) -> list[Curve]:
    """Return the curves with one of them thick and last, the others faint; "" changes nothing."""
    if not any(curve.name == name for curve in curves):
        return list(curves)
    faint = [
        replace(curve, color=mixed(curve.color, background, 0.62), width=1.2, band=None)
        for curve in curves
        if curve.name != name
    ]
    raised = [replace(c, width=3.0, dash=None) for c in curves if c.name == name]
    return faint + raised


def nearest_curve(curves: Sequence[Curve], x: float, y: float, reach: float) -> str:
    """Return the name of the curve that runs nearest above or below a point; "" if none is near.

    Parameters
    ----------
    curves
        Their points have rising `x`.
    x, y
        The point.
    reach
        How far away, in units of `y`, a curve is still meant.
    """
    best, found = reach, ""
    for curve in curves:
        known = np.isfinite(curve.y)
        if known.sum() < 2 or not curve.x[known][0] <= x <= curve.x[known][-1]:
            continue
        away = abs(float(np.interp(x, curve.x[known], curve.y[known])) - y)
        if away < best:
            best, found = away, curve.name
    return found


def energy_at(spectrum: LabelSpectrum, cutoff: float) -> FloatArray:
    """Return each class's share of energy up to a cutoff (cycles per pixel), NaN if absent."""
    return _at(spectrum, np.asarray(spectrum.energy, dtype=float), cutoff)


def error_at(spectrum: LabelSpectrum, cutoff: float) -> FloatArray:
    """Return the standard errors of :func:`energy_at`, NaN where they are not known."""
    return _at(spectrum, np.asarray(spectrum.error, dtype=float), cutoff)


def _at(spectrum: LabelSpectrum, rows: FloatArray, cutoff: float) -> FloatArray:
    cutoffs = np.asarray(spectrum.cutoffs, dtype=float)
    index = int(np.searchsorted(cutoffs, cutoff * (1 + 1e-9), side="right")) - 1
    if index < 0:
        return np.where(np.isnan(rows).all(axis=1), np.nan, 0.0)
    found: NDArray[np.float64] = rows[:, index]
    return found


@dataclass(frozen=True, eq=False)
class LossOverlay:
    """A model's loss over the label curves: lines in their units, ticks that say the loss."""

    curves: tuple[Curve, ...] = ()
    #: (place on the label curves' axis, loss in nats as text)
    ticks: tuple[tuple[float, str], ...] = ()


_MOMENTS = {"start": "loss, untrained", "early": "loss, early in training", "end": "loss"}


def loss_overlay(analysis: Analysis, axis: Axis, color: Color, background: Color) -> LossOverlay:
    """Return a model's cross-entropy against labels low-passed at each cutoff.

    Parameters
    ----------
    analysis
        Its checkpoints: the end is drawn in full, earlier moments faint.
    axis
        Where frequencies are drawn; what lies outside, or beyond the grid, is left out.
    color, background
        Of the line, and behind it.

    Notes
    -----
    The axis of the loss starts at zero and ends above the largest value in view, so that its
    lines use the same height as the shares.
    """
    left, right = axis.range()[0], float(axis.place(axis.nyquist))
    seen = [(c.moment, *_inside(c.loss, axis, left, right)) for c in analysis.checkpoints]
    seen = [entry for entry in seen if len(entry[1])]
    if not seen:
        return LossOverlay()
    largest = max(float(y.max()) for _, _, y in seen)
    scale = _TOP / largest if largest > 0 else 1.0
    curves = []
    for moment, x, y in seen:
        at_end = moment == "end"
        shade = color if at_end else mixed(color, background, 0.5)
        name = _MOMENTS.get(moment, f"loss, {moment}")
        curves.append(Curve(name, x, y * scale, shade, 2.2 if at_end else 1.3, None, (5, 2.5)))
    return LossOverlay(tuple(curves), tuple(_loss_ticks(largest, scale)))


def _inside(
    loss: LossCurve, axis: Axis, left: float, right: float
) -> tuple[FloatArray, FloatArray]:
    cutoffs = np.asarray(loss.cutoffs, dtype=float)
    x = axis.place(np.maximum(cutoffs, 1e-12))
    keep = (cutoffs > 0) & (x >= left - 1e-9) & (x <= right + 1e-9)
    return x[keep], np.asarray(loss.truncated, dtype=float)[keep]


def _loss_ticks(largest: float, scale: float) -> list[tuple[float, str]]:
    if largest <= 0:
        return [(0.0, "0"), (1.0, "loss")]
    raw = largest / 3
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda nice: abs(math.log(nice * power / raw)))
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    values = np.arange(0, largest * (1 + 1e-9), step)
    ticks = [(float(v) * scale, f"{v:.{digits}f}") for v in values]
    return [tick for tick in ticks if tick[0] < 1 - _ROOM] + [(1.0, "loss")]


def loss_at(loss: LossCurve, cutoff: float) -> float | None:
    """Return the loss against labels low-passed at a cutoff, None below the lowest measured."""
    cutoffs = np.asarray(loss.cutoffs, dtype=float)
    index = int(np.searchsorted(cutoffs, cutoff * (1 + 1e-9), side="right")) - 1
    return None if index < 0 else float(loss.truncated[index])
