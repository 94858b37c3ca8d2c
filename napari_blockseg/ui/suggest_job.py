"""Joins the "Next blocks" box with worker, session and canvas: find blocks, outline, go there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_blockseg.core.reports import SuggestDone, Suggestion
from napari_blockseg.ui.focus_point import look_at
from napari_blockseg.ui.suggestion_outlines import SuggestionOutlines
from napari_blockseg.ui.suggestions import KEY
from napari_blockseg.ui.worker_job import ShownJob

if TYPE_CHECKING:
    from napari_blockseg.ui.panels.predict import PredictPanel
    from napari_blockseg.ui.session import Session
    from napari_blockseg.ui.worker_client import WorkerClient


class SuggestJob(ShownJob):
    """Find the blocks to label next, show them until they are painted.

    Parameters
    ----------
    session
        The open project.
    client
        The worker.
    panel
        Says which model to ask; its box shows what was found.
    parent
        Qt parent.
    """

    def __init__(
        self,
        session: Session,
        client: WorkerClient,
        panel: PredictPanel,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(session, client, panel.suggestions, parent)
        self._panel, self._box = panel, panel.suggestions
        self.outlines = SuggestionOutlines(session.viewer, self)
        self._block = 0
        self._found: tuple[Suggestion, ...] = ()
        self._painted: set[Suggestion] = set()
        self._current: Suggestion | None = None
        self._wanted: Suggestion | None = None
        self._connect()

    @property
    def blocks(self) -> list[Suggestion]:
        """The blocks that are not painted yet, the most promising first."""
        return [one for one in self._found if one not in self._painted]

    def close(self) -> None:
        """Give up what runs, let go of the viewer."""
        self._give_up()
        self.outlines.close()
        self._session.viewer.bind_key(KEY, None)

    def find(self, count: int) -> None:
        """Ask the worker for blocks."""
        project, model = self._session.project, self._panel.value().model
        if self.busy or project is None or not model:
            return
        root = self._client.command.to_worker(project.root)
        self._ask_shown(
            lambda: self._client.request("suggest", project=root, model=model, count=count)
        )

    def go_to_next(self) -> None:
        """Show the block after the one that is looked at; after the last one, the first."""
        left = self.blocks
        if not left:
            return
        places = [self._found.index(one) for one in left]
        now = -1 if self._current is None else self._found.index(self._current)
        later = [place for place in places if place > now]
        self.go_to(self._found[later[0] if later else places[0]])

    def go_to(self, one: Suggestion) -> None:
        """Open the image of a block, and center it."""
        self._current = self._wanted = one
        self._show()
        if one.image_id == self._session.image_id:
            self._look()
        else:
            self._session.set_image(one.image_id)

    def _connect(self) -> None:
        session, box = self._session, self._box
        box.requested.connect(self.find)
        box.stop_requested.connect(self._on_stop)
        box.next_requested.connect(self.go_to_next)
        box.chosen.connect(lambda place: self.go_to(self.blocks[place]))
        session.image_changed.connect(self._on_image_changed)
        session.labels_changed.connect(self._on_labels_changed)
        session.regridded.connect(self._forget)
        session.project_closed.connect(self._on_project_closed)
        session.viewer.bind_key(KEY, lambda _viewer: self.go_to_next(), overwrite=True)
        # napari hears keys on the canvas only: after a click in the panel this is where they go
        key = QShortcut(QKeySequence(KEY), self._panel)
        key.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        key.activated.connect(self.go_to_next)

    # -- the worker ----------------------------------------------------------------------------

    def _on_report(self, report: Any) -> None:
        super()._on_report(report)
        if isinstance(report, SuggestDone):
            self._end()
            self._take(report)

    def _take(self, report: SuggestDone) -> None:
        self._forget()
        if report.block != self._session.block:
            self._box.show_message("warning", "The block size was changed meanwhile; ask again.")
            return
        self._found, self._block = report.suggestions, report.block
        if not self._found:
            self._box.show_message("info", "Every block is labelled.")
        self._see_what_is_painted()
        self._show()

    # -- the session ---------------------------------------------------------------------------

    def _on_image_changed(self, _image_id: str) -> None:
        self._see_what_is_painted()
        self._show()
        if self._wanted is not None and self._wanted.image_id == self._session.image_id:
            self._look()

    def _on_labels_changed(self, image_id: str) -> None:
        if image_id == self._session.image_id and self._see_what_is_painted():
            self._show()

    def _on_project_closed(self) -> None:
        self._give_up()
        self._forget()

    def _forget(self, _block: int = 0) -> None:
        self._found, self._painted = (), set()
        self._current = self._wanted = None
        self._show()

    def _see_what_is_painted(self) -> bool:
        """Look which blocks of the shown image are painted; return whether that has changed."""
        labels = self._session.labels()
        here = [one for one in self._found if one.image_id == self._session.image_id]
        if labels is None or not here or labels.grid.block != self._block:
            return False
        painted = {one for one in here if labels.values[(*one.index, one.row, one.col)]}
        after = (self._painted - set(here)) | painted
        changed, self._painted = after != self._painted, after
        return changed

    # -- showing -------------------------------------------------------------------------------

    def _show(self) -> None:
        left = self.blocks
        current = left.index(self._current) if self._current in left else None
        self._box.set_blocks(left, current)
        if self._found and not left:
            self._box.show_message("info", "All of them are painted.")
        here = [one for one in left if one.image_id == self._session.image_id]
        self.outlines.show(self._session.labels_layer(), here, self._current)

    def _look(self) -> None:
        one, self._wanted = self._wanted, None
        layer = self._session.labels_layer()
        if one is not None and layer is not None:
            look_at(self._session.viewer, layer, (*one.index, one.row, one.col))
