"""Interactive mode in the worker: a project's labels as they are painted, previews as files."""

from __future__ import annotations

import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_blockseg.cli.loading import Index, labelled_indices
from napari_blockseg.cli.worker.messages import Features, Interactive, Look
from napari_blockseg.cli.worker.scheduler import Steps
from napari_blockseg.core.atomic import replacing
from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.reports import FeaturesDone, InteractivePreview, Notice
from napari_blockseg.files.blocklabels import SUFFIX
from napari_blockseg.files.featurecache import FeatureCache
from napari_blockseg.files.predictions import class_notes

if TYPE_CHECKING:
    from napari_blockseg.core.classes import ClassInfo
    from napari_blockseg.files.project import Project
    from napari_blockseg.learn.interactive.foundation import Foundation
    from napari_blockseg.learn.interactive.session import Interactive as Session
    from napari_blockseg.learn.interactive.session import Report
    from napari_blockseg.learn.interactive.view import Preview

#: How often the labels are looked at, in seconds.
WATCH_SECONDS = 0.25
#: Previews that lie on disk at a time: a client that is slow reads the last ones.
_KEPT_PREVIEWS = 4

Open = Callable[[Path], "Project"]


def plane_name(image_id: str, index: Index) -> str:
    """Return the name of a plane: the image's id, and its position in a stack."""
    return f"{image_id}[{','.join(map(str, index))}]" if index else image_id


