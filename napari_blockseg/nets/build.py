"""The one door to networks."""

from __future__ import annotations

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets import smp
from napari_blockseg.nets.dan import build_dan
from napari_blockseg.nets.deeplabv3 import build_deeplabv3
from napari_blockseg.nets.deeplabv3plus import build_deeplabv3plus
from napari_blockseg.nets.encoders import build_encoder
from napari_blockseg.nets.linear import build_linear
from napari_blockseg.nets.network import Network

_BUILDERS = {
    "deeplabv3plus": build_deeplabv3plus,
    "deeplabv3": build_deeplabv3,
    "dan": build_dan,
    "linear": build_linear,
}
_NOT_FILES = ("imagenet", "none")


def build_network(config: NetworkConfig, n_classes: int, n_channels: int = 3) -> Network:
    """Build a network from its config.

    Parameters
    ----------
    config : NetworkConfig
        Architecture, form, encoder, weights, strides, way down.
    n_classes : int
        Channels of the logits.
    n_channels : int
        Channels of the images; the encoder's first convolution is adapted from the pretrained
        one when it is not 3.

    Returns
    -------
    Network
        ``network(images)`` takes (n, n_channels, rows, cols) float images in 0..1 of any size and
        returns (n, n_classes, rows, cols) logits. The encoder's normalisation is inside.

    Raises
    ------
    NetworkError
        If the encoder is unknown or has no dilated form, or its weights cannot be had.

    Examples
    --------
    >>> import torch
    >>> network = build_network(NetworkConfig(weights="none"), n_classes=4)
    >>> network.eval()(torch.zeros(1, 3, 50, 70)).shape
    torch.Size([1, 4, 50, 70])
    """
    if n_classes < 1 or n_channels < 1:
        raise NetworkError(
            f"Got {n_classes} classes and {n_channels} channels; a network needs one of each."
        )
    builder = _BUILDERS.get(config.network)
    if builder is None:
        raise NetworkError(
            f"Got network {config.network!r}; expected one of: {', '.join(sorted(_BUILDERS))}."
        )
    if config.form == "smp":
        return _build_smp(config, n_classes, n_channels)
    encoder = build_encoder(config.encoder, config.weights, n_channels, config.output_stride)
    network = builder(encoder, config, n_classes)
    if config.has_shortcut:
        network.add_shortcut(n_classes)
    return network


def draws_decoder(config: NetworkConfig) -> bool:
    """Return whether a network as built has a decoder that was drawn, not read from a file."""
    return config.form != "smp" or config.weights in _NOT_FILES


def _build_smp(config: NetworkConfig, n_classes: int, n_channels: int) -> Network:
    name = smp.timm_name(config.encoder)
    encoder = build_encoder(name, config.weights, n_channels, config.output_stride)
    network = smp.build_smp(encoder, config, n_classes)
    if not draws_decoder(config):
        smp.load_decoder(network, config.weights)
    return network
