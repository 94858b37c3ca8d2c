"""What `blockseg spectrum` finds: one frozen object for the table, the JSON and the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_blockseg.core.advice import Advice, EstimatedCeiling
    from napari_blockseg.core.ceilings import Ceiling
    from napari_blockseg.core.classes import ClassInfo

    FloatArray: TypeAlias = NDArray[Any]
    Row: TypeAlias = Ceiling | EstimatedCeiling

#: A class counts as well described by labels that can reach this IoU for it.
GOOD_IOU = 0.7
_SAME = 0.02


@dataclass(frozen=True, eq=False)
class LabelCurve:
    """How much of each class's label map lies below each cutoff.

    Attributes
    ----------
    cutoffs : (n,) float array
        Cycles per pixel, rising; 0.5 / cutoff is the block size that resolves it.
    energy, energy_with_dc : (K, n) float array
        Share 0..1, without and with the mean of the map; NaN for classes that are absent.
    error : (K, n) float array
        Standard error of `energy`; zero where it is measured.
    mean, mean_with_dc : (n,) float array
        All classes together: energies summed, then divided.
    coverage : float
        Share of the blocks that are labelled.
    enough : bool
        Whether there is enough paint to say anything.
    """

    cutoffs: FloatArray
    energy: FloatArray
    energy_with_dc: FloatArray
    error: FloatArray
    mean: FloatArray
    mean_with_dc: FloatArray
    coverage: float = 1.0
    enough: bool = True

    def is_covered(self, index: int) -> bool:
        """Return whether a later class has nearly the same curve, and would hide this one's."""
        later = abs(self.energy[index + 1 :] - self.energy[index])
        # Comparisons with the NaN of absent classes are false.
        return bool((later.max(axis=1) < _SAME).any()) if len(later) else False


@dataclass(frozen=True, eq=False)
class View:
    """One plane as labels of one block size show it.

    Attributes
    ----------
    block : int
        Block size, in pixels.
    values : (rows, cols) int array
        A value a pixel; 0 = nothing.
    right : float or None
        Share of the labelled pixels that keep their class; None for what was given.
    lost : tuple of str
        Classes that no block shows any more.
    """

    block: int
    values: Any
    right: float | None = None
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Example:
    """A plane through blocks of several sizes; the first view is what was given.

    ``pixels`` is the image there, (rows, cols, channels), where it is known.
    """

    name: str
    views: tuple[View, ...]
    pixels: Any = None


@dataclass(frozen=True)
class Findings:
    """What is known about a set of labels.

    Attributes
    ----------
    classes : sequence of ClassInfo
        In order of value.
    rows : list
        One `Ceiling` (measured) or `EstimatedCeiling` a block size, finest first.
    advice : Advice
        The block size to paint at.
    images, skipped, pixels_used : int
        What it rests on; of stacks, planes.
    curve : LabelCurve
        The label spectrum.
    plane_shape : (rows, cols)
        Of a typical image, in pixels.
    block : int or None
        Block size of the labels it was estimated from; None: measured on dense masks.
    examples : sequence of Example
        Planes to look at.
    notes : sequence of str
        What a reader has to know about how it was done.
    """

    classes: Sequence[ClassInfo]
    rows: list[Any]
    advice: Advice
    images: int
    skipped: int
    pixels_used: int
    curve: LabelCurve
    plane_shape: tuple[int, int]
    block: int | None = None
    examples: Sequence[Example] = ()
    notes: Sequence[str] = ()

    @property
    def measured(self) -> bool:
        """Whether dense masks were at hand."""
        return self.block is None

    def too_few(self, row: Row, index: int) -> bool:
        """Return whether a class is there, but owns too few blocks of this size to be learned."""
        from napari_blockseg.core.advice import MIN_OWNED_BLOCKS

        return self.is_present(index) and bool(row.owned_blocks[index] < MIN_OWNED_BLOCKS)

    def loses(self, row: Row) -> list[str]:
        """Return the classes that the finest size can show, and this one cannot."""
        finest = min(self.rows, key=lambda row: row.block)
        return [
            info.name
            for i, info in enumerate(self.classes)
            if self.too_few(row, i) and not self.too_few(finest, i)
        ]

    def is_present(self, index: int) -> bool:
        """Return whether a class has a block or a pixel anywhere."""
        return any(row.owned_blocks[index] > 0 or row.iou[index] >= 0 for row in self.rows)

    def coarsest(self, index: int) -> int | None:
        """Return the coarsest size that describes a class well; None when none does.

        Notes
        -----
        Well means: enough blocks are of the class, and labels can reach an IoU of `GOOD_IOU`, at
        this size and at every finer one that was looked at.
        """
        best = None
        for row in sorted(self.rows, key=lambda row: row.block):
            if self.too_few(row, index) or not row.iou[index] >= GOOD_IOU:
                break
            best = int(row.block)
        return best
