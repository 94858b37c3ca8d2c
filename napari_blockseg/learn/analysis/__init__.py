"""The analysis of a trained network: spectra of its loss, its features and its gradients.

And what that means for its decoder: how it scores when it is run at coarser strides.
"""

from napari_blockseg.learn.analysis.run import MAX_IMAGES, TOLERANCE, analyse

__all__ = ["MAX_IMAGES", "TOLERANCE", "analyse"]
