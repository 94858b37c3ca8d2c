"""The planes that a session has looked at: all of one kind, the kind of the first."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from napari_blockseg.core.errors import ImageError
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.learn.data import PixelKind, WorkingGrid
from napari_blockseg.learn.interactive.features import PlaneFeatures


class Images(Protocol):
    """Where planes come from."""

    def pixels(self, name: str) -> Any:
        """Return the pixels (rows, cols, channels) of a plane."""

    def identity(self, name: str) -> list[Any]:
        """Return plain values that name a plane and its content."""


class Planes:
    """Planes by name, read when they are first asked for.

    Parameters
    ----------
    images : Images
        Where they come from.
    n_channels : int
        What the network takes.
    grid : WorkingGrid
        The working scale.
    """

    def __init__(self, images: Images, n_channels: int, grid: WorkingGrid) -> None:
        self._images, self._n_channels, self._grid = images, n_channels, grid
        self._kind: PixelKind | None = None
        self._found: dict[str, PlaneFeatures] = {}

    def get(self, name: str) -> PlaneFeatures:
        """Return a plane.

        Raises
        ------
        ImageError
            If it has other channels than the network takes, or another kind of values than the
            first one: it would be normalized as that one is, and look like nothing.
        """
        plane = self._found.get(name)
        if plane is None:
            pixels = self._images.pixels(name)
            kind = self._checked(name, pixels)
            normalization = Normalization.for_dtype(kind.dtype)
            plane = PlaneFeatures(self._images.identity(name), pixels, normalization, self._grid)
            self._found[name], self._kind = plane, kind
        return plane

    def forget_all_but(self, names: Collection[str]) -> None:
        """Forget planes that were only looked at: a stack of them would fill the memory."""
        for name in self._found.keys() - set(names):
            del self._found[name]

    def _checked(self, name: str, pixels: Any) -> PixelKind:
        if self._kind is not None:
            self._kind.check(name, pixels)
            return self._kind
        if pixels.shape[-1] != self._n_channels:
            raise ImageError(
                f"Got image {name!r} with {pixels.shape[-1]} channel(s); the network of this "
                f"session takes {self._n_channels}, as the image had that was in view when it "
                "began. Convert the image, or start again with it in view."
            )
        return PixelKind(name, self._n_channels, pixels.dtype)
