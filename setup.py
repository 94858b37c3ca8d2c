"""Say which folders are packages: the samples lie at the root and ship inside the package.

Everything else is in pyproject.toml, which cannot both look for packages and name an extra one.
"""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["napari_blockseg", "napari_blockseg.*"]),
        "napari_blockseg.sample_data",
    ],
    package_dir={"napari_blockseg.sample_data": "sample_data"},
)
