"""What pydantic found wrong with values, as sentences that say what was got and expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

#: One of `ValidationError.errors`.
ErrorDetails = Mapping[str, Any]

_KINDS = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "yes or no"),
}
_BOUNDS = {
    "greater_than_equal": ("ge", "of at least"),
    "greater_than": ("gt", "above"),
    "less_than_equal": ("le", "of at most"),
    "less_than": ("lt", "below"),
}
_ONE_OF = " is not one of "


def complaints(error: ValidationError, call: Callable[[str], str] = str) -> list[str]:
    """Return a sentence for each field that has a wrong value.

    Parameters
    ----------
    error : ValidationError
        Of a model.
    call : callable
        Gives what the user knows a field as, for instance "--batch-size".
    """
    fields: dict[str, list[ErrorDetails]] = {}
    for item in error.errors():
        # A field that takes this or that has one item for each.
        fields.setdefault(str(item["loc"][0]) if item["loc"] else "", []).append(item)
    return [
        complaint(call(name), items) if name else _of_several(items[0], call)
        for name, items in fields.items()
    ]


def complaint(name: str, items: Sequence[ErrorDetails]) -> str:
    """Return what is wrong with one value, which the user knows as `name`."""
    wanted = [_expected(item) for item in items]
    got = f"Got {name} {_shown(items[0]['input'])}; "
    known = [one for one in dict.fromkeys(wanted) if one is not None]
    if len(known) == len(set(wanted)):
        return f"{got}expected {' or '.join(known)}."
    return f"{got}{_message(items[0])}."


def _of_several(item: ErrorDetails, call: Callable[[str], str]) -> str:
    """Return what is wrong with values together: of all that were given, those it talks of."""
    message = _message(item)
    given = item["input"] if isinstance(item["input"], Mapping) else {}
    named = [
        f"{call(name)} {_shown(value)}"
        for name, value in given.items()
        if value is not None and re.search(rf"\b{name}\b", message)
    ]
    start = f"Got {', '.join(named)}; " if named else "These do not go together: "
    return f"{start}{message}."


def _expected(item: ErrorDetails) -> str | None:
    """Return what was expected; None when only the message says it."""
    kind, context = item["type"], item.get("ctx", {})
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        bound = context[key]
        return f"a {'whole ' if isinstance(bound, int) else ''}number {words} {bound:g}"
    if kind == "multiple_of":
        return f"a multiple of {context['multiple_of']}"
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    message = _message(item)
    return f"one of {message.partition(_ONE_OF)[2]}" if _ONE_OF in message else None


def _message(item: ErrorDetails) -> str:
    message = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
    # The first word may be a name.
    return message[0].lower() + message[1:] if item["type"] != "value_error" else message


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
