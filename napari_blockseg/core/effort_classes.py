"""Whose work it was, in the classes of today: class values through changes of the class list.

A journal has the values of its time. What was painted as class 2 before class 1 was deleted is
work on what is class 1 now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from napari_blockseg.core.effort import DELETED, Action


@dataclass(frozen=True)
class ClassChange:
    """A change of a project's classes, as the journal of one image has it.

    Parameters
    ----------
    token : str
        The same in the journals of all images.
    moved : dict of int to int
        New values of old ones, 0 for a class that was deleted.
    whole : bool
        Whether `moved` names all values that changed. Older journals only say what became of
        painted blocks; the rest is inferred from how the dock deletes a class and brings it back.
    restored : int, optional
        Value of the class that this change brings back; it is the last deleted one of that value.
    """

    token: str
    moved: Mapping[int, int]
    whole: bool = True
    restored: int | None = None


@dataclass(frozen=True, eq=False)
class _Gone:
    """Where the work on a class went that was deleted: each of them is a place of its own."""

    value: int


History = Sequence[Action | ClassChange]
_Place = int | _Gone


def in_present_classes(histories: Iterable[History]) -> list[Action]:
    """Return actions with the class values of today.

    Parameters
    ----------
    histories : iterable of sequence of Action or ClassChange
        Of each image, in the order of its journal.

    Returns
    -------
    list of Action
        Image by image; what was painted as a class that is no more has the value -2.
    """
    histories = list(histories)
    every = [one for history in histories for one in history]
    changes = _joined(one for one in every if isinstance(one, ClassChange))
    painted = (value for one in every if isinstance(one, Action) for value in one.blocks)
    top = max(painted, default=0) + len(changes)  # a class that comes back moves values up by one
    return [action for one in histories for action in _presented(one, changes, top)]


def _joined(parts: Iterable[ClassChange]) -> dict[str, ClassChange]:
    """Return each change once, with all that the images together say of it."""
    found: dict[str, ClassChange] = {}
    for part in parts:
        known = found.get(part.token)
        if known is None or (part.whole and not known.whole):
            found[part.token] = part
        elif not known.whole:
            found[part.token] = replace(known, moved={**known.moved, **part.moved})
    return found


def _presented(history: History, changes: Mapping[str, ClassChange], top: int) -> list[Action]:
    # Between two changes values mean the same: the actions, and where each of their values is now.
    parts: list[tuple[list[Action], dict[int, _Place]]] = [([], {})]
    deleted: list[_Gone] = []
    for one in history:
        if isinstance(one, Action):
            parts[-1][0].append(one)
            parts[-1][1].update({value: value for value in one.blocks})
            continue
        move = _move(_inferred(changes[one.token], deleted, top), deleted)
        for _, places in parts:
            places.update({value: move(place) for value, place in places.items()})
        parts.append(([], {}))
    return [_placed(action, places) for actions, places in parts for action in actions]


def _move(change: ClassChange, deleted: list[_Gone]) -> Callable[[_Place], _Place]:
    """Return where a change puts what is somewhere; `deleted` are the classes that are gone."""
    back = next((one for one in reversed(deleted) if one.value == change.restored), None)
    if back is not None:
        deleted.remove(back)
    gone = {old: _Gone(old) for old, new in change.moved.items() if old and not new}
    deleted.extend(gone.values())

    def move(place: _Place) -> _Place:
        if isinstance(place, _Gone):
            return change.restored if place is back and change.restored else place
        return gone.get(place, change.moved.get(place, place)) if place else 0

    return move


def _inferred(change: ClassChange, deleted: Sequence[_Gone], top: int) -> ClassChange:
    """Return a change of which only painted blocks tell with all values up to `top`.

    The dock deletes one class and moves those after it down, or brings it back and moves them up.
    Other changes (scripts make them) stay as they are told.
    """
    gone = [old for old, new in change.moved.items() if new == 0]
    others = {old: new for old, new in change.moved.items() if new}
    steps = {new - old for old, new in others.items()}
    if change.whole or not change.moved or len(gone) > 1:
        return change
    if steps <= {-1} and (not gone or gone[0] < min(others, default=gone[0] + 1)):
        # No block of it: then its place is the one that the class after it took.
        first = gone[0] if gone else min(others) - 1
        later = {value: value - 1 for value in range(first + 1, top + 1)}
        return replace(change, moved={first: 0, **later})
    if steps == {1} and not gone:
        first = min(others)
        if deleted and deleted[-1].value <= first:
            first = deleted[-1].value
        later = {value: value + 1 for value in range(first, top + 1)}
        return replace(change, moved=later, restored=first)
    return change


def _placed(action: Action, places: Mapping[int, _Place]) -> Action:
    blocks: Counter[int] = Counter()
    for value, count in action.blocks.items():
        place = places[value]
        blocks[DELETED if isinstance(place, _Gone) else place] += count
    return replace(action, blocks=dict(blocks))
