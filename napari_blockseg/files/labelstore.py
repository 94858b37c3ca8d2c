"""Block labels of a project on disk: labels files, journals, and what is painted since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core import atomic
from napari_blockseg.core.errors import LabelError, ProjectError
from napari_blockseg.core.labels import BlockLabels, Changes, diff
from napari_blockseg.files.blocklabels import SUFFIX, read_block_labels, write_block_labels
from napari_blockseg.files.journal import (
    ClassMoves,
    JournalDamagedError,
    JournalRecord,
    JournalWriter,
    read_journal,
    replay,
)

# States beyond this many are saved and dropped: neither memory nor open files grow without end.
_KEEP = 16


@dataclass(frozen=True)
class LabelState:
    """Labels as of record ``seq``; the labels file holds those of ``saved_seq``.

    ``problem`` says what is wrong with the journal (the labels are those before the damage).
    ``exists``: there is a labels file or a journal at all.
    """

    labels: BlockLabels
    seq: int
    saved_seq: int
    exists: bool
    problem: str | None = None


class LabelStore:
    """Reads and writes the labels and journals below a project folder.

    Not thread-safe by itself: the project holds its lock around every call that writes.

    Parameters
    ----------
    root : Path
        The project folder.

    Attributes
    ----------
    damaged : dict of str to str
        For images whose journal was damaged when it was last read: where, and the ways on.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damaged: dict[str, str] = {}
        self._states: dict[str, LabelState] = {}
        self._writers: dict[str, JournalWriter] = {}

    def labels_path(self, image_id: str) -> Path:
        """Return where the labels file of an image is."""
        return self.root / "labels" / f"{image_id}{SUFFIX}"

    def journal_path(self, image_id: str) -> Path:
        """Return where the journal of an image is."""
        return self.root / "journal" / f"{image_id}.jsonl"

    def read(self, image_id: str, empty: BlockLabels) -> LabelState:
        """Read labels: the labels file with the later journal records replayed on it.

        Safe while another process writes: journals are only appended to, always before the
        labels file that contains the same records replaces the older one.

        Parameters
        ----------
        image_id : str
            The image.
        empty : BlockLabels
            What an image without a labels file has; gives the shape that labels must have.

        Raises
        ------
        ProjectError
            If the labels file is damaged, from a newer version, or of another image.
        """
        path, journal = self.labels_path(image_id), self.journal_path(image_id)
        labels: BlockLabels | None = None
        saved = 0
        if path.exists():
            labels, saved = read_block_labels(path)
        problem = None
        try:
            records = _following(saved, read_journal(journal, saved), labels is not None, journal)
        except JournalDamagedError as error:
            records, problem = error.records, str(error)
        try:
            replayed = replay(labels, records)
        except JournalDamagedError as error:
            replayed, problem = replay(labels, error.records), f"{journal}: {error}"
            records = error.records
        if problem is None:
            self.damaged.pop(image_id, None)
        else:
            self.damaged[image_id] = problem
        result = empty if replayed is None else replayed
        if result.grid.image_shape != empty.grid.image_shape:
            raise ProjectError(
                f"The block labels {path} belong to an image of shape {result.grid.image_shape}; "
                f'image "{image_id}" has {empty.grid.image_shape}. Put the right file in its '
                "place, or move it away to start empty."
            )
        seq = records[-1].seq if records else saved
        exists = labels is not None or bool(records) or problem is not None
        return LabelState(result, seq, saved, exists, problem)

    def state(self, image_id: str, empty: BlockLabels) -> LabelState:
        """Return the labels as this process knows them, or read them."""
        return self._states.get(image_id) or self.read(image_id, empty)

    def record(
        self,
        image_id: str,
        empty: BlockLabels,
        changes: Changes,
        op: str,
        slice_: tuple[int, ...] = (),
        token: str | None = None,
        goes_on: bool | None = None,
        moves: ClassMoves | None = None,
    ) -> int:
        """Journal a diff; return its number (the last one when nothing changed).

        Raises
        ------
        LabelError
            If a cell lies outside the grid.
        """
        state = self.state(image_id, empty)
        where = _full_index(state.labels, changes, slice_)
        old = state.labels.values[where]
        differs = np.flatnonzero(old != changes.new)
        if not len(differs) and token is None:
            return state.seq
        # The old values are what IS there: a caller's idea of them could be out of step.
        true = Changes(changes.index[differs], old[differs], np.asarray(changes.new)[differs])
        with self._forgotten_on_failure(image_id):
            state = self._started(image_id, state)
            record = JournalRecord.of_changes(
                state.seq + 1, true, op, slice_, token, goes_on, moves
            )
            self._append(image_id, state, record)
        return record.seq

    def replace_grid(
        self,
        image_id: str,
        empty: BlockLabels,
        labels: BlockLabels,
        op: str,
        token: str | None = None,
    ) -> int:
        """Journal labels on another grid, with both grids inside the record."""
        with self._forgotten_on_failure(image_id):
            state = self._started(image_id, self.state(image_id, empty))
            record = JournalRecord.of_grids(state.seq + 1, state.labels, labels, op, token)
            self._append(image_id, state, record)
        return record.seq

    def save(self, image_id: str, empty: BlockLabels) -> None:
        """Write the labels file of an image, with everything recorded until now."""
        state = self.state(image_id, empty)
        write_block_labels(self.labels_path(image_id), state.labels, state.seq)
        if image_id in self._states:
            self._states[image_id] = replace(state, saved_seq=state.seq, exists=True)

    def recover(self, image_id: str, state: LabelState) -> None:
        """Bring the labels file up to its journal, after a process died between the two."""
        if state.problem is None and state.seq != state.saved_seq:
            write_block_labels(self.labels_path(image_id), state.labels, state.seq)

    def set_labels(self, image_id: str, empty: BlockLabels, labels: BlockLabels, op: str) -> int:
        """Journal whatever differs between the known labels and these, and save."""
        state = self.state(image_id, empty)
        if state.labels.grid == labels.grid:
            changes = diff(state.labels.values, labels.values)
            seq = self.record(image_id, empty, changes, op)
        else:
            seq = self.replace_grid(image_id, empty, labels, op)
        self.save(image_id, empty)
        return seq

    def dirty(self) -> list[str]:
        """Return the images with records that their labels file does not hold yet."""
        return [one for one, state in self._states.items() if state.seq != state.saved_seq]

    def close(self) -> None:
        """Save what is not saved, close the journals."""
        self._drop(list(self._states))

    def forget(self) -> None:
        """Close the journals without writing anything (the lock was lost)."""
        self._states.clear()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    @contextmanager
    def _forgotten_on_failure(self, image_id: str) -> Iterator[None]:
        """Read an image again after a failure: what got onto the disk is not known then."""
        try:
            yield
        except OSError:
            self._states.pop(image_id, None)
            if image_id in self._writers:
                with suppress(OSError):
                    self._writers.pop(image_id).close()
            raise

    def _started(self, image_id: str, state: LabelState) -> LabelState:
        """Make sure that a journal is open and begins with a start grid."""
        if image_id in self._writers:
            return state
        journal = self.journal_path(image_id)
        if state.problem is not None and journal.exists():
            # The labels file first: then nothing depends on the damaged journal any more.
            write_block_labels(self.labels_path(image_id), state.labels, state.seq)
            journal.rename(_free_name(journal))
            state = replace(state, saved_seq=state.seq, problem=None)
            self.damaged.pop(image_id, None)
        if not journal.exists() or journal.stat().st_size == 0:
            start = JournalRecord.of_grids(state.seq + 1, None, state.labels, "start")
            atomic.write_bytes(journal, start.line())
            state = replace(state, seq=start.seq)
        self._writers[image_id] = JournalWriter(journal)
        return state

    def _append(self, image_id: str, state: LabelState, record: JournalRecord) -> None:
        after = record.apply(state.labels)
        self._writers[image_id].append(record)
        self._states.pop(image_id, None)
        self._states[image_id] = replace(state, labels=after, seq=record.seq, exists=True)
        self._drop(list(self._states)[:-_KEEP])

    def _drop(self, image_ids: Iterable[str]) -> None:
        for image_id in image_ids:
            state = self._states[image_id]
            if state.seq != state.saved_seq:
                write_block_labels(self.labels_path(image_id), state.labels, state.seq)
            del self._states[image_id]
            if image_id in self._writers:
                self._writers.pop(image_id).close()


