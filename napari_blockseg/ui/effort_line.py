"""One line in the dock: how much work the labels took so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel, QWidget

from napari_blockseg.core.effort import Effort, measure_effort, sum_effort
from napari_blockseg.files.effort import EffortReader
from napari_blockseg.ui.latest import Latest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_blockseg.ui.session import Session

_TIP = (
    "What was painted by hand in this project, pauses counted as 20 s at most; it stays on your "
    "disk. By class and image: blockseg effort PROJECT"
)


class EffortSum:
    """Sum up a project's journals; of those that grow, only what is new is read again."""

    def __init__(self) -> None:
        self._read = EffortReader()

    def __call__(self, root: Path, image_ids: Sequence[str]) -> Effort:
        """Return the effort of all images together."""
        return sum_effort(measure_effort(self._read(root, image_ids)))


def effort_words(effort: Effort) -> str:
    """Return the effort in words, nothing where there is none.

    Examples
    --------
    >>> effort_words(Effort("", 0, strokes=23, blocks=90, seconds=250.0))
    '23 strokes, 4 min'
    """
    if not effort.strokes:
        return ""
    minutes, hours = round(effort.seconds / 60), effort.seconds / 3600
    spent = f"{effort.seconds:.0f} s" if effort.seconds < 60 else f"{minutes} min"
    spent = spent if hours < 1.5 else f"{hours:.1f} h"
    return f"{effort.strokes:,} stroke{'s' * (effort.strokes != 1)}, {spent}"


class EffortLine(QLabel):
    """Strokes and time of the open project, as of the last save.

    Parameters
    ----------
    session
        The open project.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("blockseg_effort")
        self.setToolTip(_TIP)
        self._session = session
        self._reader = Latest(EffortSum(), interval_ms=1000, parent=self)
        self._reader.done.connect(lambda effort: self.setText(effort_words(effort)))
        self._reader.failed.connect(session.report)
        session.project_opened.connect(self._read)
        session.saved.connect(self._read)
        session.project_closed.connect(self._on_closed)

    def close_thread(self) -> None:
        """End the background thread."""
        self._reader.close()

    def _read(self, _image_id: str = "") -> None:
        project = self._session.project
        if project is not None:
            self._reader.ask(project.root, tuple(project.image_ids))

    def _on_closed(self) -> None:
        self._reader.forget()
        self.clear()
