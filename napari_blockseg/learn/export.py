"""A trained network as an ONNX file that other programs can run, with all they need to know."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_blockseg.core.atomic import json_text, replacing
from napari_blockseg.core.errors import ModelError
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.nets.network import MULTIPLE, Network

FORMAT_VERSION = 1
#: The oldest set of operators that holds all we need; every ONNX Runtime of the extra reads it.
OPSET = 17
INPUT, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
#: Largest difference from torch, relative to the largest logit, before a file is refused.
TOLERANCE = 1e-4
#: (images, rows, cols): two images at once, odd sizes, and one that needs no padding.
CHECKED_SIZES = ((2, 45, 71), (1, 64, 96))
# Neither side a multiple of 32: the graph must hold the padding, which the network skips when
# there is nothing to pad. Large enough that no feature map is a single cell.
_TRACED_SIZE = (2, 75, 101)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : Path
        The ONNX file.
    outputs : tuple of str
        Its outputs.
    metadata : dict
        What it says about itself, as values (the file holds them as JSON).
    max_difference : float
        Largest absolute difference of its logits from torch's, over `CHECKED_SIZES`.
    max_logit : float
        Largest absolute logit there, to judge the difference by.
    """

    path: Path
    outputs: tuple[str, ...]
    metadata: dict[str, Any]
    max_difference: float
    max_logit: float


def export_onnx(model: Model, path: Path, softmax: bool = False) -> Exported:
    """Write a model as an ONNX file and check it against torch in ONNX Runtime.

    Parameters
    ----------
    model : Model
        On the CPU.
    path : Path
        The file to create or replace.
    softmax : bool
        Whether a second output, ``probabilities``, is the softmax of the logits over classes.

    Returns
    -------
    Exported
        With the difference that was measured.

    Raises
    ------
    ModelError
        If onnx or onnxruntime are not installed, the network holds an operation that ONNX does
        not have, or the file gives other logits than torch; then nothing is written.

    Notes
    -----
    Input ``images``: (n, channels, rows, cols) float32, raw values made 0..1 as the key
    ``normalization`` says, at working scale; any n, rows and cols. Output ``logits``: (n, classes,
    rows, cols) float32. Padding to multiples of 32 and the encoder's own mean and standard
    deviation are inside the graph. Keys of the metadata: see :func:`onnx_metadata`.
    """
    onnx, _ = needed_packages()
    metadata = onnx_metadata(model) | {"outputs": _outputs(softmax)}
    with replacing(path) as temporary:
        _trace(model.network, temporary, softmax, model.spec.n_channels)
        graph = onnx.load(str(temporary))
        onnx.helper.set_model_props(graph, {k: json_text(v) for k, v in metadata.items()})
        onnx.checker.check_model(graph, full_check=True)
        onnx.save(graph, str(temporary))
        difference, largest = _compare(model, temporary)
        if not difference <= TOLERANCE * max(1.0, largest):
            raise ModelError(
                f"The ONNX file gives other logits than torch (by {difference:.2g}, the largest is "
                f"{largest:.2g}), so it was not written. Please report this with "
                f"the model's network and encoder: {model.spec.network.network}, "
                f"{model.spec.network.encoder}."
            )
    return Exported(path, _outputs(softmax), metadata, difference, largest)


def needed_packages() -> tuple[Any, Any]:
    """Return the modules onnx and onnxruntime.

    Raises
    ------
    ModelError
        If one of them is not installed.
    """
    found, missing = [], []
    for name in ("onnx", "onnxruntime"):
        try:
            found.append(importlib.import_module(name))
        except ModuleNotFoundError:
            missing.append(name)
    if missing:
        raise ModelError(
            f"Export to ONNX needs {' and '.join(missing)}, not installed here. Install the extra: "
            "pip install 'napari-blockseg[onnx]'."
        )
    return found[0], found[1]


