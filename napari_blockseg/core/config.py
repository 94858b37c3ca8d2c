"""One config a task: it makes the form, the command line and the checkpoint. Written once."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_blockseg.core.complaints import complaints
from napari_blockseg.core.errors import BlockSegError

STRIDES = (4, 8, 16, 32)
DEFAULT_ENCODER = "tf_efficientnet_lite0"
DEFAULT_STEPS = 1000

C = TypeVar("C", bound="_Config")
Device = Literal["auto", "cpu", "cuda", "mps"]
Engine = Literal["auto", "torch", "onnx"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class NetworkConfig(_Config):
    """What network to build."""

    network: Literal["deeplabv3plus", "deeplabv3", "dan", "linear"] = Field(
        default="deeplabv3plus",
        title="Network",
        description="The architecture: 'deeplabv3' has no decoder, its logits are on the grid of "
        "the encoder's end; 'dan' merges the encoder's stages step by step; 'linear' is one linear "
        "map of all stages, as interactive mode previews with.",
    )
    form: Literal["light", "paper", "smp"] = Field(
        default="light",
        title="Form",
        description="'paper' follows DeepLabV3+ to the letter; 'light' has a separable decoder "
        "and costs little more than its encoder; 'smp' takes the weights of "
        "segmentation_models_pytorch's DeepLabV3Plus, its encoder names included.",
    )
    encoder: str = Field(
        default=DEFAULT_ENCODER,
        title="Encoder",
        description="Name of a timm model that accepts output_stride.",
    )
    weights: str = Field(
        default="imagenet",
        title="Encoder weights",
        description="'imagenet', 'none', or a file of weights.",
    )
    decoder_stride: Literal["auto", 4, 8, 16, 32] = Field(
        default="auto",
        title="Decoder stride",
        description="Pixels per cell of the decoder's grid; 4 is the full grid. 'auto' takes the "
        "largest whose predicted loss, from the labels' spectrum, stays within the stride "
        "tolerance.",
    )
    output_stride: Literal[8, 16, 32] = Field(
        default=16,
        title="Output stride",
        description="Pixels per cell of the encoder's end; 32 truncates its last stage.",
    )
    truncation: Literal["area", "strided", "lowpass", "polyphase"] = Field(
        default="polyphase",
        title="Way down",
        description="How features get to a coarser decoder's grid. 'polyphase': mean of each cell, "
        "with the detail it takes away kept in channels and put back into the logits; 'area': the "
        "mean alone; 'strided': a learned convolution; 'lowpass': the ideal low-pass (a reference; "
        "it cannot be exported).",
    )
    truncate_aspp: bool = Field(
        default=False,
        title="Truncate the ASPP",
        description="Whether DeepLabV3+'s ASPP also works on the decoder's grid, where that is "
        "coarser than its own.",
    )
    image_pooling: bool | None = Field(
        default=None,
        title="Image pooling",
        description="Whether the ASPP looks at the mean of the whole input. By default only in "
        "paper form: with it, tiles and whole images need not agree.",
    )

    shortcut: bool | None = Field(
        default=None,
        title="Shortcut",
        description="Whether a linear map of all the encoder's stages is added to the decoder's "
        "logits; training begins with a quick fit of it. By default in light form only.",
    )

    @field_validator("decoder_stride", mode="before")
    @classmethod
    def _stride_from_text(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @model_validator(mode="after")
    def _smp_is_deeplab(self) -> NetworkConfig:
        if self.form == "smp" and self.network != "deeplabv3plus":
            raise ValueError(f"form 'smp' is one of deeplabv3plus; {self.network} has none")
        return self

    @model_validator(mode="after")
    def _shortcut_is_beside_a_decoder(self) -> NetworkConfig:
        if self.shortcut and (self.network == "linear" or self.form == "smp"):
            what = "network 'linear'" if self.network == "linear" else "form 'smp'"
            raise ValueError(f"{what} has no shortcut; take deeplabv3plus or dan in another form")
        return self

    @model_validator(mode="after")
    def _no_decoder_is_as_coarse_as_the_encoder(self) -> NetworkConfig:
        wanted = self.decoder_stride
        if self.network == "deeplabv3" and wanted != "auto" and wanted < self.output_stride:
            raise ValueError(
                f"deeplabv3 has no decoder: its logits are at the output stride of "
                f"{self.output_stride}, not at {wanted}; take that or deeplabv3plus"
            )
        return self

    @property
    def stride(self) -> int:
        """The decoder stride in pixels; 'auto', where nothing was chosen, is the full grid."""
        stride = 4 if self.decoder_stride == "auto" else self.decoder_stride
        return max(stride, self.output_stride) if self.network == "deeplabv3" else stride

    @property
    def has_shortcut(self) -> bool:
        """Whether the shortcut is built."""
        if self.shortcut is None:
            return self.form == "light" and self.network in ("deeplabv3plus", "dan")
        return self.shortcut

    def outright(self) -> NetworkConfig:
        """Return the same network with its shortcut said outright, to compare it with others."""
        return self.model_copy(update={"shortcut": self.has_shortcut})

    @property
    def pools_image(self) -> bool:
        """Whether the image pooling branch is built."""
        return self.form == "paper" if self.image_pooling is None else self.image_pooling


class TrainConfig(_Config):
    """How to train."""

    steps: int | None = Field(
        default=None, ge=1, title="Steps", description="Stop after this many steps; repeatable."
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        title="Minutes",
        description="Stop after this time instead; the schedule follows the share of it.",
    )
    seed: int = Field(default=0, ge=0, title="Seed", description="Of every random choice.")
    device: Device = Field(
        default="auto", title="Device", description="'auto' takes CUDA, then MPS, then the CPU."
    )
    batch_size: int = Field(default=8, ge=1, le=256, title="Batch", description="Crops a step.")
    crop: int = Field(
        default=256,
        ge=32,
        le=4096,
        multiple_of=32,
        title="Crop",
        description="Side of a crop in pixels at working scale.",
    )
    scale: Literal["auto"] | float = Field(
        default="auto",
        title="Working scale",
        description="Images are shrunk by this before the network. 'auto' makes a block of more "
        "than 8 pixels 8 wide: block labels hold nothing finer.",
    )
    learning_rate: float = Field(
        default=3e-3, gt=0, le=1, title="Learning rate", description="Peak of the one-cycle."
    )
    weight_decay: float = Field(
        default=1e-2, ge=0, le=1, title="Weight decay", description="Of AdamW."
    )
    loss: Literal["block", "pixel", "logits", "soft"] = Field(
        default="block",
        title="Loss",
        description="'block': cross-entropy of the softmax averaged over each block; 'pixel': "
        "cross-entropy of every pixel of a labelled block; 'logits': of the logits averaged over "
        "each block; 'soft': of the class fractions of 2 x 2 blocks.",
    )
    gated_crf: float = Field(
        default=0.0,
        ge=0,
        le=10,
        title="Gated CRF",
        description="Weight of a term that wants pixels of like color to have one class; 0.1 is "
        "usual, 0 leaves it out.",
    )
    pseudo_labels: float = Field(
        default=0.0,
        ge=0,
        le=10,
        title="Pseudo-labels",
        description="Weight of unlabelled blocks that the network is sure of, beside labelled "
        "ones; 1 is usual, 0 leaves them out.",
    )
    class_balance: float = Field(
        default=1.0,
        ge=0,
        le=1,
        title="Class balance",
        description="0: classes weigh what they cover; 1: all classes weigh the same.",
    )
    augment: bool = Field(
        default=True, title="Augment", description="Random flips, turns, scale and intensity."
    )
    stride_tolerance: float = Field(
        default=0.01,
        ge=0,
        le=1,
        title="Stride tolerance",
        description="Share of the mean IoU that decoder stride 'auto' may lose.",
    )
    auto_grids: Literal["decoder", "all"] = Field(
        default="decoder",
        title="Grids of 'auto'",
        description="What decoder stride 'auto' chooses: that alone, or with it, by predicted time "
        "and loss, the output stride, a halved input and whether there is a decoder ('all').",
    )
    orientation: Literal["auto", "any", "upright"] = Field(
        default="auto",
        title="Orientation",
        description="Whether images may be turned and flipped upside down to augment them: 'any' "
        "for samples seen from above, 'upright' for scenes; 'auto' asks the labels.",
    )
    validation: bool = Field(
        default=True, title="Hold out", description="Keep some labelled blocks for validation."
    )
    validate_every: int = Field(
        default=0, ge=0, title="Validate every", description="Steps between; 0 chooses."
    )
    checkpoint_seconds: float = Field(
        default=60.0, ge=1, title="Checkpoint every", description="Seconds between saves."
    )
    keep_checkpoints: bool = Field(
        default=True,
        title="Keep for analysis",
        description="Keep the network as it was at the start and after a tenth of the run, so that "
        "an analysis can show what training did.",
    )

    @field_validator("scale")
    @classmethod
    def _scale_in_range(cls, value: Any) -> Any:
        if value != "auto" and not 0 < value <= 1:
            raise ValueError("working scale must be above 0 and at most 1")
        return value

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give either steps or minutes, not both")
        return self

    @property
    def total_steps(self) -> int | None:
        """Steps to run, or None when time decides."""
        return None if self.minutes is not None else (self.steps or DEFAULT_STEPS)

    def working_scale(self, block: int) -> float:
        """Return the working scale for labels of this block size, in pixels."""
        return min(1.0, 8.0 / block) if self.scale == "auto" else float(self.scale)


class PredictConfig(_Config):
    """How to predict."""

    tile: int = Field(
        default=512,
        ge=64,
        le=8192,
        multiple_of=32,
        title="Tile",
        description="Side of the part of a tile that is kept, in pixels at working scale; the "
        "halo comes on top.",
    )
    halo: int | None = Field(
        default=None,
        ge=0,
        title="Halo",
        description="Pixels of context on each side of a tile; by default what the network needs.",
    )
    batch_size: int = Field(default=1, ge=1, title="Batch", description="Tiles at a time.")
    device: Device = Field(
        default="auto", title="Device", description="'auto' takes CUDA, then MPS, then the CPU."
    )
    engine: Engine = Field(
        default="auto",
        title="Engine",
        description="What computes: 'auto' takes ONNX Runtime on a CPU for much work, where it is "
        "installed.",
    )


def checked(kind: type[C], values: dict[str, Any]) -> C:
    """Build a config from user input.

    Raises
    ------
    BlockSegError
        Naming the field, what was got and what is allowed.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        found = " ".join(complaints(error))
        raise BlockSegError(f"These settings cannot be used. {found}") from error
