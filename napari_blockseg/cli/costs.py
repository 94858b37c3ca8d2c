"""``blockseg cost``: what each decoder stride costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_blockseg.cli.console import number, save_json, say, table
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.core.config import NetworkConfig


def cost(
    network: Annotated[str | None, config_option(NetworkConfig, "network")] = None,
    form: Annotated[str | None, config_option(NetworkConfig, "form")] = None,
    encoder: Annotated[str | None, config_option(NetworkConfig, "encoder")] = None,
    output_stride: Annotated[int | None, config_option(NetworkConfig, "output_stride")] = None,
    size: Annotated[
        int, typer.Option("--size", min=32, max=8192, metavar="N", help="Side of the input.")
    ] = 512,
    json: JsonFile = None,
) -> None:
    """Count multiply-adds, parameters, memory and time for each decoder stride."""
    config = config_from_options(
        NetworkConfig,
        network=network,
        form=form,
        encoder=encoder,
        output_stride=output_stride,
        weights="none",
    )
    from napari_blockseg.nets.cost import count_cost

    result = count_cost(config, size)
    say(describe(result, size))
    save_json(None if json is None else Path(json), result)


def describe(result: dict[str, Any], size: int) -> str:
    """Return the costs as text."""
    alone = result["encoder_only"]
    rows = [["encoder only", "", _giga(alone["macs"]), "", number(alone["seconds"]), ""]]
    for row in result["strides"]:
        rows.append(
            [
                f"decoder stride {row['stride']}",
                str(row["cells"]),
                _giga(row["macs"]),
                f"{row['params'] / 1e6:.2f}",
                number(row["seconds"]),
                number(row["peak_mib"], 0),
            ]
        )
    header = ["", "cells", "G multiply-adds", "M parameters", "seconds", "peak MiB"]
    return "\n".join([f"One image of {size} x {size} pixels:", table(header, rows)])


def _giga(macs: float | None) -> str:
    return number(None if macs is None else macs / 1e9, 2)
