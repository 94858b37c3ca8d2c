"""What a session has to say: notices that wait for their turn, each one once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_blockseg.core.errors import BlockSegError
from napari_blockseg.core.reports import Notice


class Notices:
    """Notices in the order in which they came.

    Attributes
    ----------
    waiting : list of Notice
        Whoever passes them on takes them out.
    """

    def __init__(self) -> None:
        self.waiting: list[Notice] = []
        self._said: set[str] = set()

    def note(self, message: str, level: str = "info") -> None:
        """Say something, again if need be."""
        self.waiting.append(Notice.model_validate({"message": message, "level": level}))

    def say(self, message: str, level: str = "info") -> None:
        """Say something, once."""
        if message not in self._said:
            self._said.add(message)
            self.note(message, level)

    def attempt(self, work: Callable[[], Any]) -> Any:
        """Do something for one image; what is wrong with it is said, and None returned."""
        try:
            return work()
        except BlockSegError as error:
            self.say(str(error), "warning")
            return None
