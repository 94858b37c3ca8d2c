"""Join the Paint panel and the labels layer: a change of one shows on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject

from napari_blockseg.ui.layer import MAX_BRUSH
from napari_blockseg.ui.panels.paint import PaintPanel, PaintSettings, Tool

if TYPE_CHECKING:
    from napari_blockseg.ui.layer import BlockLabelsLayer
    from napari_blockseg.ui.overlay import CanvasOverlay
    from napari_blockseg.ui.session import Session

_MODES: dict[Tool, str] = {
    "brush": "paint",
    "eraser": "erase",
    "fill": "fill",
    "polygon": "polygon",
    "pick": "pick",
    "pan": "pan_zoom",
}
_TOOLS = {mode: tool for tool, mode in _MODES.items()}


class BrushLink(QObject):
    """Carry tool, brush size, class and grid lines between panel, layer and canvas.

    Parameters
    ----------
    session : Session
        Says which layer is painted on.
    panel : PaintPanel
        Shows and changes the settings.
    overlay : CanvasOverlay
        Draws outline and grid lines.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self,
        session: Session,
        panel: PaintPanel,
        overlay: CanvasOverlay,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self._panel = panel
        self._overlay = overlay
        self._layer: BlockLabelsLayer | None = None
        panel.value_changed.connect(self._on_panel_changed)
        session.image_changed.connect(self._on_image_changed)

    def _on_image_changed(self, _image_id: str) -> None:
        old, layer = self._layer, self._session.labels_layer()
        if old is not None:
            for event in self._events(old):
                event.disconnect(self._on_layer_changed)
        self._layer = layer
        self._overlay.follow(layer)
        if layer is None:
            return
        settings = self._panel.value()
        layer.brush_size = settings.brush_size
        if settings.class_value:
            layer.selected_label = settings.class_value
        layer.mode = _MODES["brush" if old is None else settings.tool]
        for event in self._events(layer):
            event.connect(self._on_layer_changed)
        self._on_layer_changed()

    def _on_panel_changed(self, settings: PaintSettings) -> None:
        layer = self._layer
        self._overlay.show_grid(settings.grid_lines)
        if layer is None:
            return
        if self._session.viewer.layers.selection.active is not layer:
            self._session.viewer.layers.selection = {layer}
        # each of these calls back: they are set from one snapshot of the panel
        layer.brush_size = settings.brush_size
        if settings.class_value:
            layer.selected_label = settings.class_value
        layer.mode = _MODES[settings.tool]

    def _on_layer_changed(self, _event: Any = None) -> None:
        layer = self._layer
        if layer is None:
            return
        now = self._panel.value()
        self._panel.set_value(
            PaintSettings(
                tool=_TOOLS.get(str(layer.mode), "pan"),
                brush_size=min(int(layer.brush_size), MAX_BRUSH),
                class_value=layer.selected_label,
                grid_lines=now.grid_lines,
            )
        )

    @staticmethod
    def _events(layer: BlockLabelsLayer) -> tuple[Any, ...]:
        return layer.events.brush_size, layer.events.mode, layer.events.selected_label
