"""Which cells the study has: data, labels, grid, seed; and how each data set is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from data_sets import TRAINED

Kind = Literal["dense", "blocks"]


DATA = TRAINED


@dataclass(frozen=True)
class Cell:
    """One network: its labels and its decoder's grid.

    Attributes
    ----------
    data : str
        Data set.
    kind : {"dense", "blocks"}
        Dense masks, or the majority class of every block.
    size : int
        Of "blocks": the block size in image pixels. Of "dense": the decoder stride in pixels of
        the working image (image pixels times the scale); 4 is the full grid.
    seed : int
        Of weights, order and augmentation.
    """

    data: str
    kind: Kind
    size: int
    seed: int

    @property
    def name(self) -> str:
        """File name without its ending."""
        what = "stride" if self.kind == "dense" else "block"
        return f"{self.data}_{self.kind}_{what}{self.size}_seed{self.seed}"

    @property
    def block(self) -> int:
        """Block size of the labels, in image pixels."""
        return self.size if self.kind == "blocks" else 1

    @property
    def decoder_stride(self) -> int:
        """In pixels of the working image."""
        return self.size if self.kind == "dense" else 4

    def to_dict(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def cells() -> list[Cell]:
    """Return every cell, the most telling first."""
    sizes = {"camvid": (4, 8, 16, 32), "nuclei_dsb2018": (4, 8, 16, 32), "em_isbi2012": (4, 8)}
    first = [
        Cell(data, kind, size, 0)
        for data, all_sizes in sizes.items()
        for size in all_sizes
        for kind in ("blocks", "dense")
    ]
    # Claims hang on: blocks against dense masks, where the grid is still thought to suffice.
    claims = [("camvid", 16), ("camvid", 32), ("nuclei_dsb2018", 8), ("nuclei_dsb2018", 16)]
    again = [
        cell
        for seed in (1, 2)
        for data in ("camvid", "nuclei_dsb2018")
        for cell in [
            Cell(data, "dense", 4, seed),
            *(Cell(d, "blocks", size, seed) for d, size in claims if d == data),
        ]
    ]
    return [*first, *again]