def onnx_metadata(model: Model) -> dict[str, Any]:
    """Return what the file says about itself; each value is stored as JSON under its key.

    Returns
    -------
    dict
        ``blockseg_format``: version of these keys, 1. ``classes``: value, name, color and
        export_id, in the order of the logits' channels. ``normalization``: kind, low, high (see
        :class:`~napari_blockseg.core.normalize.Normalization`). ``n_channels``. ``scale``:
        working pixels per image pixel; the image is shrunk by it (antialiased) before it goes in.
        ``working_grid``: unit (image pixels) and side (working pixels): images are continued by
        their last row and column to whole units before they are shrunk. ``block``: block size of
        the labels it was trained on, in image pixels. ``decoder_stride``, ``logits_stride``,
        ``output_stride``, ``halo``: in working pixels; a tile needs `halo` pixels around the part
        that is kept.
        ``multiple``: 32, where tiles have to start. ``network``: its config. ``versions``.
    """
    spec, network = model.spec, model.network
    return {
        "blockseg_format": FORMAT_VERSION,
        "classes": [
            {"value": c.value, "name": c.name, "color": list(c.color), "export_id": c.export_id}
            for c in spec.classes
        ],
        "normalization": spec.normalization.model_dump(mode="json"),
        "n_channels": spec.n_channels,
        "scale": spec.grid.scale,
        "working_grid": {"unit": spec.grid.unit, "side": spec.grid.side},
        "block": spec.block,
        "decoder_stride": network.decoder_stride,
        "logits_stride": network.logits_stride,
        "output_stride": network.output_stride,
        "halo": network.halo,
        "multiple": MULTIPLE,
        "network": spec.network.model_dump(mode="json"),
        "versions": spec.versions,
    }


class _WithProbabilities(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(images)
        return logits, logits.softmax(1)


def _outputs(softmax: bool) -> tuple[str, ...]:
    return (LOGITS, PROBABILITIES) if softmax else (LOGITS,)


def _trace(network: Network, path: Path, softmax: bool, n_channels: int) -> None:
    names = _outputs(softmax)
    n, rows, cols = _TRACED_SIZE
    write_graph(
        _WithProbabilities(network) if softmax else network,
        torch.rand(n, n_channels, rows, cols),
        path,
        names,
    )


def write_graph(module: nn.Module, example: Tensor, path: Path, outputs: Sequence[str]) -> None:
    """Write a module in eval mode as ONNX, with n, rows and cols free in input and outputs.

    Parameters
    ----------
    module : nn.Module
        From (n, channels, rows, cols) to one or more tensors of four axes.
    example : Tensor
        An input; branches of the module are fixed as this one takes them.
    path : Path
        Where it goes.
    outputs : sequence of str
        Their names.

    Raises
    ------
    ModelError
        If the module holds an operation that ONNX does not have.
    """
    free = {0: "n", 2: "rows", 3: "cols"}
    free_out = {name: {0: "n", 2: f"{name}_rows", 3: f"{name}_cols"} for name in outputs}
    with warnings.catch_warnings():
        # The tracer warns of each `if` on a shape, the exporter that there is a newer one; what
        # counts is checked by running the file.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                input_names=[INPUT],
                output_names=list(outputs),
                dynamic_axes={INPUT: free, **free_out},
                opset_version=OPSET,
                dynamo=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(
                f"This network cannot be written as ONNX: {str(error).splitlines()[0]} Train one "
                "without that part (the ideal low-pass, an FFT, is such a part)."
            ) from error


def session(path: Path | str, threads: int | None = None) -> Any:
    """Return an ONNX Runtime session on the CPU, with as many threads as torch has by default."""
    _, runtime = needed_packages()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads() if threads is None else threads
    # Threads that spin while they wait take the core from whoever else works on this machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _compare(model: Model, path: Path) -> tuple[float, float]:
    """Return the largest difference of logits between the file and torch, and the largest logit."""
    runner = session(path)
    differences, largest = [], []
    values = np.random.default_rng(0)
    for n, rows, cols in CHECKED_SIZES:
        images = values.random((n, model.spec.n_channels, rows, cols), np.float32)
        found: NDArray[np.float32] = runner.run([LOGITS], {INPUT: images})[0]
        with torch.inference_mode():
            expected = model.network(torch.from_numpy(images)).numpy()
        if found.shape != expected.shape:
            return float("nan"), float(np.abs(expected).max())
        differences.append(float(np.abs(found - expected).max()))
        largest.append(float(np.abs(expected).max()))
    # max() would let a NaN slip through, depending on its place.
    return float(np.max(differences)), max(largest)
