"""Say which folders are packages: the samples lie at the root and ship inside the package.

Everything else is in pyproject.toml, which cannot both look for packages and name an extra one.
"""

from setuptools import find_namespace_packages, find_packages, setup

SAMPLES = "napari_blockseg.sample_data"

setup(
    packages=[
        *find_packages(include=["napari_blockseg", "napari_blockseg.*"]),
        SAMPLES,
        # setuptools takes a folder of images for a package, and asks to hear its name
        *(
            f"{SAMPLES}.{name}"
            for name in find_namespace_packages("sample_data", exclude=["*__pycache__"])
        ),
    ],
    package_dir={SAMPLES: "sample_data"},
)
