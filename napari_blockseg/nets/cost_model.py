"""Seconds from multiply-adds and bytes: what a machine needs for each kind of layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from napari_blockseg.nets.layers import KINDS, Kind, Layer

_UNITS = (1e9, 1e9, 1e3)
# Seconds below which a layer's time is mostly the clock's.
_SHORT = 2e-5


@dataclass(frozen=True)
class Rates:
    """What one kind of layer costs on this machine.

    Parameters
    ----------
    per_gmac, per_gbyte, per_thousand : float
        Seconds per 1e9 multiply-adds, per 1e9 bytes moved, and per thousand layers.
    """

    per_gmac: float
    per_gbyte: float
    per_thousand: float


@dataclass(frozen=True)
class CostModel:
    """Predicts times of layers that were never run.

    Parameters
    ----------
    rates : dict
        For each kind of layer that was seen.
    outside : float
        Whole passes take this many times the sum of their layers.

    Notes
    -----
    A layer of m multiply-adds that moves v bytes takes ``a * m + b * v + c`` seconds, with a, b
    and c not below zero, fitted by least squares for each kind; errors count by the root of the
    time, else large layers alone decide and small grids are off. It is a sum, not the maximum of a
    roofline: caches and arithmetic of a CPU overlap only in part. A kind that was not seen takes
    the rates of its nearest kin.
    """

    rates: dict[Kind, Rates]
    outside: float = 1.0

    def seconds(self, layers: Sequence[Layer]) -> list[float]:
        """Return the predicted seconds of each layer."""
        return [self.outside * _predict(self._rates_of(layer.kind), layer) for layer in layers]

    def total(self, layers: Sequence[Layer]) -> float:
        """Return the predicted seconds of a whole pass."""
        return float(sum(self.seconds(layers)))

    def _rates_of(self, kind: Kind) -> Rates:
        nearest: Kind = "depthwise" if kind == "dilated" else "dense"
        for one in (kind, nearest, KINDS[0]):
            if one in self.rates:
                return self.rates[one]
        return Rates(0.0, 0.0, 0.0)


def fit_cost_model(passes: Sequence[Sequence[Layer]], totals: Sequence[float]) -> CostModel:
    """Fit a model on measured passes.

    Parameters
    ----------
    passes : sequence of sequence of Layer
        Each with the seconds of its layers.
    totals : sequence of float
        Seconds of the same passes measured as a whole, without looking at layers.
    """
    layers = [layer for one in passes for layer in one]
    rates = {
        kind: _fit([layer for layer in layers if layer.kind == kind])
        for kind in KINDS
        if any(layer.kind == kind for layer in layers)
    }
    model = CostModel(rates)
    guesses = [model.total(one) for one in passes]
    return CostModel(rates, _ratio(totals, guesses))


def _fit(layers: Sequence[Layer]) -> Rates:
    features = np.array([_features(layer) for layer in layers])
    seconds = np.array([layer.seconds for layer in layers])
    weights = 1 / np.sqrt(seconds + _SHORT)
    found: Any = nnls(features * weights[:, None], seconds * weights)[0]
    return Rates(*(float(value) for value in found))


def _features(layer: Layer) -> tuple[float, float, float]:
    return layer.macs / _UNITS[0], layer.moved / _UNITS[1], 1 / _UNITS[2]


def _predict(rates: Rates, layer: Layer) -> float:
    parts = (rates.per_gmac, rates.per_gbyte, rates.per_thousand)
    return sum(rate * part for rate, part in zip(parts, _features(layer), strict=True))


def _ratio(totals: Sequence[float], guesses: Sequence[float]) -> float:
    """Return the factor that brings the guesses nearest to the totals, in relative terms."""
    pairs = [(total, guess) for total, guess in zip(totals, guesses, strict=True) if guess > 0]
    if not pairs:
        return 1.0
    return float(np.exp(np.mean([np.log(total / guess) for total, guess in pairs])))
