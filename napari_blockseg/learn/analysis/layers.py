"""Spectra of what layers hold: their activations, and the gradients of the loss to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_blockseg.core.analysis import LayerSpectrum
from napari_blockseg.core.spectrum import energy_below
from napari_blockseg.nets.network import Network

FloatArray = NDArray[np.floating[Any]]

#: Coarsest stride, in working pixels, that a layer may be said to be truncatable to.
COARSEST = 128
#: What is left of a constant map after its mean is taken away is rounding, not energy.
_ROUNDING = 1e-12
_CHUNK_VALUES = 8_000_000
_NAMES = {
    "aspp": ("ASPP", "aspp"),
    "low_level": ("low-level projection", "decoder"),
    "fuse": ("fused features", "decoder"),
    "head": ("logits", "head"),
    "detail": ("detail of the logits", "head"),
    # Ways to another grid that are learned are layers too.
    "before_way": ("way to the ASPP", "aspp"),
    "after_way": ("way from the ASPP", "decoder"),
    "low_way": ("way of the low-level features", "decoder"),
}


@dataclass(frozen=True, eq=False)
class Seen:
    """The output of a layer in one pass; after a backward pass its ``grad`` is there."""

    name: str
    stage: str
    output: Tensor


class LayerProbe:
    """Listens to a network's encoder stages, ASPP and decoder layers.

    Parameters
    ----------
    network : Network
        Nothing of it is changed; hooks are removed when listening ends.

    Attributes
    ----------
    features : list of (n, channels, rows, cols) tensors
        The encoder's of the last pass.
    coarse : (n, K, cell rows, cell cols) tensor
        Coarse logits of the last pass.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._seen: list[Seen] = []
        self.features: list[Tensor] = []
        self.coarse = torch.zeros(0)

    @contextmanager
    def listening(self) -> Iterator[list[Seen]]:
        """Yield a list that fills with every layer's output, in the order of computing."""
        self._seen = []
        network = self._network
        handles = [
            network.encoder.register_forward_hook(self._on_encoder),
            network.logits.register_forward_hook(self._on_logits),
        ]
        for child, module in _children(network.decoder):
            name, stage = _NAMES.get(child, (child, "decoder"))
            if child == "head" and network.shortcut is not None:
                module = network.logits  # not what the decoder alone says
            handles.append(module.register_forward_hook(partial(self._on_layer, name, stage)))
        try:
            yield self._seen
        finally:
            for handle in handles:
                handle.remove()

    def _on_encoder(self, module: nn.Module, inputs: Any, outputs: list[Tensor]) -> None:
        self.features = list(outputs)
        for number, output in enumerate(outputs, start=1):
            self._take(f"encoder stage {number}", "encoder", output)

    def _on_logits(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.coarse = output

    def _on_layer(self, name: str, stage: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4:
            self._take(name, stage, output)

    def _take(self, name: str, stage: str, output: Tensor) -> None:
        if output.requires_grad:
            output.retain_grad()
        self._seen.append(Seen(name, stage, output))


def _children(decoder: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield a decoder's layers; those of a list of modules one by one."""
    for name, module in decoder.named_children():
        if isinstance(module, nn.ModuleList):
            single = name.removesuffix("s")
            yield from ((f"{single} {i}", one) for i, one in enumerate(module, start=1))
        else:
            yield name, module


class EnergySum:
    """Energy (without DC) inside each cutoff, summed over channels and images.

    Parameters
    ----------
    cutoffs : (n,) float array
        Rising, in cycles per cell of what is added.
    """

    def __init__(self, cutoffs: FloatArray) -> None:
        self._cutoffs = np.append(cutoffs, 1.0)
        self._below = np.zeros(len(self._cutoffs))
        self._whole = 0.0

    def add(self, maps: Tensor) -> None:
        """Add maps (channels, rows, cols).

        Notes
        -----
        ``sum_c |x_c(f)|**2 / P``, which sums to the energy of the maps (Parseval), so that maps of
        different sizes add up.
        """
        shape = (maps.shape[1], maps.shape[2])
        power = torch.zeros(shape[0], shape[1] // 2 + 1, dtype=torch.float64)
        size = max(1, _CHUNK_VALUES // math.prod(shape))
        for chunk in torch.split(maps.detach().float(), size):
            self._whole += float(chunk.square().sum())
            # Without its mean a map keeps its small values in single precision.
            chunk = chunk - chunk.mean((1, 2), keepdim=True)
            found = torch.fft.rfft2(chunk, norm="ortho").abs().square().sum(0)
            power += found.cpu().double()
        self._below += energy_below(power.numpy()[None], shape, self._cutoffs)[0]

    def shares(self) -> list[float | None]:
        """Return the share of energy inside each cutoff, (n,); None above 0.5 or without energy."""
        total = self._below[-1]
        if not total > _ROUNDING * self._whole:
            return [None] * (len(self._cutoffs) - 1)
        return [
            float(below / total) if cutoff <= 0.5 * (1 + 1e-9) else None
            for cutoff, below in zip(self._cutoffs[:-1], self._below[:-1], strict=True)
        ]

    def mean_share(self) -> float | None:
        """Return the share of all energy that lies in the maps' means; None without energy."""
        return 1 - min(1.0, self._below[-1] / self._whole) if self._whole > 0 else None


class LayerSums:
    """The spectra of all layers, summed over images.

    Parameters
    ----------
    cutoffs : (n,) float array
        Rising, in cycles per working pixel.
    scale : float
        Working pixels per pixel of the image.
    tolerance : float
        Share of energy that truncation may lose, 0..1.
    """

    def __init__(self, cutoffs: FloatArray, scale: float, tolerance: float) -> None:
        self._cutoffs = cutoffs
        self._scale = scale
        self._tolerance = tolerance
        self._sums: dict[str, tuple[str, int, EnergySum, EnergySum]] = {}

    def add(self, seen: list[Seen], shape: tuple[int, int], padded: tuple[int, int]) -> None:
        """Add the layers of one pass over one image.

        Parameters
        ----------
        seen : list of Seen
            From :meth:`LayerProbe.listening`, after the backward pass.
        shape, padded : (rows, cols)
            Of the image in working pixels, without and with the network's padding.
        """
        for one in seen:
            stride = round(padded[0] / one.output.shape[-2])
            cutoffs = self._cutoffs * stride
            if one.name not in self._sums:
                both = EnergySum(cutoffs), EnergySum(cutoffs)
                self._sums[one.name] = (one.stage, stride, *both)
            _, _, activations, gradients = self._sums[one.name]
            # Cells of the padding say nothing about the image.
            rows, cols = (-(-length // stride) for length in shape)
            activations.add(one.output[0, :, :rows, :cols])
            if one.output.grad is not None:
                gradients.add(one.output.grad[0, :, :rows, :cols])

    def spectra(self) -> tuple[LayerSpectrum, ...]:
        """Return what was found; cutoffs and strides in pixels of the image."""
        return tuple(
            LayerSpectrum(
                name=name,
                stage=stage,
                stride=stride / self._scale,
                cutoffs=tuple(float(one) for one in self._cutoffs * self._scale),
                activations=tuple(activations.shares()),
                gradients=tuple(gradients.shares()),
                truncatable_to=self._truncatable_to(stride, activations.shares()),
                activations_mean=activations.mean_share(),
                gradients_mean=gradients.mean_share(),
            )
            for name, (stage, stride, activations, gradients) in self._sums.items()
        )

    def share_below(self, name: str, stride: int) -> float | None:
        """Return the share of a layer's activations below a stride's Nyquist; 1 above its own."""
        if name not in self._sums:
            return None
        _, own, activations, _ = self._sums[name]
        return 1.0 if stride <= own else self._share_at(stride, activations.shares())

    def _truncatable_to(self, stride: int, shares: list[float | None]) -> int | None:
        """Return the coarsest stride whose band keeps all but the stated loss of energy."""
        found = None
        coarser = stride
        while coarser <= COARSEST:
            share = self._share_at(coarser, shares)
            if share is None or share < 1 - self._tolerance:
                break
            found = coarser
            coarser *= 2
        return found

    def _share_at(self, stride: int, shares: list[float | None]) -> float | None:
        place = int(np.argmin(np.abs(self._cutoffs - 0.5 / stride)))
        return shares[place] if math.isclose(self._cutoffs[place], 0.5 / stride) else None
