"""Saved models: ``model.safetensors`` with the weights, ``model.json`` with all else.

The weights' file holds a copy of all else in its metadata (``spec``), and ``model.json`` the
digest of that copy (``saved``): two files cannot be replaced at once, and this tells whether they
were saved together. Where they were not, the copy beside the weights is the one that fits them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_blockseg.core.atomic import json_text, replacing, write_json
from napari_blockseg.core.classes import ClassInfo
from napari_blockseg.core.config import NetworkConfig, TrainConfig
from napari_blockseg.core.errors import ModelError
from napari_blockseg.core.normalize import Normalization
from napari_blockseg.core.stride_choice import StrideChoice
from napari_blockseg.learn.data import WorkingGrid
from napari_blockseg.learn.devices import pick_device
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.network import Network
from napari_blockseg.nets.truncation import fit_ways

FORMAT_VERSION = 1
#: What networks were before a model said so.
OLDER_NETWORK = {"truncation": "area", "shortcut": False}
WEIGHTS_FILE = "model.safetensors"
SPEC_FILE = "model.json"
_SPEC_KEY, _DIGEST_KEY = "spec", "saved"
#: Not copied: runs that can be repeated give the same file of weights, byte by byte.
_NOT_BESIDE_WEIGHTS = ("seconds",)


class ModelSpec(BaseModel):
    """Everything but the weights.

    ``block`` is the block size (pixels) it was trained on, ``scale`` the working scale that came
    of it; both set the geometry of prediction. ``stride_choice`` says why it has its decoder
    stride (None: it was given); ``truncated_from`` is the stride that its weights were trained
    at, where its decoder was cut afterwards.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal["blockseg-model"] = "blockseg-model"
    format_version: int = FORMAT_VERSION
    classes: tuple[ClassInfo, ...]
    network: NetworkConfig
    train: TrainConfig
    normalization: Normalization
    n_channels: int
    block: int
    scale: float
    steps: int = 0
    seconds: float = 0.0
    n_labelled_blocks: int = 0
    val_miou: float | None = None
    val_iou: dict[str, float | None] = {}
    val_pixel_accuracy: float | None = None
    versions: dict[str, str] = {}
    stride_choice: StrideChoice | None = None
    truncated_from: int | None = None

    @field_validator("network", mode="before")
    @classmethod
    def _older_models_said_less(cls, value: Any) -> Any:
        return OLDER_NETWORK | value if isinstance(value, dict) else value

    @property
    def grid(self) -> WorkingGrid:
        """How image pixels become working pixels."""
        return WorkingGrid.for_scale(self.block, self.scale)


@dataclass(frozen=True)
class Model:
    """A network that is ready to predict, with its spec and device."""

    spec: ModelSpec
    network: Network
    device: torch.device


def library_versions() -> dict[str, str]:
    """Return the versions that a model's numbers depend on."""
    names = ("napari-blockseg", "torch", "torchvision", "timm", "numpy")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def save_model(folder: Path, spec: ModelSpec, weights: Mapping[str, Tensor]) -> None:
    """Write a model; a reader gets the old one or the new one, whole, whenever it breaks off."""
    values = spec.model_dump(mode="json")
    text = json_text({key: values[key] for key in values if key not in _NOT_BESIDE_WEIGHTS})
    save_tensors(folder / WEIGHTS_FILE, weights, {_SPEC_KEY: text})
    write_json(folder / SPEC_FILE, values | {_DIGEST_KEY: _digest(text)})


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors atomically as safetensors."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(plain, temporary, metadata=metadata)


