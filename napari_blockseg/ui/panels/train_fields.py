"""Which settings the Train panel shows, at once or under "More", and what it suggests."""

from __future__ import annotations

NETWORK = ("network", "encoder", "decoder_stride")
NETWORK_MORE = (
    "form",
    "weights",
    "output_stride",
    "truncation",
    "truncate_aspp",
    "image_pooling",
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
