"""A model in the form that predicts fastest where it runs."""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_blockseg.core.config import Engine
from napari_blockseg.core.errors import ModelError
from napari_blockseg.learn.checkpoint import Model
from napari_blockseg.learn.export import INPUT, LOGITS, session, write_graph
from napari_blockseg.nets.folding import fold_batch_norm
from napari_blockseg.nets.network import Network

#: Pixels at working scale from which ONNX Runtime has earned what its start costs: writing the
#: graph takes about a second, and it saves a quarter of a second a megapixel on one thread.
WORTH_ONNX = 5e6
_TRACED_SIZE = 96


class OnnxNetwork(Network):
    """A network whose logits ONNX Runtime computes, on the CPU.

    Parameters
    ----------
    network : Network
        On the CPU, in eval mode.

    Raises
    ------
    ModelError
        If onnxruntime is not installed or the network cannot be written as ONNX.
    """

    memory_format = torch.contiguous_format

    def __init__(self, network: Network) -> None:
        super().__init__(
            network.encoder,
            network.decoder,
            network.decoder_stride,
            network.halo,
            network.align_corners,
            network.logits_stride,
        )
        self._session = _session_of(network)

    def coarse_logits(self, images: Tensor) -> Tensor:
        """Return logits on the decoder's grid, as :meth:`Network.coarse_logits` does.

        Raises
        ------
        MemoryError
            If there is not enough of it.
        """
        try:
            found = self._session.run([LOGITS], {INPUT: images.contiguous().numpy()})[0]
        except Exception as error:
            # Its exceptions have no class of their own for this.
            if "allocat" in str(error).lower():
                raise MemoryError(str(error)) from error
            raise
        return torch.from_numpy(found)


def for_prediction(model: Model, engine: Engine = "auto", pixels: float = 0.0) -> Model:
    """Return a model that gives the same predictions, up to float rounding, in less time.

    Parameters
    ----------
    model : Model
        As loaded; it is not changed.
    engine : {"auto", "torch", "onnx"}
        What computes. "auto" takes ONNX Runtime where it wins: on the CPU, when it is installed,
        for work of at least `WORTH_ONNX`.
    pixels : float
        How much there is to predict, in pixels at working scale.

    Returns
    -------
    Model
        Its network has no batch norm any more: for prediction only.

    Raises
    ------
    ModelError
        If "onnx" was asked for and cannot be had.

    Notes
    -----
    Precision goes by device (:func:`napari_blockseg.learn.devices.mixed_precision`): half on CUDA,
    float32 elsewhere.
    """
    if engine == "onnx" and model.device.type != "cpu":
        raise ModelError(
            f"Got engine 'onnx' on {model.device}; here ONNX Runtime runs on the CPU. Use "
            "--device cpu, or leave --engine out."
        )
    folded = fold_batch_norm(model.network, model.spec.n_channels)
    folded.to(memory_format=torch.channels_last)
    if engine == "onnx":
        return replace(model, network=OnnxNetwork(folded))
    if engine == "auto" and pixels >= WORTH_ONNX and _onnx_can_run(model.device):
        try:
            return replace(model, network=OnnxNetwork(folded))
        except ModelError:
            # A part of this network is not in ONNX; torch runs it.
            pass
    return replace(model, network=folded)


class ReadyModel:
    """A model that is asked for predictions again and again, as previews do.

    ONNX Runtime's start is paid once all that was asked for is worth it, so that the first previews
    do not wait for it and a large image does not go without.

    Parameters
    ----------
    model : Model
        As loaded.
    kept : bool
        Whether it will be asked again. Otherwise little work is done with the model as it is:
        getting ready would take longer.
    """

    def __init__(self, model: Model, kept: bool = True) -> None:
        self._model, self._kept = model, kept
        self._asked = 0.0
        self._ready: tuple[str, Model] | None = None

    def for_pixels(self, pixels: float, engine: Engine = "auto") -> Model:
        """Return the model for so many more pixels of images, ready to predict.

        Raises
        ------
        ModelError
            As :func:`for_prediction`.
        """
        self._asked += pixels * self._model.spec.grid.scale**2
        much = engine == "auto" and self._asked >= WORTH_ONNX
        if engine == "auto" and not much and not self._kept:
            return self._model
        wanted = "auto, much" if much else "torch" if engine == "auto" else engine
        if self._ready is None or self._ready[0] != wanted:
            self._ready = None  # never two of them in memory
            self._ready = wanted, for_prediction(self._model, engine, self._asked)
        return self._ready[1]


def engine_name(model: Model) -> str:
    """Return what computes: "onnx" or "torch"."""
    return "onnx" if isinstance(model.network, OnnxNetwork) else "torch"


def _onnx_can_run(device: torch.device) -> bool:
    found = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    return device.type == "cpu" and found


class _Coarse(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.coarse_logits(images)


def _session_of(network: Network) -> Any:
    size = _TRACED_SIZE + 1
    example = torch.rand(2, network.encoder.n_channels, size, size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coarse.onnx"
        write_graph(_Coarse(network), example, path, [LOGITS])
        return session(path)
