"""The journal of an image: one line of JSON for every change of its block labels.

A record is a diff against the labels before it, because napari's undo, fill and erase leave no
other trace. Replaying the records after a labels file's ``seq`` gives the labels of the last
second before a crash; all of them together are the record of the annotation effort.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_blockseg.core.errors import BlockSegError, ProjectError
from napari_blockseg.core.grid import BlockGrid
from napari_blockseg.core.labels import BlockLabels, Changes

# Above this many cells (a fill, a simulation) plain lists would make lines of many megabytes.
_PACK_ABOVE = 2000
_SEQ = re.compile(rb'\{"seq": ?(\d+),')
IntArray = NDArray[np.integer[Any]]
# What numpy raises on numbers that are damaged: sizes, shapes, values without bounds.
DAMAGE = (ValueError, KeyError, IndexError, TypeError, OverflowError, MemoryError)


class PackedArray(BaseModel):
    """An integer array inside a line of JSON: base64 of its zlib-compressed bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    dtype: str
    shape: tuple[int, ...]
    data: str

    @classmethod
    def pack(cls, values: IntArray) -> PackedArray:
        """Return `values` (any shape) compressed, little-endian."""
        kept = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
        data = base64.b64encode(zlib.compress(kept.tobytes(), 6)).decode("ascii")
        return cls(dtype=kept.dtype.str, shape=values.shape, data=data)

    def unpack(self) -> IntArray:
        """Return the array; a ValueError means that it is damaged."""
        try:
            raw = zlib.decompress(base64.b64decode(self.data, validate=True))
        except zlib.error as error:
            raise ValueError(f"packed values are damaged ({error})") from error
        dtype = _integers(self.dtype)
        values: IntArray = np.frombuffer(raw, dtype).reshape(self.shape)
        return values.astype(dtype.newbyteorder("="))


def _integers(name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name)
    except (TypeError, SyntaxError) as error:  # numpy reads part of such names as Python
        raise ValueError(f'"{name}" is no kind of number') from error
    if dtype.kind not in "iu":
        raise ValueError(f'"{name}" is no kind of whole number')
    return dtype


class WholeGrid(BaseModel):
    """Block labels inside a record: geometry and values."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    image_shape: tuple[int, ...]
    block: int
    values: PackedArray

    @classmethod
    def of(cls, labels: BlockLabels) -> WholeGrid:
        """Return `labels` in a form that a record can carry."""
        return cls(**labels.grid.to_dict(), values=PackedArray.pack(labels.values))

    def labels(self) -> BlockLabels:
        """Return the block labels."""
        return BlockLabels(BlockGrid(self.image_shape, self.block), self.values.unpack())


class ClassMoves(BaseModel):
    """What a change of all classes did to values, also to those that no block is painted with.

    ``mapping`` has the new values of those that changed (0: deleted); ``restored`` is the value of
    a class that was deleted and is back.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    mapping: dict[int, int] = {}
    restored: int | None = None


