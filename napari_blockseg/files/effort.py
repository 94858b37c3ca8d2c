"""The effort that went into a project, from its journals. Nothing of it leaves the disk."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from napari_blockseg.core.effort import Action
from napari_blockseg.files.journal import JournalDamagedError, JournalRecord, read_journal

_STROKES = {"paint", "erase", "fill"}
_UNDOES = {"undo", "redo"}


def project_actions(root: Path, image_ids: Iterable[str]) -> list[Action]:
    """Return what a hand did on all images of a project, damaged journals included.

    Parameters
    ----------
    root : Path
        The project folder; nothing is written.
    image_ids : iterable of str
        Its images.
    """
    found: list[Action] = []
    for image_id in image_ids:
        path = journal_path(root, image_id)
        # A journal that was damaged is kept beside the one that took its place.
        older = sorted(path.parent.glob(f"{glob.escape(image_id)}.damaged-*.jsonl"))
        for one in (*older, path):
            found += read_actions(one, image_id)[0]
    return found


def journal_path(root: Path, image_id: str) -> Path:
    """Return where the journal of an image is."""
    return root / "journal" / f"{image_id}.jsonl"


def read_actions(path: Path, image_id: str, after_seq: int = 0) -> tuple[list[Action], int]:
    """Return what a hand did on an image, from its journal.

    Parameters
    ----------
    path : Path
        The journal. Of a damaged one, the records before the damage are taken.
    image_id : str
        The image.
    after_seq : int
        Only what came after this record.

    Returns
    -------
    actions : list of Action
        Painting, erasing, filling, undoing. What programs did (simulated labels, samples, a new
        grid, deleted classes) is left out.
    seq : int
        Number of the last record that was read.
    """
    try:
        records = read_journal(path, after_seq)
    except JournalDamagedError as error:
        records = error.records
    actions = [_action(image_id, one) for one in records if _is_by_hand(one)]
    return actions, records[-1].seq if records else after_seq


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
