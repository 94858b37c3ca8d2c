"""Which cells the study has: learner, data, choice, share, seed; parents before children."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from data_sets import TRAINED

Learner = Literal["head", "network"]
Choice = Literal["random", "uncertainty", "diverse"]

BLOCK = {"camvid": 16, "nuclei_dsb2018": 8}
DATA = {name: TRAINED[name] for name in BLOCK}
#: Labelled blocks, in percent of those that have a class. The first ones are drawn at random.
SHARES = (1, 2, 5, 10, 20)
CHOICES: tuple[Choice, ...] = ("diverse", "random", "uncertainty")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Cell:
    """One training: what a simulated annotator has labelled, and how the blocks were chosen.

    Attributes
    ----------
    learner : {"head", "network"}
        What learns from them, and says which come next.
    data : str
        Data set.
    choice : {"random", "uncertainty", "diverse"}
        As in `core.suggest.METHODS`. At the first share all are "random".
    share : int
        Labelled blocks, in percent.
    seed : int
        Of the first blocks, of weights, order and augmentation.
    """

    learner: Learner
    data: str
    choice: Choice
    share: int
    seed: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.learner}_{self.data}_{self.choice}_{self.share}_seed{self.seed}"

    @property
    def before(self) -> Cell | None:
        """The cell whose labels this one adds to, by what it has learned."""
        place = SHARES.index(self.share)
        if not place:
            return None
        choice = self.choice if place > 1 else "random"
        return Cell(self.learner, self.data, choice, SHARES[place - 1], self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def cells(learner: Learner) -> list[Cell]:
    """Return every cell of a learner: seed by seed, few blocks first."""
    return [
        Cell(learner, data, choice, share, seed)
        for seed in SEEDS
        for data in DATA
        for share in SHARES
        for choice in CHOICES
        if choice == "random" or share != SHARES[0]
    ]
