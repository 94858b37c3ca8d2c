"""Which networks the study trains, at which strides, on what; first what claims hang on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from data_sets import DataSet

SEEDS = 5

# Half resolution, and as many steps as an evening on one core allows: enough for differences
# between decoders, not for the best network.
DATA = {
    "nuclei_dsb2018": DataSet(
        "nuclei_dsb2018",
        scale=0.5,
        crop=96,
        steps=200,
        orientation="any",
        merged=(("nucleus_edge", "nucleus"),),
    ),
    "camvid": DataSet("camvid", scale=0.5, crop=160, steps=240, orientation="upright"),
}
#: Crops a step.
BATCH = {"nuclei_dsb2018": 8, "camvid": 4}


@dataclass(frozen=True)
class Variant:
    """One network of the study.

    Attributes
    ----------
    name : str
        Of its cells' files.
    curve : str
        The network it is a point of, in the picture; each has its own full grid.
    network : dict
        Fields of `NetworkConfig` that are not the default.
    scale : float
        Pixels of the network's input per pixel that the others get.
    real_smp : bool
        Whether the timing runs segmentation_models_pytorch's own network (with equal logits).
    """

    name: str
    curve: str
    network: dict[str, Any] = field(default_factory=dict, hash=False)
    scale: float = 1.0
    real_smp: bool = False


#: Said everywhere: left alone, the stride is chosen by the labels.
FULL = {"decoder_stride": 4}


def _truncated(curve: str, **network: Any) -> Iterator[Variant]:
    """Yield a network's full grid and its truncations: block means, and polyphase."""
    yield Variant(f"{curve}_4", curve, {**network, **FULL})
    for stride in (8, 16, 32):
        means = {**network, "decoder_stride": stride, "truncation": "area"}
        yield Variant(f"{curve}_{stride}", curve, means)
    for stride in (8, 16, 32):
        polyphase = {**network, "decoder_stride": stride, "truncation": "polyphase"}
        yield Variant(f"{curve}_{stride}_polyphase", f"{curve}, polyphase", polyphase)


_RESNET = {"encoder": "resnet18", "weights": "none", "form": "paper"}
_ALL = [
    *_truncated("light"),
    *_truncated("paper", form="paper"),
    *_truncated("dan", network="dan"),
    Variant("smp", "smp", {"form": "smp", **FULL}, real_smp=True),
    Variant("light_halved", "input halved", FULL, scale=0.5),
    Variant("paper_halved", "paper, input halved", {"form": "paper", **FULL}, scale=0.5),
    Variant("no_decoder", "no decoder", {"network": "deeplabv3", "decoder_stride": 16}),
    # As the product has it: decision 027. The others were made before there was a shortcut.
    Variant("light_4_shortcut", "light, shortcut", {"shortcut": True, **FULL}),
    *(
        Variant(
            f"light_{stride}_shortcut",
            "light, shortcut",
            {"shortcut": True, "decoder_stride": stride, "truncation": "polyphase"},
        )
        for stride in (8, 16)
    ),
    Variant("dan_4_shortcut", "dan, shortcut", {"network": "dan", "shortcut": True, **FULL}),
    # Past the decoder: the encoder's last stage, and the ASPP.
    Variant("light_os32", "light, output stride 32", {"output_stride": 32, **FULL}),
    *(
        Variant(
            f"light_os32_{stride}_polyphase",
            "light, output stride 32",
            {"output_stride": 32, "decoder_stride": stride, "truncation": "polyphase"},
        )
        for stride in (8, 16)
    ),
    Variant(
        "paper_os32", "paper, output stride 32", {"form": "paper", "output_stride": 32, **FULL}
    ),
    Variant(
        "paper_os32_8_polyphase",
        "paper, output stride 32",
        {
            "form": "paper",
            "output_stride": 32,
            "decoder_stride": 8,
            "truncation": "polyphase",
        },
    ),
    # The other ways down.
    Variant("paper_8_strided", "", {"form": "paper", "decoder_stride": 8, "truncation": "strided"}),
    Variant("paper_8_lowpass", "", {"form": "paper", "decoder_stride": 8, "truncation": "lowpass"}),
    # The abstract's soft labels.
    Variant("dan_4_soft", "", {"network": "dan", **FULL}),
    Variant("resnet_4", "ResNet-18, paper", {**_RESNET, **FULL}),
    *(
        Variant(
            f"resnet_{stride}_polyphase",
            "ResNet-18, paper, polyphase",
            {**_RESNET, "decoder_stride": stride, "truncation": "polyphase"},
        )
        for stride in (8, 16)
    ),
]
VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _ALL}
#: Trained with the loss "soft".
SOFT = ("dan_4_soft",)

#: What the targets hang on: all seeds, before anything else gets a second one.
CLAIMS = (
    *("paper_4", "paper_8_polyphase", "light_4", "smp"),
    *("light_8_polyphase", "paper_os32_8_polyphase", "light_4_shortcut"),
    # The whole curves, of every network and of the default form as the product has it.
    *("dan_4", "dan_8_polyphase", "light_16_polyphase", "paper_16_polyphase", "dan_16_polyphase"),
    *("light_8_shortcut", "light_16_shortcut", "dan_4_shortcut"),
)
#: What is past the decoder, and the peer that halves the input.
NEXT = ("light_os32", "light_os32_8_polyphase", "light_halved")
#: One seed, for information. Block means: on nuclei they lose 0.07 to 0.21 where polyphase loses
#: 0.01 to 0.06, which needs no second seed.
ONCE = (
    *("light_8", "light_16", "paper_8", "paper_16", "dan_8", "dan_16", "no_decoder"),
    *("light_os32_16_polyphase", "paper_8_strided", "paper_8_lowpass", "dan_4_soft"),
    *("resnet_4", "resnet_8_polyphase", "paper_os32", "paper_halved", "resnet_16_polyphase"),
    *("light_32", "light_32_polyphase", "paper_32", "paper_32_polyphase"),
    *("dan_32", "dan_32_polyphase"),
)


@dataclass(frozen=True)
class Cell:
    """One trained network: data set, variant, seed of weights, order and augmentation."""

    data: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.data}_{self.variant}_seed{self.seed}"

    @property
    def reference(self) -> Cell:
        """The full grid of the same network, with the same seed."""
        family = self.variant.split("_")[0]
        full = f"{family}_4"
        if self.variant.endswith("_shortcut") and self.variant != f"{full}_shortcut":
            full += "_shortcut"
        return Cell(self.data, full if full in VARIANTS else "light_4", self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def cells() -> list[Cell]:
    """Return every cell, the most telling first."""
    order = [(name, 0) for name in (*CLAIMS, *NEXT)]
    order += [(name, seed) for seed in range(1, SEEDS) for name in CLAIMS]
    order += [(name, 0) for name in ONCE]
    order += [(name, seed) for seed in range(1, SEEDS) for name in NEXT]
    return [Cell(data, name, seed) for name, seed in order for data in DATA]


def planned_seeds(variant: str) -> int:
    """Return how many seeds a variant is to have on each data set."""
    return 1 if variant in ONCE else SEEDS