class PaintedProject:
    """Planes of a project and their labels as they are painted, new ones too.

    Parameters
    ----------
    project : Project
        An open project.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self._spec = _stamp(project.root / "project.json")
        self._places: dict[str, tuple[str, Index]] = {}
        self._seen: dict[str, Any] = {}
        self._last: tuple[str, Any] | None = None
        self._due = 0.0

    def changed(self) -> Mapping[str, BlockLabels]:
        """Return labels, by name of the plane, that changed since the last look."""
        if time.monotonic() < self._due:
            return {}
        start = time.monotonic()
        found: dict[str, BlockLabels] = {}
        for image_id in self.project.image_ids:
            signature = self._signature(image_id)
            if signature == self._seen.get(image_id) or image_id in self.project.problems:
                continue
            try:
                labels = self.project.load_labels(image_id)
            except (BlockSegError, OSError):
                continue  # caught in the middle of a change: the next look will do
            self._seen[image_id] = signature
            if labels.grid.block == self.project.block:
                found |= self._planes(image_id, labels)
        # Thousands of files are looked at less often, so that looking stays a small part.
        now = time.monotonic()
        self._due = now + max(WATCH_SECONDS, 10 * (now - start))
        return found

    def look_up(self, image_id: str, index: Index) -> str:
        """Return the name of a plane, and remember which it is."""
        name = plane_name(image_id, index)
        self._places[name] = (image_id, index)
        return name

    def place(self, name: str) -> tuple[str, Index]:
        """Return image and position of a plane by name."""
        return self._places[name]

    def pixels(self, name: str) -> Any:
        """Return the pixels (rows, cols, channels) of a plane."""
        image_id, index = self._places[name]
        if self._last is None or self._last[0] != image_id:
            self._last = None  # never two images in memory
            self._last = (image_id, self.project.load_image(image_id).pixels)
        plane = self._last[1][index]
        # A session keeps planes with labels: a part of a stack would keep all of it.
        return np.array(plane) if index else plane

    def identity(self, name: str) -> list[Any]:
        """Return what names a plane and the content of its file."""
        image_id, index = self._places[name]
        entry = self.project.entry(image_id)
        return [entry.sha, entry.size, list(entry.shape), entry.given_axes, list(index)]

    def is_another(self, open_project: Open) -> bool:
        """Look whether ``project.json`` has changed, and whether classes or blocks are others.

        Images that were added are followed from then on.
        """
        stamp = _stamp(self.project.root / "project.json")
        if stamp == self._spec:
            return False
        try:
            now = open_project(self.project.root)
        except (BlockSegError, OSError):
            return False
        before, self.project, self._spec = self.project, now, stamp
        return before.block != now.block or before.classes != now.classes

    def _planes(self, image_id: str, labels: BlockLabels) -> dict[str, BlockLabels]:
        known = {place[1] for place in self._places.values() if place[0] == image_id}
        planes = {*known, *labelled_indices(labels)}
        return {self.look_up(image_id, index): labels.plane(index) for index in sorted(planes)}

    def _signature(self, image_id: str) -> Any:
        root = self.project.root
        labels = root / "labels" / f"{image_id}{SUFFIX}"
        return _stamp(labels), _stamp(root / "journal" / f"{image_id}.jsonl")


class InteractiveDesk:
    """Runs interactive sessions; keeps network and features between them.

    Parameters
    ----------
    open_project : callable
        Gives the project in a folder.

    Attributes
    ----------
    session : Interactive or None
        The one that runs.
    folder : Path
        Where it saves.
    """

    def __init__(self, open_project: Open) -> None:
        self._open = open_project
        self._foundation: tuple[Any, Foundation] | None = None
        self._images: PaintedProject | None = None
        self._previews: deque[Path] = deque()
        self._cannot_show = False
        self.session: Session | None = None
        self.folder = Path()

    def features(self, request: Features) -> Steps:
        """Yield turns until the features of a view are at hand, then say so."""
        from napari_blockseg.core.normalize import Normalization
        from napari_blockseg.learn.data import WorkingGrid
        from napari_blockseg.learn.interactive.features import PlaneFeatures
        from napari_blockseg.learn.interactive.view import clipped, view_tiles

        start = time.monotonic()
        images = PaintedProject(self._open(Path(request.project)))
        name = images.look_up(request.image_id, request.slice)
        pixels = images.pixels(name)
        yield None
        maker = self._stand_on(images, pixels, request).maker
        yield None
        block = images.project.block
        plane = PlaneFeatures(
            images.identity(name),
            pixels,
            Normalization.for_dtype(pixels.dtype),
            WorkingGrid.for_scale(block, request.train.working_scale(block)),
        )
        before, tiles = maker.computed, view_tiles(plane, clipped(request.region, pixels.shape))
        for tile in tiles:
            maker.get(plane, tile)
            yield None
        yield FeaturesDone(
            tiles=len(tiles), computed=maker.computed - before, seconds=time.monotonic() - start
        ).model_dump()

    def run(self, request: Interactive, folder: Path) -> Steps:
        """Yield the messages of a session that ends when it is closed; closing saves.

        Where classes or blocks change, another session goes on, in a folder of its own where the
        one before has saved something.
        """
        from napari_blockseg.learn.interactive.behind import LAST
        from napari_blockseg.learn.interactive.carrying import carry_over
        from napari_blockseg.learn.interactive.session import Interactive as Session
        from napari_blockseg.learn.interactive.view import View

        place, region, steps = (request.image_id, request.slice), request.region, 0
        self.folder, self.session = folder, None
        while True:
            images = self._images = PaintedProject(self._open(Path(request.project)))
            project, view = images.project, View(images.look_up(*place), region)
            pixels = images.pixels(view.name)
            foundation = self._stand_on(images, pixels, request)
            learned = None
            if self.session is not None:
                known = foundation.network, project.classes, pixels.shape[-1]
                learned = carry_over(*known, self.folder / LAST, steps)
                yield _renewed(self.folder, folder, learned is not None)
            self.folder = folder
            session = self.session = Session(
                images,
                foundation,
                project.classes,
                project.block,
                request.train,
                folder,
                view,
                request.full,
                learned=learned,
            )
            yield from self._follow(session, images)
            steps = session.steps if project.block == images.project.block else 0
            if session.view is not None:
                place, region = images.place(session.view.name), session.view.region
            if any((one / "model.json").exists() for one in (folder, folder / LAST)):
                folder = project.models_dir / project.new_run_name()

    def _follow(self, session: Session, images: PaintedProject) -> Steps:
        """Yield a session's messages until it would need other classes or blocks; close it then."""
        with closing(session.reports()) as reports:
            for report in reports:
                yield self._message(report)
                before = images.project
                if not images.is_another(self._open):
                    continue
                now = images.project
                if only_renamed(before.classes, now.classes[: len(before.classes)]):
                    session.rename(now.classes[: len(before.classes)])
                    if before.block == now.block and len(before.classes) == len(now.classes):
                        continue
                break
            try:
                reports.close()
            except BlockSegError as error:
                yield Notice(level="warning", message=str(error)).model_dump()

    def look(self, request: Look) -> None:
        """Let the session preview another view."""
        from napari_blockseg.learn.interactive.view import View

        if self.session is not None and self._images is not None:
            name = self._images.look_up(request.image_id, request.slice)
            self.session.look_at(View(name, request.region))

    def end(self) -> None:
        """Let go of the session; network and features stay for the next one."""
        self.session = self._images = None

    def _stand_on(
        self, images: PaintedProject, pixels: Any, request: Features | Interactive
    ) -> Foundation:
        from napari_blockseg.learn.interactive.foundation import Foundation

        root, n_classes = images.project.root, len(images.project.classes)
        key = (root, request.network, request.train.device, pixels.shape[-1], n_classes)
        if self._foundation is None or self._foundation[0] != key:
            self._foundation = None  # never two networks in memory
            store = FeatureCache(images.project.cache_dir / "features")
            made = Foundation(request.network, request.train, pixels.shape[-1], n_classes, store)
            self._foundation = (key, made)
        return self._foundation[1]

    def _message(self, report: Report | None) -> dict[str, Any] | None:
        from napari_blockseg.learn.interactive.view import Preview

        if report is None or not isinstance(report, Preview):
            return None if report is None else report.model_dump()
        try:
            message = self._publish(report)
        except OSError as error:
            message, said = None, self._cannot_show
            self._cannot_show = True
            if not said:
                message = Notice(
                    level="warning",
                    message=f"A preview could not be written: {error}. The session goes on, and "
                    "shows the next one that can be. Make room on the disk.",
                ).model_dump()
            return message
        self._cannot_show = False
        return message

    def _publish(self, preview: Preview) -> dict[str, Any]:
        """Write a preview under a name of its own and say so."""
        import tifffile

        if self._images is None:
            raise BlockSegError("The session has ended; start it again.")
        project = self._images.project
        image_id, index = self._images.place(preview.view.name)
        path = project.cache_dir / f"preview-{uuid.uuid4().hex[:8]}.tif"
        with replacing(path) as temporary:
            notes = json.dumps(class_notes(project.classes))
            tifffile.imwrite(
                temporary, preview.mask, photometric="minisblack", metadata=None, description=notes
            )
        self._previews.append(path)
        while len(self._previews) > _KEPT_PREVIEWS:
            self._previews.popleft().unlink(missing_ok=True)
        counts = np.bincount(preview.mask.ravel(), minlength=len(project.classes) + 1)
        return InteractivePreview(
            path=path.relative_to(project.root).as_posix(),
            image_id=image_id,
            slice=index,
            region=preview.region,
            source=preview.source,
            seconds=preview.seconds,
            classes={info.name: int(counts[info.value]) for info in project.classes},
        ).model_dump()


def only_renamed(before: Sequence[ClassInfo], now: Sequence[ClassInfo]) -> bool:
    """Return whether classes have other names or colors at most, each one where it was."""
    known = {info.name for info in before}
    return [info.value for info in before] == [info.value for info in now] and all(
        new.name == old.name or new.name not in known for old, new in zip(before, now, strict=True)
    )


def _renewed(kept: Path, folder: Path, carried: bool) -> dict[str, Any]:
    where = f" in the new run {folder.name}; {kept.name} stays as it is" if kept != folder else ""
    network = " The network goes on with what it has learned." if carried else ""
    message = f"Classes or blocks changed: the session goes on with them{where}.{network}"
    return Notice(message=message).model_dump()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
