"""``blockseg cost``: what each decoder stride costs, and what else could be cut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_blockseg.cli.console import number, save_json, say, table
from napari_blockseg.cli.options import JsonFile, config_from_options, config_option
from napari_blockseg.core.config import NetworkConfig

Row = dict[str, Any]

_FEW = 4

_COUNTED = ("G multiply-adds", "GB moved", "M parameters", "peak MiB")
_TIMED = ("seconds", "x encoder", "predicted s")


def cost(
    network: Annotated[str | None, config_option(NetworkConfig, "network")] = None,
    form: Annotated[str | None, config_option(NetworkConfig, "form")] = None,
    encoder: Annotated[str | None, config_option(NetworkConfig, "encoder")] = None,
    output_stride: Annotated[int | None, config_option(NetworkConfig, "output_stride")] = None,
    truncation: Annotated[str | None, config_option(NetworkConfig, "truncation")] = None,
    truncate_aspp: Annotated[bool | None, config_option(NetworkConfig, "truncate_aspp")] = None,
    combinations: Annotated[
        bool,
        typer.Option(
            "--combinations",
            help="List input scales, output strides and decoder strides that go together, without "
            "those that another one beats; --output-stride keeps those of one.",
        ),
    ] = False,
    seconds: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure and predict the time, or only count.")
    ] = True,
    size: Annotated[
        int, typer.Option("--size", min=32, max=8192, metavar="N", help="Side of the image.")
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
        truncation=truncation,
        truncate_aspp=truncate_aspp,
        weights="none",
    )
    if combinations:
        from napari_blockseg.nets.combinations import OUTPUT_STRIDES
        from napari_blockseg.nets.cost_combinations import count_combinations

        if seconds:
            say("Every combination is timed: about a minute. --no-time only counts.")
        kept = OUTPUT_STRIDES if output_stride is None else (config.output_stride,)
        result = count_combinations(config, size, seconds, output_strides=kept)
        say(describe_combinations(result, size))
    else:
        from napari_blockseg.nets.cost import count_cost

        result = count_cost(config, size, seconds)
        say(describe(result, size))
    save_json(None if json is None else Path(json), result)


def describe(result: dict[str, Any], size: int) -> str:
    """Return the costs of all decoder strides as text."""
    alone = result["encoder_only"]
    rows = [["encoder only", "", *_numbers(alone, alone)]]
    for row in result["strides"]:
        rows.append([f"decoder stride {row['stride']}", str(row["cells"]), *_numbers(row, alone)])
    header = ["", "cells", *_columns(result)]
    lines = [f"One image of {size} x {size} pixels, batch norm folded:", table(header, rows)]
    if result["model"] is not None:
        lines += ["", _about(result["model"], [alone, *result["strides"]], "strides ")]
    return "\n".join(lines)


def describe_combinations(result: dict[str, Any], size: int) -> str:
    """Return the costs of all combinations as text."""
    alone, listed = result["encoder_only"], result["combinations"]
    rows = [["encoder only", *[""] * 5, *_numbers(alone, alone)]]
    for place, row in enumerate(listed, start=1):
        cells = [f"{row[key]:g}" for key in ("cell", "encoder_cell")]
        strides = [str(row["output_stride"]), str(row["decoder_stride"])]
        share = f"{row['share']:.0%}"
        name = f"{place}. input x {row['input_scale']:g}"
        rows.append([name, *strides, *cells, share, *_numbers(row, alone)])
    header = ["", "output stride", "decoder stride", "cell", "encoder cell", "share"]
    header += _columns(result)
    lines = [
        f"One image of {size} x {size} pixels to logits at its size, batch norm folded.",
        "Strides are pixels of the network's input to a cell; cell and encoder cell are pixels of "
        "the IMAGE to a cell of the decoder's grid and of the encoder's last one. Share: of the "
        "multiply-adds of output stride 16, the finest decoder stride, the image as it is.",
        table(header, rows),
    ]
    if result["model"] is not None:
        # By number in the list, as they are called in the table.
        model = result["model"] | {
            key: [place + 1 for place in result["model"][key]]
            for key in ("fitted_on", "checked_on")
        }
        lines += ["", _about(model, [alone, *listed], "numbers ")]
    return "\n".join(lines)


def _columns(result: dict[str, Any]) -> tuple[str, ...]:
    return _COUNTED if result["model"] is None else (*_COUNTED, *_TIMED)


def _numbers(row: Row, alone: Row) -> list[str]:
    counted = [
        _giga(row["macs"]),
        _giga(row["bytes"]),
        f"{row['params'] / 1e6:.2f}",
        number(row["peak_mib"], 0),
    ]
    if row["seconds"] is None:
        return counted
    share = row["seconds"] / alone["seconds"]
    return [
        *counted,
        number(row["seconds"]),
        number(share, 2),
        number(row["predicted_seconds"]),
    ]


def _about(model: dict[str, Any], rows: list[Row], what: str) -> str:
    """Return how the times were taken and how good the prediction is."""
    noise = max(row["noise"] for row in rows)
    fitted, checked = (_listed(model[key]) for key in ("fitted_on", "checked_on"))
    told = (
        f"Seconds: shortest {model['clock']} time on {model['threads']} thread(s), in turns; half "
        f"of the runs lie within {noise:.0%}. Predicted layer by layer from multiply-adds and "
        f"bytes, fitted on {what}{fitted}"
    )
    if not checked:
        return told + "; there is no other one to check it on."
    where = checked if len(model["checked_on"]) <= _FEW else "the others"
    return told + f"; on {where} it is off by at most {model['worst_error']:.0%}."


def _listed(numbers: list[int]) -> str:
    words = [str(one) for one in numbers]
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _giga(macs: float | None) -> str:
    return number(None if macs is None else macs / 1e9, 2)
