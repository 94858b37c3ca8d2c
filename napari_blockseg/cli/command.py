"""What all commands share: a usage line as one types it, errors in plain words."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperCommand

from napari_blockseg.core.complaints import complaint


class WrongValue(typer.BadParameter):
    """Wrong use, said in a whole sentence: exit code 2."""

    def format_message(self) -> str:
        """Return the sentence without the words that usually come before."""
        return self.message


class Command(TyperCommand):
    """A command of ``blockseg``."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the arguments, then the options: an option that takes several words ends there."""
        shown = [one for one in self.get_params(ctx) if not getattr(one, "hidden", False)]
        pieces = [piece for one in shown for piece in one.get_usage_pieces(ctx)]
        # Braces group alternatives; around one word they are noise.
        pieces = [one if "|" in one else one.replace("{", "").replace("}", "") for one in pieces]
        return [*pieces, self.options_metavar or ""]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line; newer typers let pydantic say what is wrong with a value."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if error.param is None or not isinstance(error.__cause__, ValidationError):
                raise
            said = complaint(error.param.opts[0], error.__cause__.errors())
            raise WrongValue(said, ctx=ctx, param=error.param) from error
