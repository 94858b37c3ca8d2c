"""Pictures for reports and the demo, drawn with Pillow.

Pillow comes with napari and draws text and lines; the plots of the dock need Qt, and a plotting
library would be a large dependency for two figures.
"""

from napari_blockseg.cli.pictures.overlay import draw_overlay
from napari_blockseg.cli.pictures.spectrum import draw_spectrum

__all__ = ["draw_overlay", "draw_spectrum"]