class JournalRecord(BaseModel):
    """One change.

    ``cells`` are block indices (row, column; leading axes first where ``slice`` does not say
    them) with their ``old`` and ``new`` values; ``packed`` holds the same three, compressed, when
    there are many. Records with ``after`` replace the whole grid: "start" (the labels when the
    journal was begun), "regrid" and its "undo", which also carry ``before``. ``goes_on`` says
    whether it is more of the stroke of the record before it, where whoever wrote it knows;
    ``moves`` belongs to "reclass" (records of earlier versions have none).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    seq: int = Field(ge=1)
    time: str
    slice: tuple[int, ...] = ()
    op: str
    cells: tuple[tuple[int, ...], ...] = ()
    old: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    packed: dict[str, PackedArray] | None = None
    before: WholeGrid | None = None
    after: WholeGrid | None = None
    token: str | None = None
    goes_on: bool | None = None
    moves: ClassMoves | None = None

    @classmethod
    def of_changes(
        cls,
        seq: int,
        changes: Changes,
        op: str,
        slice_: tuple[int, ...] = (),
        token: str | None = None,
        goes_on: bool | None = None,
        moves: ClassMoves | None = None,
    ) -> JournalRecord:
        """Return the record of a diff.

        Parameters
        ----------
        seq : int
            Its number.
        changes : Changes
            ``index`` (n, axes) without the axes that `slice_` fixes.
        op : str
            "paint", "erase", "fill", "undo", "redo", "clear", "simulate", ...
        slice_ : tuple of int
            Plane of a stack.
        token : str, optional
            Marks the records of one change of the whole project.
        goes_on : bool, optional
            Whether it is more of the stroke of the record before it.
        moves : ClassMoves, optional
            What a change of all classes did to values.
        """
        common: dict[str, Any] = {"seq": seq, "time": now(), "slice": slice_, "op": op}
        common |= {"token": token, "goes_on": goes_on, "moves": moves}
        if len(changes) > _PACK_ABOVE:
            # Differences from cell to cell are mostly 0 and 1: they compress a hundredfold.
            index = changes.index.astype(np.int32)
            steps = np.concatenate([index[:1], index[1:] - index[:-1]])
            packed: dict[str, IntArray] = {"steps": steps, "old": changes.old, "new": changes.new}
            return cls(**common, packed={k: PackedArray.pack(v) for k, v in packed.items()})
        return cls(
            **common,
            cells=changes.index.tolist(),
            old=changes.old.tolist(),
            new=changes.new.tolist(),
        )

    @classmethod
    def of_grids(
        cls,
        seq: int,
        before: BlockLabels | None,
        after: BlockLabels,
        op: str,
        token: str | None = None,
    ) -> JournalRecord:
        """Return the record of a new grid, from which both grids can be restored."""
        return cls(
            seq=seq,
            time=now(),
            op=op,
            before=None if before is None else WholeGrid.of(before),
            after=WholeGrid.of(after),
            token=token,
        )

    def changes(self) -> Changes:
        """Return the diff of this record (none for a whole-grid record)."""
        if self.packed is not None:
            index = np.cumsum(self.packed["steps"].unpack(), axis=0).astype(np.int64)
            return Changes(index, self.packed["old"].unpack(), self.packed["new"].unpack())
        axes = len(self.cells[0]) if self.cells else 2
        index = np.array(self.cells, np.int64).reshape(len(self.cells), axes)
        return Changes(index, np.array(self.old, np.int64), np.array(self.new, np.int64))

    def apply(self, labels: BlockLabels | None) -> BlockLabels:
        """Return `labels` after this record; a BlockSegError or ValueError means it is damaged."""
        if self.after is not None:
            return self.after.labels()
        if labels is None:
            raise ValueError("there are no labels to apply it to")
        changes = self.changes()
        if not len(changes.index) == len(changes.old) == len(changes.new):
            raise ValueError("cells, old and new differ in number")
        values = labels.values.copy()
        where = (*self.slice, *changes.index.T)
        if len(changes) and len(where) != values.ndim:
            raise ValueError(f"cells have {len(where)} axes, the labels {values.ndim}")
        if len(changes) and (changes.index.min() < 0 or changes.new.min() < 0):
            raise ValueError("negative numbers")
        if len(changes) and changes.new.max() > np.iinfo(values.dtype).max:
            values = values.astype(np.uint16)
        try:
            if len(changes):
                values[where] = changes.new
        except IndexError as error:
            raise ValueError(f"a cell lies outside the grid ({error})") from error
        return labels.with_values(values)

    def line(self) -> bytes:
        """Return the record as one line of JSON; ``seq`` comes first."""
        return self.model_dump_json(exclude_none=True).encode("utf-8") + b"\n"


class JournalDamagedError(ProjectError):
    """A line that is not the last one cannot be read; ``records`` holds the good ones before it."""

    def __init__(self, message: str, records: list[JournalRecord]) -> None:
        super().__init__(message)
        self.records = records


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_journal(path: Path | str, after_seq: int = 0) -> list[JournalRecord]:
    """Read the records after `after_seq`.

    Parameters
    ----------
    path : path
        A ``.jsonl`` file; a missing one is an empty journal.
    after_seq : int
        Only records with a higher number are parsed and returned.

    Raises
    ------
    JournalDamagedError
        If a line that is not the last one cannot be read. A torn last line (a process was killed
        while it wrote) is dropped without a word.
    """
    path = Path(path)
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JournalDamagedError(f"{path} cannot be read: {error}.", []) from error
    lines.pop()  # what follows the last newline: nothing, or a torn line
    records: list[JournalRecord] = []
    for number, line in enumerate(lines, start=1):
        known = _SEQ.match(line)
        if known and int(known.group(1)) <= after_seq:
            continue
        try:
            record = JournalRecord.model_validate_json(line)
        except ValidationError as error:
            if number == len(lines):
                break
            raise _damaged_line(path, number, records) from error
        if record.seq > after_seq:
            records.append(record)
    return records


def replay(labels: BlockLabels | None, records: Iterable[JournalRecord]) -> BlockLabels | None:
    """Return `labels` after `records`.

    Parameters
    ----------
    labels : BlockLabels or None
        The labels of the file; None when it is lost (a journal begins with its start grid).
    records : iterable of JournalRecord
        In order.

    Raises
    ------
    JournalDamagedError
        If a record does not fit the labels; ``records`` holds those before it.
    """
    done: list[JournalRecord] = []
    for record in records:
        try:
            labels = record.apply(labels)
        except (BlockSegError, *DAMAGE) as error:
            message = f"Record {record.seq} ({record.op}) does not fit the labels: {error}."
            raise JournalDamagedError(message, done) from error
        done.append(record)
    return labels


class JournalWriter:
    """Appends records to a journal; each one is on disk when :meth:`append` returns.

    Opening cuts off a torn last line: otherwise the next record would be glued to it, and a
    harmless tear would become a damaged line in the middle.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(self.path)
        self._file = self.path.open("ab", buffering=0)

    def append(self, record: JournalRecord) -> None:
        """Write one record, flush it to the disk."""
        data = record.line()
        start = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(data) != len(data):
                raise OSError(f"the disk is full: {self.path} could not take {len(data)} bytes")
            os.fsync(self._file.fileno())
        except OSError:
            # Half a record must not stay: the next one would be glued to it.
            os.ftruncate(self._file.fileno(), start)
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _damaged_line(path: Path, number: int, records: list[JournalRecord]) -> JournalDamagedError:
    return JournalDamagedError(
        f"The journal {path} is damaged at line {number}. The labels were opened from their "
        f"labels file and the {len(records)} records before that line; later ones were not "
        "applied. To get those back, mend the line, or put a backup of the journal in its place, "
        "and open the project again; to go on as it is, paint: the damaged journal is then kept "
        "beside the new one.",
        records,
    )


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    end = data.rfind(b"\n") + 1
    start = data.rfind(b"\n", 0, max(0, end - 1)) + 1
    try:
        if end:
            json.loads(data[start:end])
    except ValueError:
        end = start
    if end != len(data):
        with path.open("rb+") as handle:
            handle.truncate(end)
            os.fsync(handle.fileno())
