"""Which cells the study has: data, labels, recipe, seed; first what claims hang on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from data_sets import TRAINED

Choice = Literal["all", "pure", "random10", "suggested10"]

# The settings of `spectral_study`, whose cells of the recipe "block" are cells of this study too.
# But em_isbi2012 learns three times as long: after 200 steps a linear head on frozen features is
# still ahead of the network.
DATA = {**TRAINED, "em_isbi2012": replace(TRAINED["em_isbi2012"], steps=600)}
BLOCKS = {"camvid": (16, 8, 32), "nuclei_dsb2018": (8, 16, 32), "em_isbi2012": (4, 8)}
#: The block whose cells get three seeds.
CLAIM = {"camvid": 16, "nuclei_dsb2018": 8, "em_isbi2012": 4}
SEEDS = (0, 1, 2)

#: What is asked of training: fields of `TrainConfig` that are not the default.
RECIPES: dict[str, dict[str, Any]] = {
    "pixel": {"loss": "pixel"},
    "block": {"loss": "block"},
    "logits": {"loss": "logits"},
    "soft": {"loss": "soft"},
    "block_crf": {"loss": "block", "gated_crf": 0.1},
    "block_pseudo": {"loss": "block", "pseudo_labels": 1.0},
    "block_crf_pseudo": {"loss": "block", "gated_crf": 0.1, "pseudo_labels": 1.0},
    "pixel_crf": {"loss": "pixel", "gated_crf": 0.1},
    "block_longer": {"loss": "block"},
    "shortcut": {"loss": "block"},
}
#: Recipes whose network has the shortcut, fitted before the first step; the others were made before
#: there was one.
WITH_SHORTCUT = ("shortcut",)
#: What the product does when nothing is asked for.
DEFAULT = "shortcut"
#: Steps of a recipe over those of the others: "block_longer" takes the time of "block_pseudo".
LENGTHS = {"block_longer": 1.24}
BASELINE = "pixel"
#: What `train` compares with the baseline: the two winners of `screen`.
CARRIED = ("block_pseudo", "block")
#: What `equal` puts beside "block_pseudo" in the same time.
LONGER = "block_longer"
#: Seconds of work that interactive mode gets; its own network, not this study's training.
INTERACTIVE = (3, 30, 300)

#: On the same labels: filter features (ilastik, Labkit, Weka), frozen deep features (convpaint,
#: featureforest), napari-convpaint itself with the features that need no download.
CONVPAINT = "convpaint_gaussian"
PEERS = ("forest_filters", "forest_deep", "linear_deep", CONVPAINT)


@dataclass(frozen=True)
class Cell:
    """One trained model.

    Attributes
    ----------
    data : str
        Data set.
    block : int
        Block size in image pixels; 1 are dense masks.
    choice : {"all", "pure", "random10", "suggested10"}
        Which blocks are labelled: all by their majority; only those that one class covers to 95 %;
        a tenth of all, at random or as `core.suggest` chooses (a third of them at random first).
    recipe : str
        A key of `RECIPES`, one of `PEERS`, or "interactive_3" with its seconds.
    seed : int
        Of the choice of blocks, of weights, order and augmentation.
    """

    data: str
    block: int
    choice: Choice
    recipe: str
    seed: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        what = "dense" if self.block == 1 else f"block{self.block}_{self.choice}"
        return f"{self.data}_{what}_{self.recipe}_seed{self.seed}"

    @property
    def dense(self) -> Cell:
        """What it is measured against: dense masks, the same network, loss "block", same seed."""
        with_shortcut = self.recipe in WITH_SHORTCUT or self.recipe.startswith("interactive")
        recipe = DEFAULT if with_shortcut else "block"
        return Cell(self.data, 1, "all", recipe, self.seed)

    def other(self, recipe: str) -> Cell:
        """Return the same labels with another recipe."""
        return Cell(self.data, self.block, self.choice, recipe, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def screen_cells() -> list[Cell]:
    """Return the cells that choose among the losses: one data set, one block, one seed."""
    labels: tuple[Choice, ...] = ("random10", "all")
    return [
        Cell("camvid", 16, choice, recipe, 0)
        for choice in labels
        for recipe in RECIPES
        if recipe not in (*LENGTHS, *WITH_SHORTCUT)
        and (choice == "random10" or "pseudo" not in recipe)
    ]


def train_cells() -> list[Cell]:
    """Return the cells that compare losses with each other and with dense masks."""
    claims = [
        cell
        for seed in SEEDS
        for data, block in CLAIM.items()
        for cell in [
            Cell(data, 1, "all", "block", seed),
            *(Cell(data, block, c, r, seed) for c in ("all", "random10") for r in _recipes(c)),
        ]
    ]
    # Other blocks: what the spectral study has made.
    rest = [Cell(data, block, "all", "block", 0) for data in BLOCKS for block in BLOCKS[data]]
    return list(dict.fromkeys([*claims, *rest]))


def row_cells() -> list[Cell]:
    """Return every kind of labels with the default recipe and the baseline, the most telling first.

    Other ways to choose blocks of the claim's size, then other sizes.
    """
    kinds: list[tuple[bool, Choice]] = [
        *((True, choice) for choice in ("all", "random10", "suggested10", "pure")),
        *((False, choice) for choice in ("all", "random10", "suggested10", "pure")),
    ]
    return [
        Cell(data, block, choice, recipe, 0)
        for claimed, choice in kinds
        for data, blocks in BLOCKS.items()
        for block in blocks
        if (block == CLAIM[data]) == claimed
        for recipe in (DEFAULT, BASELINE)
    ]


def equal_cells() -> list[Cell]:
    """Return the rows that tell what pseudo-labels are worth at equal time, not equal steps."""
    return [
        Cell(data, block, "random10", recipe, seed)
        for data, block in CLAIM.items()
        for seed in SEEDS
        for recipe in (LONGER, "block_pseudo")
    ]


def shortcut_cells() -> list[Cell]:
    """Return the rows of the network with the shortcut: blocks, and dense masks beside them."""
    return [
        Cell(data, *labels, DEFAULT, seed)
        for seed in SEEDS
        for data, block in CLAIM.items()
        for labels in ((block, "random10"), (block, "all"), (1, "all"), (block, "suggested10"))
    ]


def _recipes(choice: str) -> tuple[str, ...]:
    """Return the recipes that are compared on a choice of blocks."""
    # With everything labelled there is nothing to guess but void.
    return tuple(r for r in (*CARRIED, BASELINE) if choice != "all" or "pseudo" not in r)


def interactive_cells() -> list[Cell]:
    """Return the rows of interactive mode; `learn.interactive` makes them, not `train`."""
    return [
        Cell(data, block, "random10", f"interactive_{seconds}", seed)
        for seed in SEEDS
        for data, block in CLAIM.items()
        for seconds in INTERACTIVE
    ]


def peer_cells() -> list[Cell]:
    """Return the peers' cells: the same labels as the claims'."""
    return [
        Cell(data, block, choice, peer, seed)
        for seed in SEEDS
        for choice in ("random10", "all")
        for data, block in CLAIM.items()
        for peer in PEERS
    ]
