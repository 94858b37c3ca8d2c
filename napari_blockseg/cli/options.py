"""Command-line options out of the configs' fields, which give name, help, default and choices."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError

from napari_blockseg.cli.command import WrongValue
from napari_blockseg.cli.outputs import file_to_write
from napari_blockseg.core.complaints import complaints
from napari_blockseg.core.errors import BlockSegError

C = TypeVar("C", bound=BaseModel)

JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the results there as JSON too.",
        callback=file_to_write,
    ),
]


def _known_axes(value: str | None) -> str | None:
    """Refuse axes that are none before any image is opened."""
    if value is not None:
        from napari_blockseg.files.images import clean_axes

        try:
            clean_axes(value)
        except BlockSegError as error:
            raise WrongValue(str(error)) from error
    return value


Axes = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="YX|YXC|...",
        help="Axes of the images, if they don't say.",
        callback=_known_axes,
    ),
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
    name = option_name(field)
    flag = f"{name}/--no-{name[2:]}" if info.annotation in (bool, bool | None) else name
    return typer.Option(
        flag,
        help=f"{info.description} {more}".strip(),
        metavar=None if flag != name else _choices(info.annotation),
        show_default=False if info.default is None else str(info.default),
        rich_help_panel="Fine tuning" if advanced else None,
    )


def option_name(field: str) -> str:
    """Return what the command line calls a field of a config."""
    return "--" + field.replace("_", "-")


def _choices(annotation: Any) -> str:
    """Return what a field takes, as the help shows it: ``auto|4|8``, ``N``, ``TEXT``."""
    if get_origin(annotation) is Literal:
        return "|".join(str(item) for item in get_args(annotation))
    parts = [part for part in get_args(annotation) if part is not NoneType]
    if parts:
        return "|".join(_choices(part) for part in parts)
    return {int: "N", float: "X", str: "NAME"}.get(annotation, "TEXT")


@dataclass(frozen=True)
class OptionGroup:
    """Fields of a config that a command takes as options.

    Parameters
    ----------
    config : type
        One of `core.config`'s.
    fields, advanced : tuple of str
        Those that stand among the command's own options, and those under "Fine tuning".
    more : mapping of str to str
        What is added to descriptions, by field.
    """

    config: type[BaseModel]
    fields: tuple[str, ...]
    advanced: tuple[str, ...] = ()
    more: Mapping[str, str] = field(default_factory=dict)

    def parameters(self, advanced: bool) -> list[inspect.Parameter]:
        """Return the options as a command's parameters."""
        return [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[
                    _value_type(self.config.model_fields[name].annotation) | None,
                    config_option(self.config, name, self.more.get(name, ""), advanced),
                ],
            )
            for name in (self.advanced if advanced else self.fields)
        ]

    def built(self, given: dict[str, Any]) -> BaseModel:
        """Take the options out of what was given and build the config."""
        values = {name: given.pop(name) for name in (*self.fields, *self.advanced)}
        return config_from_options(self.config, **values)


def _value_type(annotation: Any) -> Any:
    """Return what the command line parses; what is allowed is the config's matter."""
    if get_origin(annotation) is Literal:
        kinds = {type(item) for item in get_args(annotation)}
    else:
        parts = [part for part in get_args(annotation) if part is not NoneType]
        kinds = {_value_type(part) for part in parts} or {annotation}
    return kinds.pop() if len(kinds) == 1 else str


def takes_configs(**groups: OptionGroup) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command options for the fields of configs; it gets the configs.

    Parameters
    ----------
    **groups : OptionGroup
        By the command's parameter that gets the config. Its options stand in that parameter's
        place, advanced ones behind all others.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        shown = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name in own
            for one in (groups[name].parameters(False) if name in groups else [own[name]])
        ]
        shown += [one for name in groups for one in groups[name].parameters(True)]

        @functools.wraps(command)
        def wrapped(**given: Any) -> None:
            configs = {name: group.built(given) for name, group in groups.items()}
            command(**given, **configs)

        # Both are what typer reads.
        wrapped.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {one.name: one.annotation for one in shown}
        return wrapped

    return decorate


def config_from_options(config: type[C], **given: Any) -> C:
    """Build a config from the options that were given.

    Raises
    ------
    typer.BadParameter
        If a value is not allowed: wrong use, exit code 2.
    """
    values = {name: value for name, value in given.items() if value is not None}
    try:
        return config(**values)
    except ValidationError as error:
        raise WrongValue(" ".join(complaints(error, option_name))) from error
