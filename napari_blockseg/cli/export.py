"""``blockseg export``: a trained model as one file that other programs run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_blockseg.cli.console import save_json, say
from napari_blockseg.cli.options import JsonFile
from napari_blockseg.cli.outputs import file_to_write

FORMATS = ("onnx",)


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder of a trained model.")],
    out: Annotated[
        str,
        typer.Option("--out", metavar="FILE", help="The file to write.", callback=file_to_write),
    ],
    form: Annotated[
        str, typer.Option("--format", metavar="onnx", help="Of the file; there is one for now.")
    ] = "onnx",
    softmax: Annotated[
        bool, typer.Option("--softmax", help="Add the class probabilities as a second output.")
    ] = False,
    json: JsonFile = None,
) -> None:
    """Write a model for other programs, and check that it gives the same there.

    The file takes images of any size and says in its metadata which classes, normalization and
    working scale it goes with. Needs the extra: pip install 'napari-blockseg[onnx]'.
    """
    if form not in FORMATS:
        raise typer.BadParameter(f"Got format {form!r}; expected {', '.join(FORMATS)}.")
    from napari_blockseg.learn.checkpoint import load_model
    from napari_blockseg.learn.export import export_onnx

    done = export_onnx(load_model(Path(model), device="cpu"), Path(out), softmax)
    size = done.path.stat().st_size
    say(
        f"Wrote {out} ({size / 2**20:.1f} MiB). In ONNX Runtime its logits differ from torch's by "
        f"at most {done.max_difference:.1g} (largest logit {done.max_logit:.2g})."
    )
    result = {
        "path": str(done.path),
        "format": form,
        "bytes": size,
        "outputs": list(done.outputs),
        "metadata": done.metadata,
        "max_difference": done.max_difference,
        "max_logit": done.max_logit,
    }
    save_json(None if json is None else Path(json), result)
