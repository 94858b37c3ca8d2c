"""The layer that shows a prediction over its image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_blockseg.core.classes import present_values
from napari_blockseg.ui.geometry import TRANSFORM_EVENTS, copied_dims, data_to_world

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

    from napari_blockseg.core.classes import ClassInfo

NAME = "prediction"


class PredictionView:
    """Keep one Labels layer named "prediction" that lies on an image, pixel by pixel.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the layer is shown; its selection stays as it is, so that painting goes on.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._image: Image | None = None
        self._names: dict[int, str] = {}
        self.layer: Labels | None = None

    def show(
        self,
        image: Image,
        shape: tuple[int, ...],
        classes: Sequence[ClassInfo],
        mask: np.ndarray,
        region: tuple[int, int, int, int] | None,
        slice_index: tuple[int, ...],
    ) -> None:
        """Put a mask into the layer, which is made where there is none for this image yet.

        The array stays the same, and is drawn again in one go: nothing blinks, and what the user
        chose (hidden, opacity, place in the list) stays.
        """
        if self.layer is None or self._image is not image or self.layer not in self._viewer.layers:
            self.clear()
            self.layer = self._add(image, shape, classes)
        row0, row1, col0, col1 = region or (0, shape[-2], 0, shape[-1])
        part = self.layer.data[(*slice_index, slice(row0, row1), slice(col0, col1))]
        if not np.array_equal(part, mask):
            part[...] = mask
            self.layer.refresh(extent=False)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Show the prediction in the classes' colors and under their names.

        What was predicted as a class keeps its name where the classes' values have changed.
        """
        if self.layer is None:
            return
        table = present_values(self._names, classes)
        if not np.array_equal(table, np.arange(len(table))):
            dtype = self.layer.data.dtype
            of_all = np.zeros(np.iinfo(dtype).max + 1, dtype)
            of_all[: len(table)] = table
            self.layer.data = of_all[self.layer.data]
        self._name(self.layer, classes)

    def clear(self) -> None:
        """Remove the layer."""
        layer = self.let_go()
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def let_go(self) -> Labels | None:
        """Return the layer, which is not followed any more; someone else removes it."""
        if self._image is not None:
            for event in TRANSFORM_EVENTS:
                getattr(self._image.events, event).disconnect(self._follow)
        layer, self.layer, self._image = self.layer, None, None
        return layer

    def _add(self, image: Image, shape: tuple[int, ...], classes: Sequence[ClassInfo]) -> Labels:
        dtype = np.uint8 if len(classes) <= 255 else np.uint16
        layer = Labels(
            np.zeros(shape, dtype),
            name=NAME,
            opacity=0.5,
            affine=data_to_world(image, len(shape)),
            **copied_dims(image, len(shape)),
        )
        self._name(layer, classes)
        selected = set(self._viewer.layers.selection)
        active = self._viewer.layers.selection.active
        self._viewer.layers.insert(self._viewer.layers.index(image) + 1, layer)
        self._viewer.layers.selection = selected
        self._viewer.layers.selection.active = active
        self._image = image
        for event in TRANSFORM_EVENTS:
            getattr(image.events, event).connect(self._follow)
        return layer

    def _name(self, layer: Labels, classes: Sequence[ClassInfo]) -> None:
        self._names = {info.value: info.name for info in classes}
        _color(layer, classes)

    def _follow(self, _event: Any = None) -> None:
        if self.layer is not None and self._image is not None:
            self.layer.affine = data_to_world(self._image, self.layer.ndim)


def _color(layer: Labels, classes: Sequence[ClassInfo]) -> None:
    colors: dict[int | None, Any] = {None: (0.5, 0.5, 0.5, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
    colors |= {c.value: (*(part / 255 for part in c.color), 1.0) for c in classes}
    layer.colormap = DirectLabelColormap(color_dict=colors)
    layer.features = {
        "index": [0, *(c.value for c in classes)],
        "class": ["nothing predicted", *(c.name for c in classes)],
    }
