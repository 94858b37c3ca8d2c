"""Blocks, spectra, tiles, metrics and configs: pure numpy, imports nothing of ours."""
