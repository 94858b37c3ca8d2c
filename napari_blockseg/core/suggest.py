"""Which blocks to label next: where a network is unsure, spread out, and of rare classes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_blockseg.core.chances import Measure, PlaneChances, mixture, uncertainty
from napari_blockseg.core.reports import Method, Suggestion

FloatArray = NDArray[np.floating[Any]]

# Two blocks of other images (or far apart) are half alike at most: then only their looks say so.
_ALIKE_BY_LOOKS = 0.5
# How far apart two distributions are that count as different: Hellinger distance, 0 to 1.
_LOOKS_SCALE = 0.3
# Reach of a block in space, in blocks: no less, no more than this.
_REACH = (0.5, 2.0)
# The most common class counts at least this share of what the rarest one counts.
_COMMON = 0.25
# By then every look is among the chosen: later ones keep only their neighbours away.
_LOOKED_AT = 256
# How far a block is felt, in reaches.
_FELT = 4
# Diversity is looked for among the best: this many, or this many times what is asked for.
_POOL, _POOL_FACTOR = 20_000, 10
_LEAST = 1e-6


@dataclass(frozen=True)
class Parts:
    """What a suggestion goes by; each part can be switched off.

    Parameters
    ----------
    uncertainty : bool
        How unsure the network is of the block.
    diversity : bool
        How unlike the blocks that are labelled or suggested already, in space and in looks.
    rare : bool
        Whether it may be of a class with few labelled blocks.
    measure : {"margin", "entropy"}
        What unsure is: how close the second class of the block is to the first; or the entropy of
        the block's pixels.
    pure : bool
        Whether it lies away from borders between classes, where one class for a whole block is
        half wrong.
    """

    uncertainty: bool = True
    diversity: bool = True
    rare: bool = True
    measure: Measure = "margin"
    pure: bool = True


METHODS: dict[Method, Parts] = {
    "diverse": Parts(),
    "uncertainty": Parts(diversity=False, rare=False, measure="entropy", pure=False),
    "random": Parts(uncertainty=False, diversity=False, rare=False, pure=False),
}


def suggest_blocks(
    planes: Sequence[PlaneChances],
    names: Sequence[str | None],
    labelled: NDArray[np.integer[Any]],
    count: int,
    parts: Parts | None = None,
    seed: int = 0,
) -> list[Suggestion]:
    """Choose the blocks to label next, over all images.

    Parameters
    ----------
    planes : sequence of PlaneChances
        All planes, labelled or not.
    names : sequence of K str or None
        Classes, in the order of the probabilities; None for one that is in no reason, because the
        labels do not have it.
    labelled : (K,) int array
        Labelled blocks of each class.
    count : int
        How many; fewer come back where fewer are unlabelled.
    parts : Parts, optional
        What to go by; all of it by default.
    seed : int
        Of the order among equals, so of everything when all parts are off.

    Returns
    -------
    list of Suggestion
        The most promising first. The same input gives the same list.

    Notes
    -----
    Greedy: the next block is the one with the largest ``unsure * pure * rare * (1 - alike)``.

    - ``unsure``: 1 minus the lead of the block's likeliest class over the second.
    - ``pure``: ``(1 - mixture)^2``, see :func:`napari_blockseg.core.chances.mixture`.
    - ``rare``: the expectation, over the block's own distribution, of ``1 / sqrt(labelled + 1)`` of
      a class, relative to the rarest class and no less than 1/4.
    - ``alike``: the likeness to the most alike block that is labelled (in space) or chosen (in
      space and looks): ``space + (1 - space) * looks / 2``, both Gaussian; looks are compared with
      the first 256 chosen, by then every look is among them. The reach in space shrinks as more
      blocks are labelled.

    A block cut off by the image's edge counts by its area.
    """
    parts = parts or Parts()
    pool = _Pool(planes, labelled, count, parts, seed)
    chosen = pool.choose(count)
    return [
        Suggestion(
            image_id=planes[plane].image_id,
            row=row,
            col=col,
            score=score,
            reason=_reason(planes[plane].probabilities[row, col], names, labelled, parts),
            index=planes[plane].index,
        )
        for plane, row, col, score in chosen
    ]


def rarity(labelled: NDArray[np.integer[Any]]) -> FloatArray:
    """Return what each class counts, 1 for the one with the fewest labelled blocks, 1/4 at least.

    Parameters
    ----------
    labelled : (K,) int array
        Labelled blocks of each class.
    """
    each: FloatArray = 1.0 / np.sqrt(np.asarray(labelled, dtype=np.float64) + 1.0)
    found: FloatArray = np.maximum(each / each.max(), _COMMON)
    return found


class _Pool:
    """The unlabelled blocks of all planes as flat arrays, of which the most promising are kept."""

    def __init__(
        self,
        planes: Sequence[PlaneChances],
        labelled: NDArray[np.integer[Any]],
        count: int,
        parts: Parts,
        seed: int,
    ) -> None:
        total = sum(plane.labels.values.size for plane in planes)
        known = sum(plane.labels.n_labelled for plane in planes)
        wide = math.sqrt(total / max(1, known + count)) / 3
        self._reach = float(np.clip(wide, *_REACH))
        self._diverse = parts.diversity
        where = [np.argwhere(plane.labels.values == 0) for plane in planes]
        value = [
            self._value(plane, labelled, parts)[tuple(at.T)]
            for plane, at in zip(planes, where, strict=True)
        ]
        number = np.repeat(np.arange(len(planes)), [len(at) for at in where])
        order = _best(np.concatenate([np.zeros(0), *value]), count, seed)
        self._plane = number[order]
        self._cell = np.concatenate([np.zeros((0, 2), np.int64), *where])[order]
        self._value_of = np.concatenate([np.zeros(0), *value])[order]
        self._promise = self._value_of.copy()
        if self._diverse:
            self._alike = np.zeros(len(order))
            self._place = [np.full(plane.labels.values.shape, -1) for plane in planes]
            for one, place in enumerate(self._place):
                mine = np.flatnonzero(self._plane == one)
                place[tuple(self._cell[mine].T)] = mine
            looks = [_looks(plane)[tuple(at.T)] for plane, at in zip(planes, where, strict=True)]
            self._looks = _scaled(np.concatenate(looks)[order], planes) if looks else np.zeros(0)

    def choose(self, count: int) -> list[tuple[int, int, int, float]]:
        """Return (plane, row, col, score) of at most `count` blocks, best first."""
        chosen = []
        # Promises only fall: the first of this heap whose promise is still that is the largest.
        heap = list(zip((-self._promise).tolist(), range(len(self._promise)), strict=True))
        heapq.heapify(heap)
        for number in range(min(count, len(heap))):
            while heap[0][0] != (now := -float(self._promise[heap[0][1]])):
                heapq.heapreplace(heap, (now, heap[0][1]))
            _, best = heapq.heappop(heap)
            row, col = (int(i) for i in self._cell[best])
            chosen.append((int(self._plane[best]), row, col, float(self._promise[best])))
            self._value_of[best] = self._promise[best] = -1.0
            if self._diverse:
                self._keep_away(best, number < _LOOKED_AT)
        return chosen

    def _value(
        self, plane: PlaneChances, labelled: NDArray[np.integer[Any]], parts: Parts
    ) -> FloatArray:
        """Return what every block of a plane promises by itself, (rows, cols)."""
        grid = plane.labels.grid
        value: FloatArray = np.ones(plane.labels.values.shape)
        if parts.uncertainty:
            value = value * _unsure(plane, parts.measure)
        if parts.pure:
            value = value * (1.0 - mixture(plane.probabilities)) ** 2
        if parts.rare:
            value = value * (plane.probabilities @ rarity(labelled))
        if parts.diversity:
            value = value * (1.0 - _nearness(plane.labels.values > 0, self._reach))
        if parts != METHODS["random"]:
            value = value * (grid.block_areas() / grid.block**2)
        return np.clip(value, _LEAST, 1.0)

    def _keep_away(self, chosen: int, everywhere: bool) -> None:
        """Lower what blocks promise that are like a chosen one, or only those beside it."""
        if everywhere:
            looks = self._alike_by_looks(chosen, slice(None))
            np.maximum(self._alike, looks, out=self._alike)
            np.multiply(self._value_of, 1.0 - self._alike, out=self._promise)
        beside = self._beside(chosen)
        steps = ((self._cell[beside] - self._cell[chosen]) ** 2).sum(1)
        space = np.exp(-0.5 * steps / self._reach**2)
        alike = space + (1.0 - space) * self._alike_by_looks(chosen, beside)
        self._alike[beside] = np.maximum(self._alike[beside], alike)
        self._promise[beside] = self._value_of[beside] * (1.0 - self._alike[beside])
        self._alike[chosen], self._promise[chosen] = 0.0, -1.0

    def _alike_by_looks(self, chosen: int, others: Any) -> FloatArray:
        apart = ((self._looks[others] - self._looks[chosen]) ** 2).sum(1)
        alike: FloatArray = _ALIKE_BY_LOOKS * np.exp(-0.5 * apart)
        return alike

    def _beside(self, chosen: int) -> NDArray[np.intp]:
        """Return the places in the pool of the blocks round a block, itself included."""
        place = self._place[self._plane[chosen]]
        far = math.ceil(_FELT * self._reach)
        row, col = self._cell[chosen]
        near = place[max(row - far, 0) : row + far + 1, max(col - far, 0) : col + far + 1]
        found: NDArray[np.intp] = near[near >= 0]
        return found


def _unsure(plane: PlaneChances, measure: Measure) -> FloatArray:
    if measure == "entropy" and plane.unsure is not None:
        return plane.unsure
    return uncertainty(plane.probabilities, measure)


def _best(value: FloatArray, count: int, seed: int) -> NDArray[np.intp]:
    """Return the places of the largest values, drawn in a random order, so that ties are."""
    order = np.random.default_rng(seed).permutation(len(value))
    size = max(_POOL, _POOL_FACTOR * count)
    if size >= len(value):
        return order
    kept = np.argsort(-value[order], kind="stable")[:size]
    return order[np.sort(kept)]


def _looks(plane: PlaneChances) -> FloatArray:
    """Return a vector a block: its features, or the roots of its probabilities."""
    if plane.features is not None:
        return np.asarray(plane.features, dtype=np.float32)
    return np.sqrt(np.clip(plane.probabilities, 0.0, None), dtype=np.float32)


def _scaled(looks: FloatArray, planes: Sequence[PlaneChances]) -> FloatArray:
    """Return vectors whose distance is 1 where two blocks begin to look different.

    Half the squared distance of the roots of two distributions is their squared Hellinger
    distance. Features are given unit variance; two random blocks are 1 apart, on average.
    """
    if planes and planes[0].features is not None:
        spread = looks.std(0)
        looks = (looks - looks.mean(0)) / np.where(spread > 0, spread, 1.0)
        looks = looks / math.sqrt(looks.shape[1])
    return looks / (math.sqrt(2.0) * _LOOKS_SCALE)


def _nearness(labelled: NDArray[np.bool_], reach: float) -> FloatArray:
    """Return how near every block is to a labelled one: Gaussian of the distance, 0 to 1."""
    near = labelled.astype(np.float64)
    for axis in (0, 1):
        grown = near.copy()
        for step in range(1, min(math.ceil(4 * reach), near.shape[axis] - 1) + 1):
            faded = near * math.exp(-0.5 * (step / reach) ** 2)
            head = (slice(None),) * axis + (slice(step, None),)
            tail = (slice(None),) * axis + (slice(None, -step),)
            grown[head] = np.maximum(grown[head], faded[tail])
            grown[tail] = np.maximum(grown[tail], faded[head])
        near = grown
    return near


def _reason(
    chances: FloatArray,
    names: Sequence[str | None],
    labelled: NDArray[np.integer[Any]],
    parts: Parts,
) -> str:
    """Return in words why a block was chosen."""
    if parts == METHODS["random"]:
        return "drawn at random"
    named = [int(i) for i in np.argsort(-chances, kind="stable") if names[i] is not None]
    if not named:
        return "unlike the others"
    first, second = named[0], named[min(1, len(named) - 1)]
    said = []
    if parts.uncertainty:
        close = chances[second] * 2 >= chances[first] and first != second
        said.append(f"{names[first]} or {names[second]}?" if close else f"{names[first]}?")
    if parts.rare:
        rare = min((first, second), key=lambda c: int(labelled[c]))
        few = labelled[rare] < np.mean(labelled[named]) / 2
        if few and chances[rare] > 1.0 / len(names):
            said.append(f"few blocks of {names[rare]} so far")
    return ", ".join(said) or "unlike the others"
