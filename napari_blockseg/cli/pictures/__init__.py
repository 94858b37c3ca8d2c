"""Pictures for reports and the demo, drawn with Pillow.

Pillow comes with napari and draws text and lines; the plots of the dock need Qt, and a plotting
library would be a large dependency for two figures.
"""

from napari_blockseg.cli.pictures.analysis import draw_layers, draw_loss, draw_trials
from napari_blockseg.cli.pictures.colors import readable
from napari_blockseg.cli.pictures.overlay import draw_overlay
from napari_blockseg.cli.pictures.spectrum import draw_ceilings, draw_curves, draw_spectrum
from napari_blockseg.cli.pictures.strip import draw_strip

__all__ = [
    "draw_ceilings",
    "draw_curves",
    "draw_layers",
    "draw_loss",
    "draw_overlay",
    "draw_spectrum",
    "draw_strip",
    "draw_trials",
    "readable",
]
