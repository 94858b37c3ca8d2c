"""Which input scales, output strides and decoder strides go together, and what each costs.

A network's grids are three: the input's (one pixel is ``1 / input_scale`` pixels of the image), the
encoder's last one and the decoder's. Truncating the decoder alone saves no more than the decoder
costs; halving the input saves three quarters of everything, the low-level features too. Which one
is better is a matter of measuring; this lists what is worth measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.cost_counts import count_macs
from napari_blockseg.nets.cost_timing import possible_strides
from napari_blockseg.nets.network import MULTIPLE, Network

OUTPUT_STRIDES = (8, 16, 32)
INPUT_SCALES = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Combination:
    """One way to spread a network over its grids.

    Parameters
    ----------
    input_scale : float
        Pixels of the network's input per pixel of the image.
    output_stride, decoder_stride : int
        Pixels of the input per cell.
    cell, encoder_cell : float
        Pixels of the IMAGE per cell of the decoder's grid and of the encoder's last one.
    macs : int
        Multiply-adds for the image.
    share : float
        Of those of output stride 16, the finest decoder stride, the image as it is.
    """

    input_scale: float
    output_stride: int
    decoder_stride: int
    cell: float
    encoder_cell: float
    macs: int
    share: float


def sensible_combinations(
    config: NetworkConfig,
    size: int = 512,
    n_classes: int = 21,
    finest: float = 4.0,
    coarsest: float = 32.0,
    scales: Sequence[float] = INPUT_SCALES,
    output_strides: Sequence[int] = OUTPUT_STRIDES,
) -> list[Combination]:
    """List the combinations worth a look, the cheapest first.

    Parameters
    ----------
    config : NetworkConfig
        The network; its strides and weights do not matter.
    size : int
        Rows and cols of the image, in pixels.
    n_classes : int
        Channels of the logits.
    finest, coarsest : float
        Pixels of the image per cell of the decoder's grid, at least and at most. Labels in blocks
        of b pixels resolve no cell finer than b.
    scales : sequence of float
        Input scales, above 0 and at most 1.
    output_strides : sequence of int
        Which of them to combine.

    Returns
    -------
    list of Combination
        Without those that are never worth it: a decoder coarser than the encoder's end (the next
        output stride gives the same grid for less), and one for which another combination has a
        decoder, an encoder's end and an input that are all as fine or finer, for as few
        multiply-adds or fewer.

    Raises
    ------
    NetworkError
        If a scale is out of range, the scaled image is below 32 pixels, or the encoder has no
        such output stride.
    """
    _check(size, scales)
    reference = _macs(_shapes(config, 16, _strides(config, 16)[0], n_classes), size, 1.0)
    found = []
    for output_stride in output_strides:
        for stride in _strides(config, output_stride):
            kept = [scale for scale in scales if finest <= stride / scale <= coarsest]
            if not kept:
                continue
            network = _shapes(config, output_stride, stride, n_classes)
            for scale in kept:
                macs = _macs(network, size, scale)
                found.append(
                    Combination(
                        input_scale=scale,
                        output_stride=output_stride,
                        decoder_stride=stride,
                        cell=stride / scale,
                        encoder_cell=output_stride / scale,
                        macs=macs,
                        share=macs / reference,
                    )
                )
    unbeaten = [one for one in found if not any(_beats(other, one) for other in found)]
    return sorted(unbeaten, key=lambda one: one.macs)


def _strides(config: NetworkConfig, output_stride: int) -> list[int]:
    possible = possible_strides(config.model_copy(update={"output_stride": output_stride}))
    return [stride for stride in possible if stride <= output_stride]


def _check(size: int, scales: Sequence[float]) -> None:
    for scale in scales:
        if not 0 < scale <= 1 or size * scale < MULTIPLE:
            raise NetworkError(
                f"Got input scale {scale:g} for an image of {size} pixels; expected above 0, at "
                f"most 1, and {MULTIPLE} pixels or more that are left. Give a larger size or scale."
            )


def _shapes(config: NetworkConfig, output_stride: int, stride: int, n_classes: int) -> Network:
    changed = config.model_copy(
        update={"output_stride": output_stride, "decoder_stride": stride, "weights": "none"}
    )
    # Shapes are all that counting needs; on the meta device they cost nothing.
    with torch.device("meta"):
        return build_network(changed, n_classes).eval()


def _macs(network: Network, size: int, scale: float) -> int:
    side = round(size * scale)
    return count_macs(network, torch.zeros(1, 3, side, side, device="meta"))


def _beats(other: Combination, one: Combination) -> bool:
    """Whether `other` is nowhere coarser, nowhere dearer, and somewhere better."""
    grids = [(other.cell, one.cell), (other.encoder_cell, one.encoder_cell)]
    grids += [(1 / other.input_scale, 1 / one.input_scale), (other.macs, one.macs)]
    return all(mine <= theirs for mine, theirs in grids) and any(a < b for a, b in grids)
