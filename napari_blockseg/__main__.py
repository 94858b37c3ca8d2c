"""``python -m napari_blockseg`` is the ``blockseg`` command."""

from napari_blockseg.cli.main import main

if __name__ == "__main__":
    main()
