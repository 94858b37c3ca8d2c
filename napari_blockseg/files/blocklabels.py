"""Block labels as a plain TIFF that any program can open: one cell a block."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_blockseg.core import atomic
from napari_blockseg.core.errors import BlockSegError, ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files.tiff import DAMAGE

FORMAT = "blockseg-labels"
FORMAT_VERSION = 1
SUFFIX = ".blocks.tif"


def write_block_labels(path: Path | str, labels: BlockLabels, seq: int = 0) -> None:
    """Write block labels atomically.

    Parameters
    ----------
    path : path
        Usually ends in ``.blocks.tif``.
    labels : BlockLabels
        The labels; uint8 or uint16, one cell a block.
    seq : int
        Number of the last journal record that these labels contain; 0 without a journal.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        **labels.grid.to_dict(),
        "seq": int(seq),
    }
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        labels.values,
        photometric="minisblack",
        metadata=None,
        description=json.dumps(header),
        software="napari-blockseg",
    )
    atomic.write_bytes(path, buffer.getvalue())


def read_block_labels(path: Path | str) -> tuple[BlockLabels, int]:
    """Read block labels.

    Parameters
    ----------
    path : path
        A file of :func:`write_block_labels`.

    Returns
    -------
    labels : BlockLabels
        The labels with their geometry.
    seq : int
        Number of the last journal record that they contain.

    Raises
    ------
    ProjectError
        If the file is missing, damaged, not of this format, or from a newer version; the message
        names the file and what can be done.
    """
    path = Path(path)
    try:
        # Read whole and close: on Windows an open file could not be replaced meanwhile.
        values, description = _read_tiff(path.read_bytes())
    except FileNotFoundError as error:
        raise ProjectError(f"There are no block labels at {path}. Check the path.") from error
    except OSError as error:
        raise ProjectError(f"{path} cannot be read: {error}. Check the disk and rights.") from error
    except (*DAMAGE, MemoryError) as error:  # sizes in a damaged file may be anything
        raise damaged(path, f"it is not a whole TIFF ({error})") from error
    header = _read_header(path, description)
    try:
        grid = BlockGrid.from_dict(header)
        return BlockLabels(grid, values.reshape(grid.shape)), int(header["seq"])
    except (BlockSegError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(path, f"cells and geometry do not fit ({error})") from error


def damaged(path: Path, why: str) -> ProjectError:
    """Return the error for a labels file that cannot be used, with the ways out."""
    return ProjectError(
        f"The block labels {path} are damaged: {why}. Put a backup of this file in its place, or "
        "move it away: the labels are then rebuilt from the journal of the same image, where "
        "there is one, and start empty otherwise."
    )


def _read_tiff(data: bytes) -> tuple[np.ndarray[Any, Any], str]:
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        pages = [page.asarray() for page in tiff.pages]
        return np.stack(pages), str(tiff.pages.first.description)


def _read_header(path: Path, description: str) -> dict[str, Any]:
    try:
        header = json.loads(description)
    except json.JSONDecodeError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise damaged(path, f'its description is not that of a "{FORMAT}" file')
    version = header.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ProjectError(
            f"{path} has format version {version}; this napari-blockseg reads up to "
            f"{FORMAT_VERSION}. Upgrade napari-blockseg to open it; the file was left untouched."
        )
    return header
