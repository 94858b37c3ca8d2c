"""The layer of an image that is painted on: the viewer's own where there is one, else a new one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_blockseg.core.normalize import Normalization, normalize

if TYPE_CHECKING:
    import napari

    from napari_blockseg.files.images import ImageData

# in the metadata of image layers that this package made: the file they show
_SOURCE = "blockseg_image"


@dataclass(frozen=True, eq=False)
class ShownImage:
    """An image layer, and whether the session added it (and so may remove it)."""

    layer: Image
    own: bool

    def hide(self, viewer: napari.Viewer) -> None:
        """Take the image out of view: remove our own layer, only hide the user's."""
        if self.layer not in viewer.layers:
            return
        if self.own:
            viewer.layers.remove(self.layer)
        else:
            self.layer.visible = False


def show_image(
    viewer: napari.Viewer, name: str, image: ImageData | None, layer: Image | None
) -> ShownImage:
    """Bring an image into view.

    Parameters
    ----------
    viewer : napari.Viewer
        Where.
    name : str
        Name of a new layer.
    image : ImageData, optional
        The image as read from its file; needed when `layer` is None.
    layer : Image, optional
        The layer that shows it already. Without it, a layer of the viewer that was read from the
        same file is taken, and else a new one is made.
    """
    if layer is None and image is not None:
        layer = _layer_of_file(viewer, Path(image.info.path), image.info.spatial_shape)
    if layer is not None and layer in viewer.layers:
        layer.visible = True
        return ShownImage(layer, own=_SOURCE in layer.metadata)
    if image is None:
        raise RuntimeError("neither a layer in the viewer nor an image was given")
    pixels, attributes, _ = layer_of_image(name, image)
    return ShownImage(viewer.add_image(pixels, **attributes), own=True)


def layer_of_image(name: str, image: ImageData) -> tuple[np.ndarray, dict[str, Any], str]:
    """Return an image as the tuple of which napari makes a layer."""
    attributes = _display(image)
    attributes |= {"name": name, "metadata": {_SOURCE: str(image.info.path)}}
    return attributes.pop("data"), attributes, "image"


def _layer_of_file(
    viewer: napari.Viewer, path: Path, spatial_shape: tuple[int, ...]
) -> Image | None:
    for layer in viewer.layers:
        source = layer.metadata.get(_SOURCE) or layer.source.path
        if isinstance(layer, Image) and source and Path(source).resolve() == path.resolve():
            full = layer.data[0] if layer.multiscale else layer.data
            if tuple(full.shape[: len(spatial_shape)]) == tuple(spatial_shape):
                return layer
    return None


def _display(image: ImageData) -> dict[str, Any]:
    pixels, info = image.pixels, image.info
    ndim = len(info.spatial_shape)
    shown: dict[str, Any] = {}
    if pixels.shape[-1] == 1:
        shown["data"] = pixels[..., 0]
    elif pixels.shape[-1] == 3:
        shown |= {"data": _as_rgb(pixels), "rgb": True}
    else:  # a slider over the channels; the labels have no such axis and lie over all of them
        shown["data"] = np.moveaxis(pixels, -1, 0)
        ndim += 1
    if info.pixel_size is not None:
        shown["scale"] = (*[1.0] * (ndim - 2), *info.pixel_size)
        if info.unit and _is_unit(info.unit):
            shown["units"] = (*["pixel"] * (ndim - 2), info.unit, info.unit)
    return shown


def _as_rgb(pixels: np.ndarray) -> np.ndarray:
    # napari takes RGB as it is: 0 to 255, or floats 0 to 1
    if pixels.dtype == np.uint8:
        return pixels
    return normalize(pixels, Normalization.for_dtype(pixels.dtype))


def _is_unit(name: str) -> bool:
    """Whether napari knows this unit; files say all kinds of things."""
    try:
        Image(np.zeros((1, 1)), units=(name, name))
    except ValueError:
        return False
    return True
