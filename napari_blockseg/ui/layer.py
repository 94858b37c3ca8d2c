"""The labels layer whose cells are blocks of an image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from napari.layers import Labels
from napari.layers.labels._labels_constants import Mode
from napari.utils.colormaps import DirectLabelColormap

from napari_blockseg.ui.geometry import TRANSFORM_EVENTS, block_affine, copied_dims

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.grid import BlockGrid
    from napari_blockseg.core.labels import BlockLabels

MAX_BRUSH = 40  # as far as napari's own slider goes
_MAX_KEYS = 9


class _BrushResize:
    """Change the brush by moving the mouse sideways with Alt held: a block's width is a block."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def __call__(self, layer: BlockLabelsLayer, event: Any) -> None:
        if "Alt" not in event.modifiers:
            self._start = None
            return
        x = float(event.pos[0])
        if self._start is None:
            self._start = x, int(layer.brush_size)
        start, size = self._start
        per_block = max(float(np.abs(layer.affine.scale[-1])) * event.camera_zoom, 4.0)
        layer.brush_size = int(np.clip(size + round((x - start) / per_block), 1, MAX_BRUSH))


class BlockLabelsLayer(Labels):
    """A napari Labels layer on a block grid, with a square brush of n x n blocks.

    All tools of the stock layer stay: paint, erase, fill, polygon, pick, encircle-and-fill, and
    the keys for them. To the rest of napari it is a "labels" layer; copies of it are plain ones.

    Parameters
    ----------
    labels : BlockLabels
        What is painted at first; the layer paints into its own copy.
    classes : sequence of ClassInfo
        Classes 1..K.
    image : napari Image
        The image under the grid; the layer follows its transform.
    name : str
        Name in the layer list.

    Notes
    -----
    Undo and redo are handed to ``on_undo`` and ``on_redo``, since napari's own history does not
    survive a new grid. ``brush_size`` counts blocks.
    """

    _cursor_modes: ClassVar[dict[Any, str]] = {
        **Labels._cursor_modes,
        Mode.PAINT: "cross",
        Mode.ERASE: "cross",
    }

    _resize = _BrushResize()
    _move_modes: ClassVar[dict[Any, Callable[..., None]]] = {
        **Labels._move_modes,
        Mode.PAINT: _resize,
        Mode.ERASE: _resize,
    }

    def __init__(
        self, labels: BlockLabels, classes: Sequence[ClassInfo], image: Image, name: str
    ) -> None:
        self._n_classes = len(classes)
        self.grid: BlockGrid = labels.grid
        self.image = image
        self.on_undo: Callable[[], None] | None = None
        self.on_redo: Callable[[], None] | None = None
        super().__init__(
            np.array(labels.values),
            name=name,
            opacity=0.55,
            affine=block_affine(image, labels.grid),
            metadata={"blockseg": labels.grid.to_dict()},
            **copied_dims(image, len(labels.grid.shape)),
        )
        self.brush_size = 1
        self.set_classes(classes)
        # before napari's own callback: what it paints belongs to the same undo step
        self.mouse_drag_callbacks.insert(0, _paint_to_the_release)
        for event in TRANSFORM_EVENTS:
            getattr(image.events, event).connect(self.follow_image)

    @property
    def _type_string(self) -> str:
        # napari looks up icons, menus and writers by it; a copy is a plain Labels layer
        return "labels"

    # ---- geometry
    def follow_image(self, _event: Any = None) -> None:
        """Lay the grid over the image again after the image was moved or scaled."""
        self.affine = block_affine(self.image, self.grid)

    def set_labels(self, labels: BlockLabels) -> None:
        """Show other labels, on the same or another grid."""
        self.grid = labels.grid
        self.data = np.array(labels.values)
        self.metadata = {**self.metadata, "blockseg": labels.grid.to_dict()}
        self.follow_image()

    def detach(self) -> None:
        """Stop following the image."""
        for event in TRANSFORM_EVENTS:
            getattr(self.image.events, event).disconnect(self.follow_image)

    # ---- classes
    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Take over names, colors and keys of the classes; key 0 selects "unlabelled"."""
        self._n_classes = len(classes)
        colors: dict[int | None, Any] = {None: (0.5, 0.5, 0.5, 1.0), 0: (0.0, 0.0, 0.0, 0.0)}
        colors |= {c.value: (*(part / 255 for part in c.color), 1.0) for c in classes}
        self.colormap = DirectLabelColormap(color_dict=colors)
        self.features = {
            "index": [0, *(c.value for c in classes)],
            "class": ["unlabelled", *(c.name for c in classes)],
        }
        for value in range(_MAX_KEYS + 1):
            self.bind_key(str(value), _selects(value), overwrite=True)
        self.selected_label = min(max(self.selected_label, min(1, len(classes))), len(classes))

    @property
    def selected_label(self) -> int:
        """The class that is painted, 0 to K: no other value can be selected."""
        return int(Labels.selected_label.fget(self))

    @selected_label.setter
    def selected_label(self, value: int) -> None:
        allowed = min(max(int(value), 0), self._n_classes)
        Labels.selected_label.fset(self, allowed)
        if allowed != value:
            # the spin box of napari's controls shows what was asked for: tell it
            self.events.selected_label()

    # ---- painting
    def paint(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Paint a square of ``brush_size`` x ``brush_size`` blocks, clipped to the image.

        Parameters
        ----------
        coord : sequence of float
            Position in cells of the grid; rows and columns are the last two.
        new_label : int
            Class value, 0 erases.
        refresh : bool
            Whether to redraw at once.
        """
        cell = np.round(np.asarray(coord, dtype=float)).astype(int)
        leading = tuple(int(i) for i in cell[:-2])
        if any(not 0 <= i < n for i, n in zip(leading, self.grid.leading_shape, strict=True)):
            return
        rows, cols = self.grid.brush_slices(int(cell[-2]), int(cell[-1]), int(self.brush_size))
        under = np.asarray(self.data[(*leading, rows, cols)])
        painted = np.nonzero(self._may_change(under, new_label))
        if painted[0].size == 0:
            return
        index = tuple(np.full(painted[0].shape, i) for i in leading)
        index += (painted[0] + rows.start, painted[1] + cols.start)
        self.data_setitem(index, new_label, refresh)

    def _may_change(self, under: np.ndarray, new_label: int) -> np.ndarray:
        changed = under != new_label
        if self.preserve_labels:
            # as napari means it: paint only on the unlabelled, erase only the selected class
            changed &= under == (self.selected_label if new_label == 0 else 0)
        return changed

    # ---- undo
    def undo(self) -> None:
        """Take back the last step."""
        if self.on_undo is not None:
            self.on_undo()

    def redo(self) -> None:
        """Do the last undone step again."""
        if self.on_redo is not None:
            self.on_redo()


def _paint_to_the_release(layer: BlockLabelsLayer, event: Any) -> Generator[None, None, None]:
    """Paint the last bit of a stroke, of which the canvas passes over moves that come too fast."""
    if event.button != 1 or layer.mode not in ("paint", "erase") or event.modifiers:
        return
    last = np.asarray(layer.world_to_data(event.position))
    yield
    while event.type == "mouse_move":
        last = np.asarray(layer.world_to_data(event.position))
        yield
    end = np.asarray(layer.world_to_data(event.position))
    steps = int(np.ceil(2 * np.abs(end - last).max())) + 1
    value = 0 if layer.mode == "erase" else layer.selected_label
    if steps > 1:
        for share in np.linspace(0, 1, steps)[1:]:
            layer.paint(last + share * (end - last), value)


def _selects(value: int) -> Callable[[BlockLabelsLayer], None]:
    def select(layer: BlockLabelsLayer) -> None:
        layer.selected_label = value
        if layer.mode in ("pan_zoom", "erase", "transform"):
            layer.mode = "paint"

    select.__doc__ = "Erase." if value == 0 else f"Paint class {value}."
    return select
