"""Command-line options out of the configs' fields, which give name, help, default and choices."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel

from napari_blockseg.core.config import checked
from napari_blockseg.core.errors import BlockSegError

C = TypeVar("C", bound=BaseModel)

JsonFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the results there as JSON too."),
]


def config_option(
    config: type[BaseModel], field: str, more: str = "", advanced: bool = False
) -> Any:
    """Return the option for one field of a config.

    Parameters
    ----------
    config : type
        One of `core.config`'s.
    field : str
        Name of the field; ``decoder_stride`` becomes ``--decoder-stride``.
    more : str
        Added to the field's description.
    advanced : bool
        Whether the option stands under "Fine tuning" in the help.

    Notes
    -----
    The command's own default must be None ("not given"), so that the config's default holds.
    """
    info = config.model_fields[field]
    name = "--" + field.replace("_", "-")
    flag = f"{name}/--no-{name[2:]}" if info.annotation in (bool, bool | None) else name
    return typer.Option(
        flag,
        help=f"{info.description} {more}".strip(),
        metavar=None if flag != name else _choices(info.annotation),
        show_default=False if info.default is None else str(info.default),
        rich_help_panel="Fine tuning" if advanced else None,
    )


def _choices(annotation: Any) -> str:
    """Return what a field takes, as the help shows it: ``auto|4|8``, ``N``, ``TEXT``."""
    if get_origin(annotation) is Literal:
        return "|".join(str(item) for item in get_args(annotation))
    parts = [part for part in get_args(annotation) if part is not NoneType]
    if parts:
        return "|".join(_choices(part) for part in parts)
    return {int: "N", float: "X", str: "NAME"}.get(annotation, "TEXT")


def config_from_options(config: type[C], **given: Any) -> C:
    """Build a config from the options that were given.

    Raises
    ------
    typer.BadParameter
        If a value is not allowed: wrong use, exit code 2.
    """
    values = {name: value for name, value in given.items() if value is not None}
    try:
        return checked(config, values)  # type: ignore[type-var]
    except BlockSegError as error:
        raise typer.BadParameter(str(error)) from error
