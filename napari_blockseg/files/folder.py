"""The reading side of a project: needs no lock, works while another process writes."""

from __future__ import annotations

import threading
import uuid
from datetime import datetime
from pathlib import Path

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.errors import BlockSegError, ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.files import imagefiles
from napari_blockseg.files.imagefiles import Skipped
from napari_blockseg.files.images import ImageData, OpenedImage, open_image, read_image
from napari_blockseg.files.labelstore import LabelStore
from napari_blockseg.files.spec import ImageEntry, ProjectSpec


class ProjectFolder:
    """What can be read of a project folder.

    Parameters
    ----------
    root : Path
        The folder.
    spec : ProjectSpec
        What ``project.json`` says.

    Attributes
    ----------
    problems : dict of str to str
        For images that cannot be used as they are: what is wrong, and the way out.
    skipped : list of (Path, str)
        Files that were not added, with the reasons.
    """

    def __init__(self, root: Path, spec: ProjectSpec) -> None:
        self.root = root
        self.spec = spec
        self.problems: dict[str, str] = {}
        self.skipped: Skipped = []
        self._store = LabelStore(root)
        self._turn = threading.RLock()

    def check(self) -> dict[str, str]:
        """Look for missing, moved and changed images and damaged labels; return ``problems``."""
        problems = {}
        for entry in self.spec.images:
            found = [imagefiles.image_problem(self.root, entry), self._labels_problem(entry)]
            if any(found):
                problems[entry.id] = " ".join(one for one in found if one)
        self.problems = problems
        return problems

    @property
    def damaged_journals(self) -> dict[str, str]:
        """For images whose journal is damaged: where, and the ways on.

        They can be used, with the labels from before the damage, until something is painted on
        them: the journal is then begun anew.
        """
        return dict(self._store.damaged)

    @property
    def name(self) -> str:
        """The project's name."""
        return self.spec.name

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes, values 1..K."""
        return self.spec.classes

    @property
    def block(self) -> int:
        """Block size, in pixels."""
        return self.spec.block

    @property
    def image_ids(self) -> list[str]:
        """Ids of the images, in the order in which they were added."""
        return [entry.id for entry in self.spec.images]

    @property
    def models_dir(self) -> Path:
        """Folder of the models, one folder a run."""
        return self.root / "models"

    @property
    def predictions_dir(self) -> Path:
        """Folder of the predictions, one folder a run."""
        return self.root / "predictions"

    @property
    def cache_dir(self) -> Path:
        """Folder of things that can be computed again; may be deleted at any time."""
        return self.root / "cache"

    def runs(self) -> list[str]:
        """Return the names of the runs that have a model, oldest first."""
        found = [path.parent for path in self.models_dir.glob("*/model.json")]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime)]

    def new_run_name(self) -> str:
        """Return a name that no run has: date, time and four random letters."""
        return f"{datetime.now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:4]}"

    def entry(self, image_id: str) -> ImageEntry:
        """Return what the project knows about an image.

        Raises
        ------
        ProjectError
            If there is no such image.
        """
        for entry in self.spec.images:
            if entry.id == image_id:
                return entry
        raise ProjectError(
            f'The project {self.root} has no image "{image_id}"; it has '
            f"{', '.join(self.image_ids[:10]) or 'none'}. Check the name, or add the image."
        )

    def image_path(self, image_id: str) -> Path:
        """Return where an image is expected; it may be missing (see ``problems``)."""
        return imagefiles.entry_path(self.root, self.entry(image_id))

    def grid(self, image_id: str) -> BlockGrid:
        """Return the block grid of an image at the project's block size."""
        return BlockGrid(self.entry(image_id).spatial_shape, self.block)

    def load_image(self, image_id: str) -> ImageData:
        """Read an image.

        Raises
        ------
        ProjectError
            If the file is missing or has changed; the message names the way out.
        ImageError
            If it cannot be read.
        """
        entry = self.entry(image_id)
        return read_image(imagefiles.require_image(self.root, entry), entry.given_axes)

    def open_image(self, image_id: str) -> OpenedImage:
        """Open an image to be read by windows; errors are those of :meth:`load_image`."""
        entry = self.entry(image_id)
        return open_image(imagefiles.require_image(self.root, entry), entry.given_axes)

    def load_labels(self, image_id: str) -> BlockLabels:
        """Return the block labels of an image, up to the last record of its journal.

        Their grid is that of the labels themselves; while another process is changing the block
        size it may differ from :attr:`block`.

        Raises
        ------
        ProjectError
            If the labels file is damaged, from a newer version or of another image.
        """
        with self._turn:
            return self._store.state(image_id, self._empty(self.entry(image_id))).labels

    def _empty(self, entry: ImageEntry) -> BlockLabels:
        return BlockLabels.empty(BlockGrid(entry.spatial_shape, self.block), len(self.classes))

    def _labels_problem(self, entry: ImageEntry) -> str | None:
        with self._turn:
            try:
                self._store.state(entry.id, self._empty(entry))
            except BlockSegError as error:
                return str(error)
        return None
