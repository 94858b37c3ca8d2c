"""The effort that went into a project, from its journals. Nothing of it leaves the disk."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from napari_blockseg.core.effort import Action
from napari_blockseg.core.effort_classes import ClassChange, in_present_classes
from napari_blockseg.files.journal import JournalDamagedError, JournalRecord, read_journal

_STROKES = {"paint", "erase", "fill"}
_UNDOES = {"undo", "redo"}
_DAMAGED = re.compile(r"(.+)\.damaged-(\d+)\.jsonl")


@dataclass
class _Known:
    """What was read of an image: which damaged journals, what they and the present one say."""

    older: list[Path]
    history: list[Action | ClassChange] = field(default_factory=list)
    seq: int = 0


class EffortReader:
    """Read what a hand did on all images of a project.

    Of journals that grow, only what is new is read when it is called again.
    """

    def __init__(self) -> None:
        self._root = Path()
        self._known: dict[str, _Known] = {}

    def __call__(self, root: Path, image_ids: Iterable[str]) -> list[Action]:
        """Return the actions, damaged journals included, with the class values of today.

        Parameters
        ----------
        root : Path
            The project folder; nothing is written.
        image_ids : iterable of str
            Its images.

        Returns
        -------
        list of Action
            Painting, erasing, filling, undoing, image by image. What programs did (simulated
            labels, samples, a new grid, deleted classes) is left out.
        """
        if root != self._root:
            self._root, self._known = root, {}
        image_ids = list(image_ids)
        damaged = _damaged_journals(root / "journal", image_ids)
        for image_id in image_ids:
            self._read_on(image_id, damaged.get(image_id, []))
        return in_present_classes(self._known[image_id].history for image_id in image_ids)

    def _read_on(self, image_id: str, older: list[Path]) -> None:
        known = self._known.get(image_id)
        if known is None or known.older != older:
            # What was read of a journal that is set aside now may be what is damaged in it.
            known = self._known[image_id] = _Known(older)
            for path in older:
                known.history += _read_history(path, image_id)[0]
        path = self._root / "journal" / f"{image_id}.jsonl"
        more, known.seq = _read_history(path, image_id, known.seq)
        known.history += more


def project_actions(root: Path, image_ids: Iterable[str]) -> list[Action]:
    """Return what a hand did on all images of a project, read once: see :class:`EffortReader`."""
    return EffortReader()(root, image_ids)


def _damaged_journals(folder: Path, image_ids: Collection[str]) -> dict[str, list[Path]]:
    """Return the journals that were set aside, by image, the oldest first."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.glob("*.damaged-*.jsonl"):
        match = _DAMAGED.fullmatch(path.name)
        if match and path.stem not in image_ids:
            found.setdefault(match[1], []).append((int(match[2]), path))
    return {image_id: [path for _, path in sorted(paths)] for image_id, paths in found.items()}


def _read_history(
    path: Path, image_id: str, after_seq: int = 0
) -> tuple[list[Action | ClassChange], int]:
    """Return what a journal says after a record, and the number of its last one.

    Of a damaged journal, the records before the damage are taken.
    """
    try:
        records = read_journal(path, after_seq)
    except JournalDamagedError as error:
        records = error.records
    history: list[Action | ClassChange] = []
    for record in records:
        if _is_by_hand(record):
            history.append(_action(image_id, record))
        elif record.op == "reclass" and record.token is not None:
            history.append(_class_change(record, record.token))
    return history, records[-1].seq if records else after_seq


def _is_by_hand(record: JournalRecord) -> bool:
    by_hand = record.op in _STROKES | _UNDOES
    return by_hand and record.after is None and record.token is None


def _action(image_id: str, record: JournalRecord) -> Action:
    return Action(
        image_id=image_id,
        time=datetime.fromisoformat(record.time).timestamp(),
        kind="stroke" if record.op in _STROKES else "undo",
        op=record.op,
        blocks=dict(Counter(record.changes().new.tolist())),
        plane=record.slice,
        goes_on=record.goes_on,
    )


def _class_change(record: JournalRecord, token: str) -> ClassChange:
    if record.moves is not None:
        return ClassChange(token, record.moves.mapping, restored=record.moves.restored)
    changes = record.changes()
    seen = dict(zip(changes.old.tolist(), changes.new.tolist(), strict=True))
    return ClassChange(token, seen, whole=False)
