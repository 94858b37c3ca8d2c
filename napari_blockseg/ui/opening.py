"""Opening projects and loading their images, in the background: what was asked for last arrives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_blockseg.core.errors import ProjectLockedError
from napari_blockseg.files.project import Project
from napari_blockseg.files.spec import FILE_NAME
from napari_blockseg.ui import new_project

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.files.images import ImageData
    from napari_blockseg.ui.disk import DiskThread

# A folder that was moved gives one a file; they share the line of text at the dock's foot.
_MOST_NEWS = 5


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An image of a project with its labels, as read from disk.

    Attributes
    ----------
    project : Project
        Whose image it is.
    image_id : str
        Its id.
    labels : BlockLabels
        What is painted on it.
    pixels : ImageData or None
        None where `layer` shows it already.
    layer : napari.layers.Image or None
        The layer that shows it already.
    """

    project: Project
    image_id: str
    labels: BlockLabels
    pixels: ImageData | None
    layer: Image | None


class Opening(QObject):
    """Open, make or move one project at a time, then load one of its images.

    Parameters
    ----------
    disk : DiskThread
        All reading is done there. A wish that another one has overtaken is dropped when it
        arrives: its project is closed again.
    take_project : callable
        Called with a `Project` that was opened; an image of it follows. Not a signal: what it
        raises is shown by the disk thread, where an error in a slot ends the application.
    take_image : callable
        Called with a `LoadedImage`.
    parent : QObject, optional
        Owner.
    """

    begun = Signal(str)  #: (what) A project is about to be read: the open one must go.
    loading = Signal(str)  #: (what) An image is about to be read.
    ended = Signal()  #: Nothing more follows.
    failed = Signal(object)  #: (exception)
    problem = Signal(str)  #: (message) What was asked for can not be opened.
    notice = Signal(str)  #: (message) It could, but for something.
    #: (path, message) Someone else holds the project.
    locked = Signal(str, str)

    def __init__(
        self,
        disk: DiskThread,
        take_project: Callable[[Project], None],
        take_image: Callable[[LoadedImage], None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._disk = disk
        self._take_project, self._take_image = take_project, take_image
        self._wanted = 0
        self._news: list[str] = []
        self._asked: tuple[Project, str, Image | None] | None = None

    def open(self, root: Path, image_id: str | None, take_over: bool) -> None:
        """Open a project and show an image of it (the first one if None)."""
        if not (root / FILE_NAME).is_file():
            self.problem.emit(
                f"{root} is no project: it has no {FILE_NAME}. Choose another folder."
            )
            return
        work = partial(Project.open, root, write=True, take_over=take_over)
        self._read(f"Opening {root.name}", work, image_id, root=str(root))

    def make(
        self, root: Path, images: Sequence[Path], classes: Sequence[ClassInfo], block: int | None
    ) -> None:
        """Make a project of image files; its block is chosen by the first image if None."""
        work = partial(new_project.project_of_files, root, images, tuple(classes), block)
        self._read(f"Making {root.name}", work)

    def make_for(self, layer: Image) -> None:
        """Make a project in the user's data folder for an image that napari shows.

        Raises
        ------
        ImageError
            If the layer is not one 2-D plane, grey or RGB.
        """
        image = new_project.LayerImage.of(layer)
        work = partial(new_project.project_for, image)
        self._read(f"Making a project for {image.name}", work, layer=layer)

    def move(self, project: Project, target: Path, image_id: str | None) -> None:
        """Move a project to another folder and open it there."""
        work = partial(new_project.moved_project, project, target)
        self._read(f"Moving to {target.name}", work, image_id)

    def load(self, project: Project, image_id: str, layer: Image | None = None) -> None:
        """Read an image of an open project, its labels only where a layer shows it already."""
        self.loading.emit(f"Loading {image_id}")
        self._wanted += 1
        self._asked = (project, image_id, layer)

        def read() -> LoadedImage:
            labels = project.load_labels(image_id)
            pixels = None if layer is not None else project.load_image(image_id)
            return LoadedImage(project, image_id, labels, pixels, layer)

        self._disk.submit(
            read,
            then=partial(self._on_image, self._wanted),
            failed=partial(self._on_not_loaded, self._wanted),
        )

    def load_again(self) -> None:
        """Read an image that is on its way once more, after all that the disk has to do by now.

        A change of all images makes labels that are read before it outdated: painting on them
        would put them back.
        """
        if self._asked is not None:
            self.load(*self._asked)

    @property
    def image_id(self) -> str | None:
        """Id of the image that is on its way, None without one."""
        return None if self._asked is None else self._asked[1]

    def give_up(self) -> None:
        """Want nothing more of what was asked for."""
        self._wanted += 1
        self._asked = None

    def _read(
        self,
        what: str,
        work: Callable[[], Project],
        image_id: str | None = None,
        layer: Image | None = None,
        root: str = "",
    ) -> None:
        self.begun.emit(what)
        self.give_up()
        self._disk.submit(
            work,
            then=partial(self._on_project, self._wanted, image_id, layer),
            failed=partial(self._on_not_opened, root),
        )

    def _on_not_opened(self, root: str, error: BaseException) -> None:
        if root and isinstance(error, ProjectLockedError):
            self.ended.emit()
            self.locked.emit(root, str(error))
        else:
            self.failed.emit(error)

    def _on_project(
        self, wanted: int, image_id: str | None, layer: Image | None, project: Project
    ) -> None:
        if wanted != self._wanted:
            self._disk.submit(project.close)
            return
        self._take_project(project)
        self._news = _news_of(project)
        usable = [i for i in project.image_ids if i not in project.problems]
        if not usable:
            self.ended.emit()
            said = [f"No image of {project.root.name} can be opened.", *self._news]
            self.problem.emit("\n".join(said))
            return
        if image_id in project.problems:
            self.problem.emit(project.problems[image_id])
        self.load(project, image_id if image_id in usable else usable[0], layer)

    def _on_image(self, wanted: int, loaded: LoadedImage) -> None:
        if wanted == self._wanted:
            self._asked = None
            self._take_image(loaded)
            self._tell(loaded)

    def _tell(self, loaded: LoadedImage) -> None:
        # Only now: what is said before the image is there goes under in "Loading".
        damage = loaded.project.damaged_journals.get(loaded.image_id)
        said = self._news or ([] if damage is None else [damage])
        self._news = []
        if said:
            self.notice.emit("\n".join(said))

    def _on_not_loaded(self, wanted: int, error: BaseException) -> None:
        if wanted == self._wanted:
            self._asked = None
            self.failed.emit(error)


def _news_of(project: Project) -> list[str]:
    said = [f"{path} was left out: {reason}" for path, reason in project.skipped]
    said += [f'Image "{one}" cannot be opened: {why}' for one, why in project.problems.items()]
    said += [f'Image "{one}": {why}' for one, why in project.damaged_journals.items()]
    more = len(said) - _MOST_NEWS
    return said if more <= 0 else [*said[:_MOST_NEWS], f"And {more} more."]
