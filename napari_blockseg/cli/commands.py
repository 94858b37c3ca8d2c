"""Which commands there are, in the order of the work, each with an example."""

from __future__ import annotations

import typer

from napari_blockseg.cli.analyse import analyse
from napari_blockseg.cli.command import Command
from napari_blockseg.cli.costs import cost
from napari_blockseg.cli.demo.command import demo
from napari_blockseg.cli.effort import effort
from napari_blockseg.cli.export import export
from napari_blockseg.cli.napari_start import annotate
from napari_blockseg.cli.prediction import predict
from napari_blockseg.cli.prepare import new, simulate
from napari_blockseg.cli.scoring import evaluate
from napari_blockseg.cli.spectrum import spectrum
from napari_blockseg.cli.suggest import suggest
from napari_blockseg.cli.training import train
from napari_blockseg.cli.truncate import truncate


def worker() -> None:
    """Serve the GUI: requests on stdin, answers on stdout, one JSON object a line."""
    from napari_blockseg.cli.worker.process import run_worker

    run_worker()


_COMMANDS = (
    (demo, "blockseg demo --out demo_results"),
    (annotate, "blockseg annotate cells.blockseg"),
    (new, "blockseg new cells.blockseg --images photos --classes background,cell --block 16"),
    (simulate, "blockseg simulate cells.blockseg --masks truth --fraction 0.1"),
    (spectrum, "blockseg spectrum cells.blockseg --report report"),
    (train, "blockseg train cells.blockseg --minutes 20"),
    (analyse, "blockseg analyse cells.blockseg/models/run-1 cells.blockseg --report report"),
    (truncate, "blockseg truncate run-1 cells.blockseg --decoder-stride 8 --out run-1-at-8"),
    (predict, "blockseg predict cells.blockseg/models/run-1 photos --out masks"),
    (suggest, "blockseg suggest cells.blockseg/models/run-1 cells.blockseg --count 20"),
    (effort, "blockseg effort cells.blockseg --csv effort.csv"),
    (evaluate, "blockseg evaluate --predictions masks --masks truth --json scores.json"),
    (cost, "blockseg cost --form paper --combinations"),
    (export, "blockseg export cells.blockseg/models/run-1 --format onnx --out cells.onnx"),
    (worker, """echo '{"id": 0, "type": "hello", "protocol": 1}' | blockseg worker"""),
)

#: Of commands that need some of their options.
_OPTIONS = {
    "new": "--images DIR|FILE... (--classes A,B,C | --classes-json FILE) [OPTIONS]",
}


def register(app: typer.Typer) -> None:
    """Add every command to the app."""
    for command, example in _COMMANDS:
        # Brackets would be read as markup.
        epilog = f"Example: {example}".replace("[", r"\[")
        options = _OPTIONS.get(command.__name__, "[OPTIONS]")
        app.command(cls=Command, options_metavar=options, epilog=epilog)(command)
