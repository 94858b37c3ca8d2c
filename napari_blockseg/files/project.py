"""A project: images, classes and block labels in one folder that other tools can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.errors import BlockSegError, LabelError, ProjectError
from napari_blockseg.core.labels import BlockLabels, Changes
from napari_blockseg.files import imagefiles, wholechange
from napari_blockseg.files.folder import ProjectFolder
from napari_blockseg.files.images import inspect_image
from napari_blockseg.files.lock import ProjectLock
from napari_blockseg.files.spec import (
    ClassList,
    ImageEntry,
    ProjectSpec,
    checked_classes,
    clean_up,
    make_folder,
    read_spec,
    unique_ids,
    write_spec,
)
from napari_blockseg.files.wholechange import RegridSummary


class Project(ProjectFolder):
    """An open project folder. Use :meth:`create` or :meth:`open`, and it as a context manager.

    Reading needs no lock and may go on while another process writes. Every method may be called
    from any thread; those that write take turns.

    Attributes
    ----------
    root : Path
        The folder.
    spec : ProjectSpec
        What ``project.json`` says.
    problems : dict of str to str
        For images that cannot be used as they are: what is wrong, and the way out.
    skipped : list of (Path, str)
        Files that were not added, with the reasons.
    """

    def __init__(self, root: Path, spec: ProjectSpec, lock: ProjectLock | None) -> None:
        super().__init__(root, spec)
        self._lock = lock
        self._unsaved: dict[str, tuple[BlockLabels, str]] = {}
        self._unsaved_classes: tuple[ClassInfo, ...] | None = None

    @classmethod
    def create(
        cls,
        root: Path | str,
        images: Sequence[Path | str],
        classes: ClassList,
        block: int = 16,
        axes: str | None = None,
    ) -> Self:
        """Make a project and open it for writing.

        Parameters
        ----------
        root : path
            The folder, used as given. Must not exist.
        images : sequence of path
            Files, which must be readable, and folders, of which unreadable files are skipped (see
            ``skipped``). Empty: images are added later.
        classes : sequence of ClassInfo or str
            Values 1..K.
        block : int
            Block size, in pixels.
        axes : str, optional
            Axes of the images, where the files do not say.

        Raises
        ------
        ProjectError
            If `root` exists or cannot be made.
        ImageError
            If a named image or every image is unreadable.
        LabelError
            If the classes are not values 1..K with different names, or the block is below 1 or
            larger than every image.
        """
        root = Path(root)
        if root.exists():
            raise ProjectError(f"{root} exists already; give a path that does not, or remove it.")
        known = checked_classes(classes)
        infos, skipped = imagefiles.inspect_all([Path(one) for one in images], axes)
        imagefiles.check_block(block, infos)
        entries = imagefiles.make_entries(root, infos, axes)
        name = root.name.removesuffix(".blockseg")
        spec = ProjectSpec(name=name, classes=known, block=block, images=tuple(entries))
        make_folder(root, spec)
        project = cls.open(root, write=True)
        project.skipped = skipped
        return project

    @classmethod
    def open(cls, root: Path | str, write: bool = False, take_over: bool = False) -> Self:
        """Open a project.

        Parameters
        ----------
        root : path
            The folder.
        write : bool
            Take the lock and allow changes. A change of all labels that a crash left half done
            is finished.
        take_over : bool
            Take the lock from a live process or another host.

        Raises
        ------
        ProjectError
            If there is no project, or ``project.json`` is damaged or from a newer version.
            Trouble with one image only goes into ``problems``; the rest opens.
        ProjectLockedError
            If another process holds the lock.
        """
        root = Path(root)
        spec = read_spec(root)
        lock = ProjectLock(root) if write else None
        if lock is not None:
            lock.acquire(take_over)
            spec = read_spec(root)  # whoever held the lock may have changed it meanwhile
        project = cls(root, spec, lock)
        try:
            if write:
                clean_up(root)
                wholechange.finish(project)
            project.check()
        except BaseException:
            project._abandon()
            raise
        return project

    def close(self) -> None:
        """Save labels that are only in the journal so far, give the lock back.

        Raises
        ------
        ProjectError
            If labels that could not be saved before (see :attr:`unsaved`) still cannot.
        """
        with self._turn:
            if self._lock is None or not self._lock.held:
                return
            try:
                self._lock.check()
                self.save_again()
                self._store.close()
            except BlockSegError:
                self._store.forget()  # taken over: the labels belong to the other process now
            except OSError as error:
                self._store.forget()
                if not self.all_saved:
                    raise self._lost(error) from error
                raise
            finally:
                self._unsaved.clear()
                self._unsaved_classes = None
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes, values 1..K; also ones that the disk did not take yet."""
        return super().classes if self._unsaved_classes is None else self._unsaved_classes

    @property
    def writable(self) -> bool:
        """Whether it was opened for writing (and not closed)."""
        return self._lock is not None and self._lock.held

    def record(
        self,
        image_id: str,
        changes: Changes,
        op: str = "paint",
        slice: tuple[int, ...] = (),  # noqa: A002
        goes_on: bool | None = None,
    ) -> int:
        """Put a change of block labels on disk, as a diff in the journal.

        Parameters
        ----------
        image_id : str
            The image.
        changes : Changes
            Cells with their new values; ``index`` without the axes that `slice` fixes.
        op : str
            "paint", "erase", "fill", "undo", "redo", "clear", ...
        slice : tuple of int
            Plane of a stack.
        goes_on : bool, optional
            Whether the hand is still at the stroke of the record before; None: nobody can tell.

        Returns
        -------
        int
            Number of the last record. It is on disk when this returns.

        Raises
        ------
        LabelError
            If a cell lies outside the grid, or a value is no class.
        ProjectError
            If the project is open for reading only, or its lock was taken over.
        """
        with self._writing():
            self._check_values(changes.new)
            empty = self._empty(self.entry(image_id))
            self._save_classes()
            self._save_unsaved(image_id)
            return self._store.record(image_id, empty, changes, op, slice, goes_on=goes_on)

    def save_labels(self, image_id: str, labels: BlockLabels | None = None, op: str = "set") -> int:
        """Write the labels file of an image; return the number of its last record.

        Parameters
        ----------
        image_id : str
            The image.
        labels : BlockLabels, optional
            What the labels shall be; what differs from the known ones is journalled first. None
            saves what was recorded.
        op : str
            Name of that change in the journal.

        Raises
        ------
        LabelError
            If they are on another grid than the project's, or a value is no class.
        OSError
            If the disk does not take it. `labels` are then kept (see :attr:`unsaved`), because
            whoever painted them may have let go of them.
        """
        if labels is not None:
            return self._set_labels(image_id, labels, op)
        with self._writing():
            empty = self._empty(self.entry(image_id))
            self._save_unsaved(image_id)
            self._store.save(image_id, empty)
            return self._store.state(image_id, empty).seq

    @property
    def unsaved(self) -> list[str]:
        """Images whose labels the disk did not take when they were last saved.

        They are written before anything else is done with the labels of these images, and nothing
        is done while they cannot be.
        """
        return list(self._unsaved)

    @property
    def all_saved(self) -> bool:
        """Whether the disk took everything: no labels are in :attr:`unsaved`, no classes wait."""
        return not self._unsaved and self._unsaved_classes is None

    def save_again(self) -> None:
        """Write the classes and labels that the disk did not take, if there are any.

        Raises
        ------
        OSError
            If the disk still does not take some of them.
        """
        with self._turn:
            failed = None
            try:
                self._save_classes()
            except OSError as error:
                failed = error
            for image_id in self.unsaved:
                try:
                    self._save_unsaved(image_id)
                except OSError as error:
                    failed = error
            if failed is not None:
                raise failed

    def load_labels(self, image_id: str) -> BlockLabels:
        """Return the block labels of an image, up to the last record of its journal.

        Raises
        ------
        OSError
            If labels that could not be saved still cannot: those on disk are older.
        ProjectError
            If the labels file is damaged, from a newer version or of another image.
        """
        with self._turn:
            self._save_unsaved(image_id)
            return super().load_labels(image_id)

    def set_block(self, block: int, preview: bool = False) -> RegridSummary:
        """Put the labels of all images on blocks of another size.

        Parameters
        ----------
        block : int
            New block size, in pixels.
        preview : bool
            Only count what would change.

        Notes
        -----
        A crash on the way is finished when the project is next opened for writing.
        """
        if preview:
            with self._turn:
                return wholechange.regrid_summary(self, block)
        with self._writing():
            self.save_again()
            return wholechange.regrid_project(self, block)

    def undo_regrid(self) -> RegridSummary:
        """Take the last :meth:`set_block` back.

        Labels that were not changed since are exactly what they were before; others are put on
        the old block size by the same rules as by :meth:`set_block`.

        Raises
        ------
        ProjectError
            If there is nothing to take back.
        """
        with self._writing():
            self.save_again()
            return wholechange.undo_regrid(self)

    def set_classes(
        self,
        classes: ClassList,
        mapping: Mapping[int, int] | None = None,
        restored: int | None = None,
    ) -> None:
        """Change the classes.

        Parameters
        ----------
        classes : sequence of ClassInfo or str
            The new classes, values 1..K.
        mapping : dict of int to int, optional
            New value of old values (0: their blocks become unlabelled). Values it does not name
            stay as they are.
        restored : int, optional
            Value of a class that was deleted and is among `classes` again: the journals then say
            so, and work on it counts as its own (see :mod:`napari_blockseg.files.effort`).

        Raises
        ------
        LabelError
            If blocks are painted with a value that would no longer be a class: say in `mapping`
            what becomes of it.
        OSError
            If the disk does not take it. Without a `mapping` the classes are kept then, as labels
            are: blocks may be painted with them already.
        """
        wanted, moved = checked_classes(classes), dict(mapping or {})
        with self._writing():
            try:
                self.save_again()
                wholechange.set_classes(self, wanted, moved, restored)
            except OSError:
                if not moved and restored is None:
                    self._unsaved_classes = wanted
                raise

    def add_images(self, images: Sequence[Path | str], axes: str | None = None) -> list[str]:
        """Add image files or folders, by the rules of :meth:`create`; return the new ids.

        Files that the project has already are put on ``skipped``.
        """
        infos, skipped = imagefiles.inspect_all([Path(one) for one in images], axes)
        with self._writing():
            entries = imagefiles.make_entries(self.root, infos, axes, self.image_ids)
            known = {entry.path for entry in self.spec.images}
            new = [entry for entry in entries if entry.path not in known]
            skipped += [
                (self.root / entry.path, "it is in the project already")
                for entry in entries
                if entry.path in known
            ]
            self._write_spec(images=(*self.spec.images, *new))
            self.skipped += skipped
            return [entry.id for entry in new]

    def add_array(self, name: str, array: NDArray[Any], axes: str) -> str:
        """Add an array that is in no file: a copy is kept in the project.

        Parameters
        ----------
        name : str
            Becomes the image's id (with a number where it repeats).
        array : array
            The pixels.
        axes : str
            One letter out of TZCYX an axis, for instance "YX" or "YXC".

        Returns
        -------
        str
            The image's id.
        """
        with self._writing():
            safe = "".join(one if one.isalnum() or one in " -_.()" else "_" for one in name)
            stem = safe.strip(" .") or "image"
            image_id = unique_ids([Path(f"{stem}.tif")], self.image_ids)[0]
            path = self.root / "images" / f"{image_id}.tif"
            imagefiles.write_array(path, array, axes)
            entry = imagefiles.make_entry(self.root, image_id, inspect_image(path), None)
            self._write_spec(images=(*self.spec.images, entry))
            return image_id

    def relink_image(self, image_id: str, path: Path | str, accept_changed: bool = False) -> None:
        """Say where an image is now.

        Raises
        ------
        ProjectError
            If the file is another image, unless `accept_changed`; always if its shape differs.
        """
        with self._writing():
            entry = self.entry(image_id)
            info = inspect_image(path, entry.given_axes)
            imagefiles.check_shape(entry, info)
            new = imagefiles.make_entry(self.root, image_id, info, entry.given_axes)
            if new.sha != entry.sha and not accept_changed:
                raise ProjectError(
                    f'{path} is not the file that was added as image "{image_id}": its content '
                    "differs. Check the path, or accept the new content (accept_changed)."
                )
            self._replace_entry(new)

    def accept_changed_image(self, image_id: str) -> None:
        """Go on with an image whose content has changed; its shape must be the same."""
        self.relink_image(image_id, self.image_path(image_id), accept_changed=True)

    def _set_labels(self, image_id: str, labels: BlockLabels, op: str) -> int:
        with self._turn:
            empty = self._empty(self.entry(image_id))
            if labels.grid != empty.grid:
                # Labels read before a change of block size would take it back for this image.
                raise LabelError(
                    f"Got labels in blocks of {labels.grid.block} px for an image of shape "
                    f'{labels.grid.image_shape}; image "{image_id}" has blocks of '
                    f"{empty.grid.block} px and shape {empty.grid.image_shape}. Read its labels "
                    "again, and change those."
                )
            self._check_values(labels.values)
            try:
                with self._writing():
                    self._save_classes()
                    seq = self._store.set_labels(image_id, empty, labels, op)
            except OSError:
                self._unsaved[image_id] = (labels, op)
                raise
            self._unsaved.pop(image_id, None)
            return seq

    def _save_classes(self) -> None:
        if self._unsaved_classes is not None:
            with self._writing():
                self._write_spec(classes=self._unsaved_classes)
                self._unsaved_classes = None

    def _save_unsaved(self, image_id: str) -> None:
        if image_id in self._unsaved:
            self.save_labels(image_id, *self._unsaved[image_id])

    def _lost(self, error: OSError) -> ProjectError:
        names = ", ".join(f'"{one}"' for one in self._unsaved)
        what = f"The last blocks painted on {names}" if names else "The last changes of classes"
        return ProjectError(
            f"{what} could not be written to {self.root}, and are "
            f"lost: {error}. What was written before is safe. Make room on the disk, or bring the "
            "folder back, before you go on painting."
        )

    def _replace_entry(self, new: ImageEntry) -> None:
        images = [new if entry.id == new.id else entry for entry in self.spec.images]
        self._write_spec(images=tuple(images))
        self.problems.pop(new.id, None)
        if problem := self._labels_problem(new):
            self.problems[new.id] = problem

    def _write_spec(self, **changes: Any) -> None:
        spec = self.spec.model_copy(update=changes)
        write_spec(self.root, spec)
        self.spec = spec

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, and only while the lock is still ours."""
        with self._turn:
            if self._lock is None:
                raise ProjectError(
                    f"The project {self.root} is open for reading only; open it with write=True "
                    "to change it."
                )
            self._lock.check()
            yield

    def _check_values(self, values: NDArray[Any]) -> None:
        top = int(values.max(initial=0))
        if top > len(self.classes) or int(values.min(initial=0)) < 0:
            raise LabelError(
                f"Got label value {top}; the project has classes 1 to {len(self.classes)}. Add "
                "the class first."
            )

    def _abandon(self) -> None:
        self._store.forget()
        if self._lock is not None:
            with suppress(OSError):
                self._lock.release()
