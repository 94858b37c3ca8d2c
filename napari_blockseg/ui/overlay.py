"""What is drawn over the canvas: the outline of the brush, the grid, the image's edge.

These are plain vispy visuals on the canvas that napari draws on. napari has no public way to add
one, so everything private to it is asked for in :func:`node_of`; where that fails (another
napari), the outline is missing and painting goes on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from qtpy.QtCore import QObject, QTimer
from vispy.scene.visuals import Line
from vispy.visuals.filters.clipping_planes import PlanesClipper

from napari_blockseg.ui.geometry import image_edges

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer
    from vispy.scene import Node

    from napari_blockseg.core.grid import BlockGrid
    from napari_blockseg.ui.layer import BlockLabelsLayer

_LOG = logging.getLogger(__name__)
_MIN_INTERVAL_MS = 33
#: The brush is drawn last; other outlines come just before it.
OUTLINE_ORDER = 10**6 + 1
_MAX_GRID_LINES = 1000
_BRUSH_MODES = ("paint", "erase")


def footprint_corners(grid: BlockGrid, cell: tuple[int, int], size: int) -> np.ndarray | None:
    """Return the outline of what a brush paints, clipped to the image.

    Parameters
    ----------
    grid : BlockGrid
        The grid.
    cell : (row, col)
        Block under the mouse.
    size : int
        Side of the brush, in blocks.

    Returns
    -------
    (4, 2) float array or None
        Corners in pixels of the image (row, col), in order round the outline; None where the
        brush would paint nothing.
    """
    rows, cols = grid.brush_slices(*cell, size)
    if rows.start == rows.stop or cols.start == cols.stop:
        return None
    top, bottom, left, right = grid.brush_bounds(*cell, size)
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def grid_segments(grid: BlockGrid) -> np.ndarray | None:
    """Return the inner lines of a grid as pairs of points, (2 n, 2), pixels (row, col).

    None for a grid with no inner line, or with more than 1000: they would hide the image.
    """
    row_edges = np.arange(1, grid.rows) * grid.block - 0.5
    col_edges = np.arange(1, grid.cols) * grid.block - 0.5
    if not 0 < len(row_edges) + len(col_edges) <= _MAX_GRID_LINES:
        return None
    right, bottom = grid.pixel_cols - 0.5, grid.pixel_rows - 0.5
    across = [[(edge, -0.5), (edge, right)] for edge in row_edges]
    down = [[(-0.5, edge), (bottom, edge)] for edge in col_edges]
    return np.array(across + down).reshape(-1, 2)


class CanvasOverlay(QObject):
    """Draw the true footprint of the brush under the mouse, and grid lines on request.

    Parameters
    ----------
    viewer : napari.Viewer
        Its canvas is drawn on, its cursor followed.
    parent : QObject, optional
        Owner.
    """

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: BlockLabelsLayer | None = None
        self._visuals: list[Line] = []
        self._clippers: WeakKeyDictionary[Node, PlanesClipper] = WeakKeyDictionary()
        self._grid_visible = False
        self._rebuild = False
        self._corners: np.ndarray | None = None
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_MIN_INTERVAL_MS)
        self._later.timeout.connect(self._on_time)
        viewer.cursor.events.position.connect(self._on_moved)
        viewer.events.mouse_over_canvas.connect(self._on_moved)
        viewer.dims.events.ndisplay.connect(self._on_view_changed)
        viewer.layers.selection.events.active.connect(self._on_moved)

    @property
    def outline(self) -> np.ndarray | None:
        """Corners of the outline that is drawn: (4, 2) pixels of the image, None when hidden."""
        return self._corners

    def follow(self, layer: BlockLabelsLayer | None) -> None:
        """Draw for another layer, or for none."""
        self._leave()
        self._layer = layer
        self._rebuild = False
        if layer is None:
            return
        for event in self._moving(layer):
            event.connect(self._on_moved)
        for event in self._changing(layer):
            event.connect(self._on_view_changed)
        self._build()

    def show_grid(self, visible: bool) -> None:
        """Show or hide the lines between blocks."""
        self._grid_visible = visible
        self._draw_grid()

    def close(self) -> None:
        """Let go of viewer and layer."""
        self._leave()
        self._viewer.cursor.events.position.disconnect(self._on_moved)
        self._viewer.events.mouse_over_canvas.disconnect(self._on_moved)
        self._viewer.dims.events.ndisplay.disconnect(self._on_view_changed)
        self._viewer.layers.selection.events.active.disconnect(self._on_moved)

    def _leave(self) -> None:
        self._later.stop()
        layer, self._layer = self._layer, None
        for visual in self._visuals:
            visual.parent = None
        self._visuals, self._corners = [], None
        if layer is None:
            return
        for event in self._moving(layer):
            event.disconnect(self._on_moved)
        for event in self._changing(layer):
            event.disconnect(self._on_view_changed)

    @staticmethod
    def _moving(layer: BlockLabelsLayer) -> tuple[Any, ...]:
        return layer.events.brush_size, layer.events.mode, layer.events.selected_label

    @staticmethod
    def _changing(layer: BlockLabelsLayer) -> tuple[Any, ...]:
        return layer.events.affine, layer.events.data, layer.events.visible

    def _build(self) -> None:
        node = node_of(self._viewer, self._layer)
        if node is None:
            return
        # dark below, light above: seen on any image
        styles = (((0, 0, 0, 0.75), 4.0), ((1, 1, 1, 1), 1.6), ((1, 1, 1, 0.22), 1.0))
        for number, (color, width) in enumerate(styles):
            line = Line(
                pos=np.zeros((2, 2), np.float32),
                color=color,
                width=width,
                connect="segments" if number == 2 else "strip",
                method="gl",
                parent=node.parent,
            )
            line.order = OUTLINE_ORDER + number
            line.set_gl_state("translucent", depth_test=False)
            line.visible = False
            self._visuals.append(line)
        self._draw_grid()
        self._draw_outline()
        self._clip()

    def _on_view_changed(self, _event: Any = None) -> None:
        # napari moves what it draws only after this call
        self._rebuild = True
        self._on_moved()

    def _on_moved(self, _event: Any = None) -> None:
        if self._layer is not None and not self._later.isActive():
            self._later.start()

    def _on_time(self) -> None:
        if self._rebuild:
            self.follow(self._layer)
        else:
            self._draw_outline()

    def _draw_outline(self) -> None:
        self._corners = self._wanted_corners()
        for line in self._visuals[:2]:
            if self._corners is not None:
                line.set_data(pos=self._to_scene(self._corners[[0, 1, 2, 3, 0]]))
            line.visible = self._corners is not None

    def _wanted_corners(self) -> np.ndarray | None:
        layer = self._layer
        if (
            layer is None
            or not layer.visible
            or layer.mode not in _BRUSH_MODES
            or self._viewer.layers.selection.active is not layer
            or self._viewer.dims.ndisplay != 2
            or not self._viewer.mouse_over_canvas
        ):
            return None
        cell = np.round(layer.world_to_data(self._viewer.cursor.position)).astype(int)
        return footprint_corners(layer.grid, (int(cell[-2]), int(cell[-1])), layer.brush_size)

    def _draw_grid(self) -> None:
        if len(self._visuals) < 3 or self._layer is None:
            return
        wanted = self._grid_visible and self._layer.visible and self._viewer.dims.ndisplay == 2
        segments = grid_segments(self._layer.grid) if wanted else None
        if segments is not None:
            self._visuals[2].set_data(pos=self._to_scene(segments))
        self._visuals[2].visible = segments is not None

    def _to_scene(self, pixels: np.ndarray) -> np.ndarray | None:
        """Return where pixels of the image are drawn: by the transform of the drawn labels."""
        node = node_of(self._viewer, self._layer)
        if node is None:
            return None
        cells = (pixels[:, ::-1] + 0.5) / self._layer.grid.block  # vispy's cells begin at 0
        return np.asarray(node.transform.map(cells))[:, :2].astype(np.float32)

    def _clip(self) -> None:
        """Cut the drawn labels off where the image ends inside a ragged edge block."""
        node = node_of(self._viewer, self._layer)
        if node is None or self._viewer.dims.ndisplay != 2:
            return
        _, bottom, _, right = image_edges(self._layer.grid)
        # vispy's cells begin at 0, napari's at -0.5; (position, inward normal), x y z
        planes = np.array(
            [[[0, bottom + 0.5, 0], [0, -1, 0]], [[right + 0.5, 0, 0], [-1, 0, 0]]], np.float32
        )
        if node not in self._clippers:
            self._clippers[node] = PlanesClipper(coord_system="visual")
            node.attach(self._clippers[node])
        self._clippers[node].clipping_planes = planes


def node_of(viewer: napari.Viewer, layer: Layer | None) -> Node | None:
    """Return what draws a layer on the canvas, None where this napari does not say."""
    try:
        return viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
    except (AttributeError, KeyError):
        _LOG.debug("this napari shows its canvas in another way: no outline", exc_info=True)
        return None
