"""What the dock adds to napari's own style."""

from __future__ import annotations

from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.utils.theme import Theme

_SHEET = Template(
    """
#blockseg_header { background-color: $foreground; border-radius: 3px; }
#blockseg_header:hover { background-color: $primary; }
#blockseg_header QLabel { background-color: transparent; }
#blockseg_title { font-weight: 600; }
#blockseg_news, #blockseg_status, #blockseg_effort, #blockseg_hint { color: $secondary_text; }
#blockseg_primary { background-color: $current; color: $text; padding: 6px; font-weight: 600; }
#blockseg_primary:hover { background-color: $highlight; }
#blockseg_mode { padding: 5px; }
#blockseg_mode:checked { background-color: $current; color: $text; }
#blockseg_mode:checked:disabled { background-color: $current; color: $text; }
#blockseg_classes { background-color: $console; border-radius: 3px; outline: 0; }
#blockseg_classes::item { padding: 0px 2px; border: 0px; }
#blockseg_classes::item:selected { background-color: $current; color: $text; }
#blockseg_classes::item:hover:!selected { background-color: $primary; }
#blockseg_classes QHeaderView, #blockseg_classes QHeaderView::section {
  background-color: $console; color: $secondary_text; border: 0px; padding: 2px 4px;
}
"""
)


def style_sheet(theme: Theme) -> str:
    """Return the style sheet of the dock for a theme of napari."""
    colors = {
        name: getattr(theme, name).as_hex()
        for name in ("foreground", "primary", "current", "highlight", "console", "text")
    }
    red, green, blue = theme.text.as_rgb_tuple()[:3]
    return _SHEET.substitute(colors, secondary_text=f"rgba({red}, {green}, {blue}, 65%)")