def load_model(path: Path | str, device: str = "auto") -> Model:
    """Load a model.

    Parameters
    ----------
    path : path
        The model's folder, or a file in it.
    device : {"auto", "cpu", "cuda", "mps"}
        Where it will run.

    Raises
    ------
    ModelError
        If files are missing, damaged, from a newer version, or do not belong together.
    """
    folder = model_folder(path)
    spec, weights = _read_model(folder)
    network = build_network(
        spec.network.model_copy(update={"weights": "none"}), len(spec.classes), spec.n_channels
    )
    load_weights(network, weights, str(folder / WEIGHTS_FILE))
    target = pick_device(device)
    network.to(device=target, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Model(spec, network, target)


def model_folder(path: Path | str) -> Path:
    """Return the folder of a model given by folder or file."""
    path = Path(path)
    folder = path.parent if path.is_file() else path
    missing = [name for name in (SPEC_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"Got model {str(path)!r}; expected a folder with {SPEC_FILE} and {WEIGHTS_FILE}, "
            f"found no {' and no '.join(missing)}. Train one, or give the folder of a run."
        )
    return folder


def load_spec(folder: Path) -> ModelSpec:
    """Read all but the weights: ``model.json``, or what is saved beside weights that are newer.

    Raises
    ------
    ModelError
        If it is damaged or from a newer version.
    """
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        metadata = {}  # whoever wants the weights will say so
    return _spec_of(folder, metadata)


def _spec_of(folder: Path, metadata: Mapping[str, str]) -> ModelSpec:
    """Return the spec that belongs to the weights with this metadata."""
    path = folder / SPEC_FILE
    try:
        values: Any = json.loads(path.read_text("utf-8"))
        beside = metadata.get(_SPEC_KEY)
        # Without a digest it is of an earlier version, or somebody wrote it: it is believed.
        if beside and values.get(_DIGEST_KEY, _digest(beside)) != _digest(beside):
            kept = {key: values[key] for key in _NOT_BESIDE_WEIGHTS if key in values}
            values = kept | json.loads(beside)
        version = values.get("format_version", 0)
        if version > FORMAT_VERSION:
            raise ModelError(
                f"{path} has format version {version}; this napari-blockseg reads up to "
                f"{FORMAT_VERSION}. Update it: pip install -U napari-blockseg."
            )
        return ModelSpec.model_validate(values)
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, ValidationError) as error:
        raise ModelError(
            f"{path} is damaged ({type(error).__name__}); train again, or copy the model anew."
        ) from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_model(folder: Path) -> tuple[ModelSpec, dict[str, Tensor]]:
    """Read spec and weights that were saved together, also while another process saves."""
    weights, metadata = _read_tensors(folder / WEIGHTS_FILE)
    return _spec_of(folder, metadata), weights


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file whole, without mapping it into memory.

    Raises
    ------
    ModelError
        If it is damaged.
    """
    return _read_tensors(path)[0]


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            # A mapped file could not be replaced on Windows; a clone is our own memory.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is damaged ({error}); train again, or copy the model anew."
        ) from error


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load weights that must fit exactly.

    Raises
    ------
    ModelError
        If names or shapes differ.
    """
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise ModelError(
            f"{source} does not fit the network that {SPEC_FILE} describes; the two files do not "
            "belong together. Copy the model anew."
        ) from error


def load_initial_weights(
    network: Network, classes: Sequence[ClassInfo], n_channels: int, path: Path
) -> str:
    """Start a network from a saved model: all of it, or all but classes that are new.

    Logits are matched by class NAME; new classes start fresh.

    Returns
    -------
    str
        What was taken over, for the user.

    Raises
    ------
    ModelError
        If encoder, form or channels differ.
    """
    folder = model_folder(path)
    spec, weights = _read_model(folder)
    given = fit_ways(weights, network)
    if spec.n_channels != n_channels:
        raise ModelError(
            f"Got --init {str(path)!r}, a model for {spec.n_channels} channel(s); these images "
            f"have {n_channels}. Start from one for images like these."
        )
    own = network.state_dict()
    old_names = [info.name for info in spec.classes]
    matches = [
        (new, old_names.index(info.name))
        for new, info in enumerate(classes)
        if info.name in old_names
    ]
    for key in [key for key in own if key.startswith("shortcut.")]:
        given.setdefault(key, own[key])  # of a model without one it is zero: nothing is added
    for key in [key for key in own if key.startswith(("decoder.head.", "shortcut."))]:
        if key in given and given[key].shape[1:] == own[key].shape[1:]:
            merged = own[key].clone()
            for new, old in matches:
                merged[new] = given[key][old]
            given[key] = merged
    misfits = [k for k in own if k not in given or given[k].shape != own[k].shape]
    beyond = [k for k in given if k not in own]
    if beyond and not misfits and all(key.startswith("shortcut.") for key in beyond):
        raise ModelError(
            f"Got --init {str(path)!r}, a network with a shortcut, for one without: half of what "
            "it says would be lost. Leave --no-shortcut out, or leave --init out."
        )
    if misfits or beyond:
        raise ModelError(
            f"Got --init {str(path)!r}, a {spec.network.form} {spec.network.network} on "
            f"{spec.network.encoder}; its weights do not fit the network asked for. Use the same "
            "network, form and encoder, or leave --init out."
        )
    network.load_state_dict(given)
    return f"Started from {path}: {len(matches)} of {len(classes)} classes known to it."
