"""``python -m napari_blockseg.ui [PROJECT]``: napari with the dock, for ``blockseg annotate``."""

from __future__ import annotations

import sys
from pathlib import Path

import napari

from napari_blockseg.ui.contributions import dock_of


def show(viewer: napari.Viewer, project: Path | None) -> None:
    """Open the dock in a viewer, and a project in the dock; the folder may have any name."""
    session = dock_of(viewer).session
    if project is not None:
        session.open_project(project)


def main() -> None:
    """Start napari and run it to its end."""
    words = sys.argv[1:]
    show(napari.Viewer(), Path(words[0]) if words else None)
    napari.run()


if __name__ == "__main__":
    main()
