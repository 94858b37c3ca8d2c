"""Which settings the Train panel shows, at once or under "More", and what it suggests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NETWORK = ("network", "encoder", "decoder_stride")
NETWORK_MORE = (
    "form",
    "weights",
    "output_stride",
    "truncation",
    "truncate_aspp",
    "image_pooling",
    "shortcut",
)
TRAIN = ("device",)
TRAIN_MORE = (
    "batch_size",
    "crop",
    "scale",
    "learning_rate",
    "weight_decay",
    "loss",
    "gated_crf",
    "pseudo_labels",
    "class_balance",
    "stride_tolerance",
    "auto_grids",
    "augment",
    "orientation",
    "validation",
    "validate_every",
    "checkpoint_seconds",
    "keep_checkpoints",
    "seed",
)
ENCODERS = [
    "tf_efficientnet_lite0",
    "mobilenetv3_large_100",
    "mobilenetv2_100",
    "regnety_004",
    "resnet18",
    "resnet50",
]
SCALES = [("auto", "auto"), ("1", 1.0), ("1/2", 0.5), ("1/4", 0.25), ("1/8", 0.125)]


def settings_words(editors: Mapping[str, Any]) -> str:
    """Return in one line what is trained; what is chosen by itself goes without saying.

    Parameters
    ----------
    editors
        Of the fields, by name: each has a ``value``.

    Examples
    --------
    >>> from types import SimpleNamespace as Editor
    >>> shown = {"network": "dan", "encoder": "resnet18", "decoder_stride": 8, "device": "auto"}
    >>> settings_words({name: Editor(value=value) for name, value in shown.items()})
    'dan, resnet18, stride 8'
    """
    values = {name: editor.value for name, editor in editors.items()}
    words = [str(values["network"]), str(values["encoder"])]
    if values["decoder_stride"] != "auto":
        words.append(f"stride {values['decoder_stride']}")
    if values["device"] != "auto":
        words.append(str(values["device"]))
    return ", ".join(words)
