"""Outlines of the blocks to label next, drawn over the canvas as wide at any zoom.

Plain vispy lines, as in :mod:`napari_blockseg.ui.overlay`. A napari Shapes layer would do too, but
the first one in a process holds the GUI noticeably (longer on a fresh installation, while its
accelerator compiles), and its lines grow with the zoom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer
from vispy.scene.visuals import Line

from napari_blockseg.ui.overlay import OUTLINE_ORDER, footprint_corners, node_of

if TYPE_CHECKING:
    import napari

    from napari_blockseg.core.reports import Suggestion
    from napari_blockseg.ui.layer import BlockLabelsLayer

_AFTER_MS = 33
# dark below, light above: seen on any image; the last one is the block that is looked at
_STYLES = (((0, 0, 0, 0.7), 4.0), ((1, 0.85, 0, 1), 2.0), ((1, 1, 1, 1), 4.0))


class SuggestionOutlines(QObject):
    """Outline blocks of the shown image.

    Parameters
    ----------
    viewer : napari.Viewer
        Its canvas is drawn on.
    parent : QObject, optional
        Owner.
    """

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: BlockLabelsLayer | None = None
        self._blocks: tuple[Suggestion, ...] = ()
        self._current: Suggestion | None = None
        self._lines: list[Line] = []
        self._later = QTimer(self, interval=_AFTER_MS, singleShot=True)
        self._later.timeout.connect(self._draw)
        for event in self._viewer_events():
            event.connect(self._on_moved)

    @property
    def blocks(self) -> tuple[Suggestion, ...]:
        """The blocks that are outlined: those of the plane that is shown."""
        if self._layer is None or self._viewer.dims.ndisplay != 2:
            return ()
        cell = np.round(self._layer.world_to_data(self._viewer.dims.point)).astype(int)
        plane = tuple(int(i) for i in cell[:-2])
        return tuple(one for one in self._blocks if one.index == plane)

    def show(
        self,
        layer: BlockLabelsLayer | None,
        blocks: Sequence[Suggestion],
        current: Suggestion | None,
    ) -> None:
        """Outline blocks of the image of `layer`, and one of them more than the others."""
        if layer is not self._layer:
            self._leave()
            if layer is not None:
                layer.events.affine.connect(self._on_moved)
            self._layer = layer
        self._blocks, self._current = tuple(blocks), current
        self._draw()

    def close(self) -> None:
        """Let go of viewer and layer."""
        self._leave()
        for event in self._viewer_events():
            event.disconnect(self._on_moved)

    def _viewer_events(self) -> tuple[Any, Any]:
        return self._viewer.dims.events.current_step, self._viewer.dims.events.ndisplay

    def _leave(self) -> None:
        self._later.stop()
        for line in self._lines:
            line.parent = None
        self._lines, self._blocks = [], ()
        if self._layer is not None:
            self._layer.events.affine.disconnect(self._on_moved)
        self._layer = None

    def _on_moved(self, _event: Any = None) -> None:
        # napari moves what it draws only after this call
        if self._blocks and not self._later.isActive():
            self._later.start()

    def _draw(self) -> None:
        blocks = self.blocks
        node = node_of(self._viewer, self._layer)
        if node is None or not blocks:
            for line in self._lines:
                line.visible = False
            return
        if not self._lines:
            self._lines = [_line(node.parent, *style, n) for n, style in enumerate(_STYLES)]
        looked_at = [one for one in blocks if one == self._current]
        for line, shown in zip(self._lines, (blocks, blocks, looked_at), strict=True):
            line.visible = bool(shown)
            if shown:
                line.set_data(pos=self._segments(node, shown))

    def _segments(self, node: Any, blocks: Sequence[Suggestion]) -> np.ndarray:
        """Return the sides of blocks as pairs of points of the scene, (8 n, 2)."""
        grid = self._layer.grid.plane
        corners = np.stack([footprint_corners(grid, (one.row, one.col), 1) for one in blocks])
        pairs = corners[:, [0, 1, 1, 2, 2, 3, 3, 0]].reshape(-1, 2)
        cells = (pairs[:, ::-1] + 0.5) / grid.block  # vispy's cells begin at 0
        return np.asarray(node.transform.map(cells))[:, :2].astype(np.float32)


def _line(parent: Any, color: tuple[float, ...], width: float, number: int) -> Line:
    line = Line(
        pos=np.zeros((2, 2), np.float32),
        color=color,
        width=width,
        connect="segments",
        method="gl",
        parent=parent,
    )
    line.order = OUTLINE_ORDER - len(_STYLES) + number
    line.set_gl_state("translucent", depth_test=False)
    return line
