"""The decoder stride that a training takes: given, kept, or chosen from labels and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_blockseg.core.advice import (
    MIN_STEPS,
    choose_stride,
    kept_choice,
    known_costs,
    label_energy,
    measured_losses,
    only_choice,
)
from napari_blockseg.core.analysis import Analysis, load_analysis
from napari_blockseg.core.config import STRIDES, NetworkConfig, TrainConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.stride_choice import StrideChoice
from napari_blockseg.learn.checkpoint import load_spec, model_folder
from napari_blockseg.learn.dataset import Dataset

_SCALE_EDGE = 1e-6


@dataclass(frozen=True)
class Settled:
    """A network whose decoder stride is a number.

    Attributes
    ----------
    network : NetworkConfig
        The network.
    said : StrideChoice or None
        What the user should know about it; None where the stride was given.
    stored : StrideChoice or None
        What the model keeps: of a run that goes on, the choice of its first start.
    """

    network: NetworkConfig
    said: StrideChoice | None = None
    stored: StrideChoice | None = None


def resumed_stride(network: NetworkConfig, config: TrainConfig, out: Path, stride: int) -> Settled:
    """Return the network of a run that goes on at the stride it has."""
    said = kept_choice(stride, config.stride_tolerance, out.name, resumed=True)
    try:
        stored = load_spec(out).stride_choice
    except (ModelError, OSError):
        stored = None
    return Settled(_with_stride(network, stride), said, stored)


def new_stride(
    network: NetworkConfig,
    config: TrainConfig,
    data: Dataset,
    class_names: Sequence[str],
    init: Path | None = None,
    known_models: Sequence[Path] = (),
) -> Settled:
    """Return the network of a run that begins, at a stride that is given, kept or chosen.

    Parameters
    ----------
    network : NetworkConfig
        What to build. With 'auto' as its default, a run that starts from a model keeps that
        model's stride; where 'auto' was asked for, it chooses anew.
    config : TrainConfig
        Its tolerance.
    data : Dataset
        The labels.
    class_names : sequence of str
        In the order of the logits.
    init : Path, optional
        The model to start from.
    known_models : sequence of Path
        Folders of models of the same project, the newest first; the first that was analysed and
        fits has a say.
    """
    if network.decoder_stride != "auto":
        return Settled(network)
    tolerance = config.stride_tolerance
    if init is not None and "decoder_stride" not in network.model_fields_set:
        stride = load_spec(model_folder(init)).network.stride
        return _chosen(network, kept_choice(stride, tolerance, str(init), resumed=False))
    if network.network == "deeplabv3":
        return _chosen(network, only_choice(network.stride, tolerance, network.network))
    scale = data.grid.scale
    strides = [one for one in STRIDES if one <= network.output_stride]
    energy = label_energy(data.label_values(), len(class_names), data.block, scale, strides)
    found = _first_analysis([init] if init else known_models, network, class_names, scale)
    way = network.truncation
    about = network.network, network.form, network.output_stride
    choice = choose_stride(
        energy,
        tolerance,
        block=data.block,
        scale=scale,
        ways=(way,),
        # Nobody counted networks whose ASPP is truncated too.
        costs=None if network.truncate_aspp else {way: known_costs(*about, way)},
        measured={way: measured_losses(found, energy, way)} if found else None,
        model=found.model if found else "",
    )
    return _chosen(network, choice)


def _chosen(network: NetworkConfig, choice: StrideChoice) -> Settled:
    return Settled(_with_stride(network, choice.stride, choice.way), choice, choice)


def _with_stride(network: NetworkConfig, stride: int, way: str | None = None) -> NetworkConfig:
    changed = {"decoder_stride": stride, "truncation": way or network.truncation}
    return NetworkConfig(**network.model_dump() | changed)


def _first_analysis(
    folders: Sequence[Path], network: NetworkConfig, class_names: Sequence[str], scale: float
) -> Analysis | None:
    for folder in folders:
        try:
            found = load_analysis(folder)
            if found is None:
                continue
            spec = load_spec(model_folder(folder))
        except (ModelError, OSError):
            continue  # of another project's making, or damaged: it is only a hint
        alike = _without_stride(spec.network) == _without_stride(network)
        same_classes = set(found.classes) == set(class_names)
        same_scale = abs(found.scale / scale - 1) < _SCALE_EDGE
        if spec.steps >= MIN_STEPS and alike and same_classes and same_scale:
            return found
    return None


def _without_stride(network: NetworkConfig) -> dict[str, object]:
    return network.model_dump(exclude={"decoder_stride", "weights"})
