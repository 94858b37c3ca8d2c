"""How much work the labels took: strokes, blocks and seconds, per class and image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

#: A pause counts no longer than this, in seconds.
LONGEST_PAUSE = 20.0
#: A drag is recorded about every 0.2 s. What follows sooner than this, of one kind, is one stroke
#: where the journal does not say.
STROKE_GAP = 0.4

Kind = Literal["stroke", "undo"]


@dataclass(frozen=True)
class Action:
    """What one record of an image's journal says that a hand did.

    Parameters
    ----------
    image_id : str
        The image.
    time : float
        When it was recorded, in seconds.
    kind : {"stroke", "undo"}
        Painting, erasing or filling; or taking back and doing again.
    op : str
        "paint", "erase", "fill", ...: records of different ones are different strokes.
    blocks : dict of int to int
        How many blocks got each class value; 0 is erased, -2 a class that was deleted since.
    plane : tuple of int
        Position on the image's leading axes.
    goes_on : bool, optional
        Whether it is more of the stroke of the record before it. Older journals do not say: what
        follows within 0.4 s, of one kind, is one stroke there.
    """

    image_id: str
    time: float
    kind: Kind
    op: str
    blocks: Mapping[int, int]
    plane: tuple[int, ...] = ()
    goes_on: bool | None = None


@dataclass(frozen=True)
class Effort:
    """What one class took on one image, or on all.

    ``value`` is the class, 0 for what was erased, -1 for what was undone and done again, -2 for
    what was painted as a class that was deleted since.
    ``strokes`` and ``blocks`` are counts; a block that is painted twice counts twice. What is
    undone counts as time, not as strokes.
    """

    image_id: str
    value: int
    strokes: int = 0
    blocks: int = 0
    seconds: float = 0.0


UNDONE = -1
DELETED = -2


def measure_effort(actions: Iterable[Action]) -> list[Effort]:
    """Return the effort per image and class.

    Parameters
    ----------
    actions : iterable of Action
        Of all images, in any order; they are taken as the work of one person, one after another.

    Returns
    -------
    list of Effort
        By image (in the order in which they were begun), then by class value.

    Notes
    -----
    The time before a record belongs to it: the pause since the record before, of whatever image,
    no longer than 20 s. The first one has no pause, so a project with one click took 0 s. A record
    that gives blocks to several classes divides its time by their blocks.
    """
    found: dict[tuple[str, int], Effort] = {}
    before: Action | None = None
    for action in sorted(actions, key=lambda one: one.time):
        pause = 0.0 if before is None else min(action.time - before.time, LONGEST_PAUSE)
        total = sum(action.blocks.values())
        shares = {UNDONE: 1.0} if action.kind == "undo" else _shares(action.blocks, total)
        for value, share in shares.items():
            key = (action.image_id, value)
            old = found.get(key, Effort(*key))
            stroke = action.kind == "stroke"
            found[key] = Effort(
                *key,
                strokes=old.strokes + (stroke and not _goes_on(before, action, value)),
                blocks=old.blocks + (action.blocks[value] if stroke else 0),
                seconds=old.seconds + share * pause,
            )
        before = action
    order = {image_id: place for place, image_id in enumerate(dict.fromkeys(i for i, _ in found))}
    return sorted(found.values(), key=lambda one: (order[one.image_id], one.value))


def sum_effort(parts: Sequence[Effort], image_id: str = "", value: int = 0) -> Effort:
    """Return all parts added up, under another name."""
    return Effort(
        image_id,
        value,
        sum(one.strokes for one in parts),
        sum(one.blocks for one in parts),
        sum(one.seconds for one in parts),
    )


def _shares(blocks: Mapping[int, int], total: int) -> dict[int, float]:
    return {value: n / total for value, n in sorted(blocks.items()) if n}


def _goes_on(before: Action | None, action: Action, value: int) -> bool:
    """Whether a record is more of the stroke before it: a long drag is recorded in pieces."""
    if before is not None and action.goes_on is not None:
        return action.goes_on and before.image_id == action.image_id and value in before.blocks
    return (
        before is not None
        and (before.image_id, before.plane, before.op) == (action.image_id, action.plane, action.op)
        and value in before.blocks
        and action.time - before.time <= STROKE_GAP
    )
