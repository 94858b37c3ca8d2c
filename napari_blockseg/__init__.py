"""Semantic segmentation from painted blocks, in napari and on the command line."""

__version__ = "0.1.0"
