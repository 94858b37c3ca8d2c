"""From a project on disk to what training takes, in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from napari_blockseg.core.errors import BlockSegError, LabelError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import Notice
from napari_blockseg.files.spec import read_spec

if TYPE_CHECKING:
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.data import TrainingImage

Index = tuple[int, ...]
Signature = tuple[tuple[int, int] | None, ...]
_OTHER_LABELS = (
    "Classes or blocks of the project changed: this training goes on with the labels as they were. "
    "Stop it and start a new one to learn from the present ones."
)


@dataclass(frozen=True)
class LabelledPlane:
    """A plane with labelled blocks: where it is, and its labels."""

    image_id: str
    index: Index
    labels: BlockLabels

    @property
    def name(self) -> str:
        """What it is called: the image's id, and its position in a stack."""
        return f"{self.image_id}[{','.join(map(str, self.index))}]" if self.index else self.image_id


class ProjectImages(Sequence["TrainingImage"]):
    """The labelled planes of a project; pixels are read from disk when one is asked for.

    Only the image that was read last is held, so memory is bounded by the largest image (and by
    what the reader of this sequence keeps). Block labels are small and stay in memory: what is
    painted later belongs to the next training.

    Parameters
    ----------
    project : Project
        An open project.

    Attributes
    ----------
    project : Project
        As given.
    planes : list of LabelledPlane
        What there is to train on.
    notices : list of Notice
        A warning for each image that has labels and cannot be used, or not all of them.
    signatures : dict of str to tuple
        What the label files of each image looked like just before they were read: what is painted
        from then on makes them others.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._last: tuple[str, Any] | None = None
        self.planes: list[LabelledPlane] = []
        self.notices: list[Notice] = []
        self.signatures: dict[str, Signature] = {}
        for image_id in project.image_ids:
            self.signatures[image_id] = label_signature(project.root, image_id)
            self._add(image_id)

    def __len__(self) -> int:
        return len(self.planes)

    @overload
    def __getitem__(self, index: int) -> TrainingImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrainingImage]: ...
    def __getitem__(self, index: int | slice) -> TrainingImage | list[TrainingImage]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        from napari_blockseg.learn.data import TrainingImage

        plane = self.planes[index]
        pixels = self._pixels(plane.image_id)[plane.index]
        return TrainingImage(plane.name, pixels, plane.labels)

    def require_one(self) -> None:
        """Make sure that there is something to train on.

        Raises
        ------
        LabelError
            If there is not.
        """
        if not self.planes and self.notices:
            raise LabelError(
                f"No labelled image of {self.project.root} can be used; the warnings say why. Mend "
                "one of them."
            )
        if not self.planes:
            raise nothing_labelled(self.project.root)

    def _pixels(self, image_id: str) -> Any:
        if self._last is None or self._last[0] != image_id:
            self._last = None  # never two images in memory
            self._last = (image_id, self.project.load_image(image_id).pixels)
        return self._last[1]

    def _add(self, image_id: str) -> None:
        try:
            labels = self.project.load_labels(image_id)
            if not labels.values.any():
                return
            problem = self.project.problems.get(image_id)
        except BlockSegError as error:
            problem = str(error)
        if problem is not None:
            message = f"Image {image_id!r} is left out of the training: {problem}"
            self.notices.append(Notice(level="warning", message=message))
            return
        damage = self.project.damaged_journals.get(image_id)
        if damage is not None:
            self.notices.append(Notice(level="warning", message=f"Image {image_id!r}: {damage}"))
        for index in labelled_indices(labels):
            self.planes.append(LabelledPlane(image_id, index, labels.plane(index)))


class LabelWatch:
    """Notice what is painted while a training runs.

    Parameters
    ----------
    images : ProjectImages
        The planes in training. Planes that get their first label later belong to the next one.
    seconds : float
        How often the files are looked at; thousands of them less often, so that looking stays a
        small part.

    Attributes
    ----------
    notices : list of Notice
        What the user should know; whoever reads them takes them out.
    """

    def __init__(self, images: ProjectImages, seconds: float = 0.25) -> None:
        self._project = images.project
        self._follows = True
        self.notices: list[Notice] = []
        self._planes: dict[str, list[LabelledPlane]] = {}
        for plane in images.planes:
            self._planes.setdefault(plane.image_id, []).append(plane)
        # Not as the files are now: what was painted since the labels were read would go unseen.
        self._seen = dict(images.signatures)
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def changed(self) -> dict[str, BlockLabels]:
        """Return the labels that changed since the last look, by name of the plane.

        None any more once the project's classes or blocks are others: the training would take
        their values for its own classes.
        """
        if not self._follows or time.monotonic() < self._due:
            return {}
        start = time.monotonic()
        found: dict[str, BlockLabels] = {}
        for image_id, planes in self._planes.items():
            signature = label_signature(self._project.root, image_id)
            if signature == self._seen[image_id]:
                continue
            try:
                labels = self._project.load_labels(image_id)
            except (BlockSegError, OSError):
                continue  # caught in the middle of a change: the next look will do
            self._seen[image_id] = signature
            found |= {plane.name: labels.plane(plane.index) for plane in planes}
        # After the labels: a change of all of them says so in the project before it touches one.
        if found and not self._means_the_same():
            self._follows = False
            self.notices.append(Notice(level="warning", message=_OTHER_LABELS))
            return {}
        now = time.monotonic()
        self._due = now + max(self._seconds, 10 * (now - start))
        return found

    def _means_the_same(self) -> bool:
        """Look whether values and blocks mean what they did; more classes are no matter."""
        try:
            spec = read_spec(self._project.root)
        except BlockSegError:
            return False
        now = {(one.value, one.name) for one in spec.classes}
        before = {(one.value, one.name) for one in self._project.classes}
        return spec.block == self._project.block and before <= now


def label_signature(root: Path, image_id: str) -> Signature:
    """Return times and sizes of the files that hold an image's labels; painting changes them."""
    from napari_blockseg.files.blocklabels import SUFFIX

    paths = (root / "labels" / f"{image_id}{SUFFIX}", root / "journal" / f"{image_id}.jsonl")
    stats = [path.stat() if path.exists() else None for path in paths]
    return tuple((stat.st_mtime_ns, stat.st_size) if stat else None for stat in stats)


def nothing_labelled(root: Path) -> LabelError:
    """Return the error of a project without a labelled block."""
    return LabelError(
        f"No block of {root} is labelled. Paint some (blockseg annotate), or fill them from masks "
        "(blockseg simulate)."
    )


def model_folders(project: Project) -> list[Path]:
    """Return the folders of a project's models, the newest first."""
    return [project.models_dir / run for run in reversed(project.runs())]


def labelled_indices(labels: BlockLabels) -> list[Index]:
    """Return the positions on the leading axes where a block is labelled; [()] for a 2-D image."""
    marked = labels.values.any(axis=(-2, -1))
    return [tuple(int(i) for i in index) for index in np.argwhere(marked)]