def _following(
    saved: int, records: list[JournalRecord], have_labels: bool, journal: Path
) -> list[JournalRecord]:
    """Return `records` if they follow the labels file without a gap."""
    previous = saved if have_labels else None
    for i, record in enumerate(records):
        whole = record.after is not None
        if not whole and (previous is None or record.seq != previous + 1):
            raise JournalDamagedError(
                f"The journal {journal} misses the records between {previous or 0} and "
                f"{record.seq}. The labels are those before the gap. Put a backup of journal and "
                "labels file in place, or paint on: the journal is then kept beside a new one.",
                records[:i],
            )
        previous = record.seq
    return records


def _full_index(
    labels: BlockLabels, changes: Changes, slice_: tuple[int, ...]
) -> tuple[int | NDArray[Any], ...]:
    shape = labels.grid.shape
    if len(changes.new) == 0:
        return tuple(np.zeros(0, np.int64) for _ in shape)
    index = np.asarray(changes.index, np.int64).reshape(len(changes.new), -1)
    full = np.concatenate([np.tile(slice_, (len(index), 1)).astype(np.int64), index], axis=1)
    if full.shape[1] != len(shape) or full.min() < 0 or (full >= shape).any():
        raise LabelError(
            f"Got changes of blocks {full.min(axis=0).tolist()} to {full.max(axis=0).tolist()}; "
            f"the grid has shape {shape}. Clip the brush to the grid."
        )
    return tuple(full.T)


def _free_name(path: Path) -> Path:
    number = 1
    while (found := path.with_name(f"{path.stem}.damaged-{number}.jsonl")).exists():
        number += 1
    return found
