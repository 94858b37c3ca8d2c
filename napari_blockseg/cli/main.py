"""The ``blockseg`` command: one place that turns errors into a line and an exit code."""

from __future__ import annotations

import os
import sys

import typer

from napari_blockseg.cli.commands import register
from napari_blockseg.cli.console import fail
from napari_blockseg.core.errors import BlockSegError

app = typer.Typer(
    name="blockseg",
    help="Paint blocks, watch the label spectrum, train a network, predict masks.",
    epilog="Example: blockseg demo --out demo_results",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Frames and colors for eyes only: without them the help comes faster and suits a pipe.
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app)


def share_the_machine() -> None:
    """Let compute threads sleep while they wait for one another, unless the user says otherwise.

    Must come before torch is loaded. By default they spin: as soon as another program wants a
    core, each of the thousands of waits in a training step lasts until that program's turn is
    over. On two cores with some load a step took 17 s; with threads that sleep it took 1.2 s.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def main() -> None:
    """Run the command line: exit code 0 when it worked, 1 when it failed, 2 for wrong use."""
    share_the_machine()
    try:
        app()
    except (BlockSegError, OSError) as error:
        fail(str(error))
        raise SystemExit(1) from error
