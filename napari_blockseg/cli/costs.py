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
    rows = [["encoder only", "", *_numbers(alone, alone)]]
    for row in result["strides"]:
        rows.append([f"decoder stride {row['stride']}", str(row["cells"]), *_numbers(row, alone)])
    header = ["", "cells", "G multiply-adds", "GB moved", "M parameters", "peak MiB", "seconds"]
    header += ["x encoder", "predicted"]
    lines = [f"One image of {size} x {size} pixels, batch norm folded:", table(header, rows)]
    if result["model"] is not None:
        lines += ["", _about(result)]
    return "\n".join(lines)


def _numbers(row: dict[str, Any], alone: dict[str, Any]) -> list[str]:
    seconds = row["seconds"]
    return [
        _giga(row["macs"]),
        _giga(row["bytes"]),
        f"{row['params'] / 1e6:.2f}",
        number(row["peak_mib"], 0),
        number(seconds),
        number(None if seconds is None else seconds / alone["seconds"], 2),
        number(row["predicted_seconds"]),
    ]


def _about(result: dict[str, Any]) -> str:
    """Return how the times were taken and how good the prediction is."""
    model = result["model"]
    noise = max(row["noise"] for row in [result["encoder_only"], *result["strides"]])
    fitted, checked = (" and ".join(map(str, model[key])) for key in ("fitted_on", "checked_on"))
    return (
        f"Seconds: median of {model['clock']} time on {model['threads']} thread(s), in turns; half "
        f"of the runs lie within {noise:.0%}. Predicted layer by layer from multiply-adds and "
        f"bytes, fitted on strides {fitted}; on {checked} it is off by at most "
        f"{model['worst_error']:.0%}."
    )


def _giga(macs: float | None) -> str:
    return number(None if macs is None else macs / 1e9, 2)
