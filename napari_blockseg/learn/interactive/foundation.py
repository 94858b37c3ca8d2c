"""What an interactive session stands on, and what outlives it: network, encoder, features."""

from __future__ import annotations

from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.learn.devices import pick_device
from napari_blockseg.learn.interactive.features import FeatureMaker, FrozenEncoder, Store
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import Network


class Foundation:
    """The network at its start, its frozen encoder, and the features that this has made.

    Parameters
    ----------
    network, train : NetworkConfig, TrainConfig
        What to build, and where it runs.
    n_channels, n_classes : int
        Of images and of logits.
    store : Store or None
        Where features are kept.

    Attributes
    ----------
    config : NetworkConfig
        As given, with a decoder stride in numbers.
    network : Network
        As built; nothing changes it.
    maker : FeatureMaker
        Computes features, or finds them.
    """

    def __init__(
        self,
        network: NetworkConfig,
        train: TrainConfig,
        n_channels: int,
        n_classes: int,
        store: Store | None,
    ) -> None:
        if network.network == "linear":
            raise NetworkError(
                "Got network 'linear' for interactive mode, whose quick head is just that. Choose "
                "the network that learns behind it: deeplabv3plus, dan or deeplabv3."
            )
        # Nothing is known about the labels yet: 'auto' is the full grid.
        self.config = NetworkConfig(**network.model_dump() | {"decoder_stride": network.stride})
        self.network: Network = build_network(self.config, n_classes, n_channels)
        encoder = FrozenEncoder(self.network.encoder, self.config, pick_device(train.device))
        self.maker = FeatureMaker(encoder, store)
