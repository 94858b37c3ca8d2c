"""The decoder stride that a training takes: given, kept, or chosen from labels and models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_blockseg.core.advice import (
    MIN_STEPS,
    Grids,
    choose_grids,
    choose_stride,
    energy_strides,
    kept_choice,
    known_costs,
    label_energy,
    measured_losses,
    only_choice,
    possible_grids,
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

    @property
    def input_scale(self) -> float:
        """Side of its input as a share of that at the working scale it was chosen at."""
        return 1.0 if self.stored is None else self.stored.input_scale


def resumed_stride(network: NetworkConfig, config: TrainConfig, out: Path) -> Settled:
    """Return the network of a run that goes on at the stride it has."""
    said = kept_choice(network.stride, config.stride_tolerance, out.name, resumed=True)
    try:
        stored = load_spec(out).stride_choice
    except (ModelError, OSError):
        stored = None
    return Settled(network, said, stored)


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
    if network.network in ("deeplabv3", "linear"):
        return _chosen(network, only_choice(network.stride, tolerance, network.network))
    scale = data.grid.scale
    found = _first_analysis([init] if init else known_models, network, class_names, scale)
    if config.auto_grids == "all":
        return _all_grids(network, config, data, len(class_names), found)
    strides = [one for one in STRIDES if one <= network.output_stride]
    energy = label_energy(data.label_values(), len(class_names), data.block, scale, strides)
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


def _all_grids(
    network: NetworkConfig,
    config: TrainConfig,
    data: Dataset,
    n_classes: int,
    found: Analysis | None,
) -> Settled:
    """Return the network with all its grids chosen."""
    scale, way = data.grid.scale, network.truncation
    grids = possible_grids(
        network.output_stride,
        # Blocks stay whole working pixels, or working pixels whole blocks.
        may_halve=data.grid.side == 1 or data.grid.side % 2 == 0,
        may_lack_decoder=network.network == "deeplabv3plus" and network.form != "smp",
    )
    energy = label_energy(data.label_values(), n_classes, data.block, scale, energy_strides(grids))
    choice = choose_grids(
        energy,
        config.stride_tolerance,
        grids,
        _time_shares(network, grids, n_classes) if energy.enough else {},
        block=data.block,
        scale=scale,
        way=way,
        measured=measured_losses(found, energy, way) if found else None,
        model=found.model if found else "",
    )
    return _chosen(network, choice)


def _time_shares(
    network: NetworkConfig, grids: Sequence[Grids], n_classes: int
) -> dict[Grids, float]:
    """Return the predicted time of grids as a share of that of the first."""
    # Few trainings ask for it, and it takes a while to import.
    from napari_blockseg.nets.cost_shares import predicted_seconds

    seconds: dict[Grids, float] = {}
    for plain in dict.fromkeys(replace(one, input_scale=1.0) for one in grids):
        scales = [one.input_scale for one in grids if replace(one, input_scale=1.0) == plain]
        found = predicted_seconds(_on_grids(network, plain), scales, n_classes)
        seconds |= {
            replace(plain, input_scale=scale): one for scale, one in zip(scales, found, strict=True)
        }
    return {one: value / seconds[grids[0]] for one, value in seconds.items()}


def _on_grids(network: NetworkConfig, grids: Grids) -> NetworkConfig:
    changed: dict[str, object] = {
        "decoder_stride": grids.decoder_stride,
        "output_stride": grids.output_stride,
    }
    if not grids.decoder:
        changed["network"] = "deeplabv3"
    return NetworkConfig(**network.model_dump() | changed)


def _chosen(network: NetworkConfig, choice: StrideChoice) -> Settled:
    if choice.output_stride is not None:
        chosen = Grids(
            choice.input_scale, choice.output_stride, choice.stride, decoder=choice.decoder
        )
        return Settled(_on_grids(network, chosen), choice, choice)
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
    return network.outright().model_dump(exclude={"decoder_stride", "weights"})
