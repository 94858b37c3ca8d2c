"""What a session may take over from the one before: a network that has learned already."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.learn.checkpoint import load_initial_weights
from napari_blockseg.nets.network import Network

#: Steps in which a network learns from the head, if there is one: before, it is not worth carrying.
FROM_HEAD = 40


@dataclass(frozen=True)
class Learned:
    """A network that has learned before, and how many steps; whoever takes it over changes it."""

    network: Network
    step: int


def carry_over(
    network: Network, classes: Sequence[ClassInfo], n_channels: int, folder: Path, step: int
) -> Learned | None:
    """Return a network with what another one has learned, class by class name.

    Parameters
    ----------
    network : Network
        At its start; it stays as it is. What it says of classes that are new is its own.
    classes : sequence of ClassInfo
        Its classes.
    n_channels : int
        Of its images.
    folder : Path
        Model of the other one.
    step : int
        Steps that the other one has taken.

    Returns
    -------
    Learned or None
        None where there is nothing to take over, or where it does not fit.
    """
    if step < FROM_HEAD:
        return None
    found = copy.deepcopy(network)
    try:
        load_initial_weights(found, classes, n_channels, folder)
    except (BlockSegError, OSError):
        return None
    return Learned(found, step)
