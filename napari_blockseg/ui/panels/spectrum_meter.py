"""Asks for measurements while someone paints, and hands on only those that still hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_blockseg.ui.latest import Latest
from napari_blockseg.ui.panels.spectrum_measure import (
    Measurement,
    Question,
    ScopeAdvice,
    ScopeSpectra,
)

if TYPE_CHECKING:
    from napari_blockseg.core.labels import BlockLabels
    from napari_blockseg.ui.session import Session

_CURVE_MS = 30
_ADVICE_MS = 400
_SETTLE_MS = 200


class SpectrumMeter(QObject):
    """Follow a session's labels with the spectrum and the advice of a scope.

    Spectrum and advice are found on a thread each; answers arrive on the GUI thread. Answers about
    another image, plane, grid, class list, scope or project than the present one are dropped.

    Parameters
    ----------
    session
        The open project.
    parent
        Qt parent.
    """

    #: A `Measurement` of the present labels.
    measured = Signal(object)
    #: A `Judgement` of the present labels; None while there is too little paint.
    judged = Signal(object)
    #: Everything shown so far is about something else.
    emptied = Signal()
    #: (done, total) Images of the project are being read.
    reading = Signal(int, int)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._scope = "image"
        self._token = 0
        self._image_id = ""
        self._index: tuple[int, ...] = ()
        self._others: dict[str, BlockLabels | None] = {}
        self._reads = False
        self._closed = False
        self._told = ""
        self._spectra = ScopeSpectra()
        self._curve = Latest(self._spectra.measure, _CURVE_MS, self)
        self._advice = Latest(ScopeAdvice().judge, _ADVICE_MS, self, rests=True)
        self._settle = QTimer(self, interval=_SETTLE_MS, singleShot=True)
        self._settle.timeout.connect(lambda: self._ask_curve(settle=True))
        self._curve.done.connect(self._on_measured)
        self._advice.done.connect(self.judged)
        for task in (self._curve, self._advice):
            task.failed.connect(self._on_failed)
        self._listen()

    @property
    def scope(self) -> str:
        """What is measured: "plane", "image" or "project"."""
        return self._scope

    @property
    def busy(self) -> bool:
        """Whether an answer is still to come."""
        return self._reads or self._curve.busy or self._advice.busy or self._settle.isActive()

    def set_scope(self, scope: str) -> None:
        """Measure something else."""
        if scope != self._scope:
            self._scope = scope
            self._empty()
            self.ask()

    def ask(self) -> None:
        """Measure the labels as they are now."""
        labels = self._session.labels()
        if self._closed or labels is None or not self._session.classes:
            return
        if self._scope == "project" and self._missing():
            self._read_next()
            return
        self._ask_curve()
        question = self._question()
        if question is not None:
            self._advice.ask(question)

    def restart(self) -> None:
        """Forget everything (another project, grid or class list) and measure again."""
        self._token += 1
        self._others.clear()
        self._reads = False
        self._image_id = self._session.image_id or ""
        self._told = ""
        self._empty()
        self.ask()

    def close(self) -> None:
        """End the threads; nothing is heard of afterwards."""
        self._closed = True
        self._token += 1
        self._spectra.wanted = None
        self._settle.stop()
        self._curve.close()
        self._advice.close()
        self._session.viewer.dims.events.current_step.disconnect(self._on_plane_changed)

    # -- the session ---------------------------------------------------------------------------

    def _listen(self) -> None:
        session = self._session
        session.labels_changed.connect(self._on_labels_changed)
        session.image_changed.connect(self._on_image_changed)
        for signal in (session.classes_changed, session.regridded, session.project_closed):
            signal.connect(self.restart)
        session.viewer.dims.events.current_step.connect(self._on_plane_changed)

    def _on_labels_changed(self, image_id: str) -> None:
        if image_id == self._session.image_id:
            self.ask()

    def _on_image_changed(self, image_id: str) -> None:
        # What was painted last on the image before may not have been told: read it again.
        self._others.pop(self._image_id, None)
        self._image_id = image_id
        self._empty()
        self.ask()

    def _on_plane_changed(self, _event: object = None) -> None:
        if self._session.slice_index() != self._index:
            if self._scope == "plane":
                self._empty()
            self.ask()

    def _empty(self) -> None:
        self._settle.stop()
        self._spectra.wanted = None
        self._curve.forget()
        self._advice.forget()
        self.emptied.emit()

    # -- asking --------------------------------------------------------------------------------

    def _question(self, settle: bool = False) -> Question | None:
        session = self._session
        labels = session.labels()
        if labels is None or not session.classes:
            return None
        self._index = session.slice_index()
        others = {i: kept for i, kept in self._others.items() if kept is not None}
        others.pop(self._image_id, None)
        names = tuple(info.name for info in session.classes)
        return Question(
            self._token, self._image_id, self._scope, labels, self._index, names, others, settle
        )

    def _ask_curve(self, settle: bool = False) -> None:
        self._settle.stop()
        question = None if self._closed else self._question(settle)
        if question is not None:
            self._spectra.wanted = question.key
            self._curve.ask(question)

    def _on_measured(self, measurement: Measurement | None) -> None:
        if measurement is None:
            return
        self.measured.emit(measurement)
        unsettled = measurement.spectrum is not None and not measurement.spectrum.settled
        if unsettled and not self._curve.busy:
            self._settle.start()

    def _on_failed(self, error: BaseException) -> None:
        # Once: every stroke asks again, and would fail in the same way.
        if str(error) != self._told:
            self._told = str(error)
            self._session.report(error)

    # -- the other images ----------------------------------------------------------------------

    def _missing(self) -> list[str]:
        project = self._session.project
        if project is None:
            return []
        skipped = {*project.problems, *self._others, self._session.image_id}
        return [image_id for image_id in project.image_ids if image_id not in skipped]

    def _read_next(self) -> None:
        """Read one image after the other, so that strokes get their turn on the disk thread."""
        if self._reads:
            return
        missing = self._missing()
        if not missing or self._scope != "project" or self._closed:
            self.ask()
            return
        self._reads = True
        known = len(self._others)
        self.reading.emit(known, known + len(missing))
        self._session.read_labels(
            missing[0],
            partial(self._on_read, self._token, missing[0]),
            partial(self._on_unread, self._token, missing[0]),
        )

    def _on_read(self, token: int, image_id: str, labels: BlockLabels | None) -> None:
        if token != self._token:
            return
        self._reads = False
        # On another grid it is of a moment in which the grid changes: this will start anew.
        fits = labels is not None and labels.grid.block == self._session.block
        self._others[image_id] = labels if fits else None
        self._read_next()

    def _on_unread(self, token: int, image_id: str, error: BaseException) -> None:
        self._session.report(error)
        self._on_read(token, image_id, None)
