"""What the Spectrum panel measures, off the GUI thread: spectra and advice of one scope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_blockseg.core.advice import (
    Advice,
    EstimatedCeiling,
    PairCounts,
    estimate_from_counts,
    recommend,
)
from napari_blockseg.core.labels import BlockLabels
from napari_blockseg.core.spectrum import LabelSpectrum, LiveSpectrum, combine, label_spectrum
from napari_blockseg.ui.panels.spectrum_words import needed_blocks
from napari_blockseg.ui.spectrum_geometry import panel_cutoffs

if TYPE_CHECKING:
    from numpy.typing import NDArray

Index = tuple[int, ...]
Key = tuple[int, str, str]


@dataclass(frozen=True, eq=False)
class Question:
    """What is to be measured: the labels of a scope as they are now.

    Parameters
    ----------
    token
        Of a project, a grid and a list of classes; with another one nothing measured so far counts.
    image_id
        The shown image.
    scope
        "plane", "image" or "project".
    labels
        Of the shown image, all its planes.
    index
        The shown plane, () for an image of one.
    names
        Of the classes.
    others
        Labels of the project's other images, for the scope "project".
    settle
        Whether what a stroke leaves for later (error bands) is wanted too.
    """

    token: int
    image_id: str
    scope: str
    labels: BlockLabels
    index: Index
    names: tuple[str, ...]
    others: Mapping[str, BlockLabels] = field(default_factory=dict)
    settle: bool = False

    @property
    def key(self) -> Key:
        """What an answer is about, but for the paint."""
        return (self.token, self.image_id, self.scope)

    def images(self) -> list[BlockLabels]:
        """Return the labels of the scope, one item an image."""
        if self.scope == "plane":
            return [_plane(self.labels, self.index)]
        return [self.labels, *(self.others.values() if self.scope == "project" else ())]

    def painted(self) -> list[BlockLabels]:
        """Return the planes of the scope that hold paint."""
        return [_plane(labels, i) for labels in self.images() for i in painted_planes(labels)]

    def missing(self) -> int:
        """Return how many more blocks have to be painted before anything can be said."""
        planes = self.painted() or [_plane(self.labels, self.index)]
        painted, total = _paint(planes)
        return max(needed_blocks(total) - painted, 0)


@dataclass(frozen=True, eq=False)
class Measurement:
    """The spectrum of a scope; None while there is too little paint.

    Attributes
    ----------
    spectrum
        Of all painted planes together.
    painted, total
        Blocks with a class, and all blocks, of the painted planes (of the shown one if none is).
    low
        Lowest frequency of the scope, cycles per pixel.
    """

    spectrum: LabelSpectrum | None
    painted: int
    total: int
    low: float


@dataclass(frozen=True, eq=False)
class Judgement:
    """Ceilings per block size, the advice, and what following it would change.

    Attributes
    ----------
    changed
        Share of the painted blocks that get another value on the recommended grid; None when
        nobody can tell.
    """

    ceilings: list[EstimatedCeiling]
    advice: Advice
    changed: float | None


def painted_planes(labels: BlockLabels) -> list[Index]:
    """Return the positions of the planes that hold paint; [()] for an image of one plane."""
    found = labels.values.any(axis=(-2, -1))
    return [tuple(int(i) for i in index) for index in np.argwhere(found)]


def _plane(labels: BlockLabels, index: Index) -> BlockLabels:
    return labels.plane(index) if labels.grid.leading_shape else labels


def _paint(planes: Sequence[BlockLabels]) -> tuple[int, int]:
    return sum(plane.n_labelled for plane in planes), sum(plane.values.size for plane in planes)


class ScopeSpectra:
    """Measures one scope after another and keeps what did not change. Lives on one thread.

    The shown plane is followed by a `LiveSpectrum`; other planes and images are measured again
    only when their labels are others than the last time.

    Attributes
    ----------
    wanted
        Key of the questions that still count; another thread may set it. Work on a question
        with another one ends after the plane that it is at.
    """

    def __init__(self) -> None:
        self.wanted: Key | None = None
        self._token = -1
        self._live: LiveSpectrum | None = None
        self._live_at: tuple[str, Index] = ("", ())
        self._planes: dict[tuple[str, Index], tuple[NDArray[np.integer], LabelSpectrum]] = {}

    def measure(self, question: Question) -> Measurement | None:
        """Return the spectrum of the question's scope; None when nobody waits for it any more."""
        if question.token != self._token:
            self._token, self._live = question.token, None
            self._planes.clear()
        planes = question.painted() or [_plane(question.labels, question.index)]
        painted, total = _paint(planes)
        block = question.labels.grid.block
        low = 1 / (block * max(max(plane.values.shape) for plane in planes))
        spectrum = None
        if painted >= needed_blocks(total):
            spectra = self._spectra(question)
            if spectra is None:
                return None
            spectrum = spectra[0] if len(spectra) == 1 else combine(spectra)
        return Measurement(spectrum, painted, total, low)

    def _spectra(self, question: Question) -> list[LabelSpectrum] | None:
        found = []
        if question.scope == "plane" or question.index in painted_planes(question.labels):
            found.append(self._shown(question))
        if question.scope == "plane":
            return found
        images = {question.image_id: question.labels}
        if question.scope == "project":
            images.update(question.others)
        for name, labels in images.items():
            for index in painted_planes(labels):
                if self.wanted != question.key:
                    return None
                if (name, index) != (question.image_id, question.index):
                    found.append(self._kept(name, index, labels, len(question.names)))
        return found

    def _shown(self, question: Question) -> LabelSpectrum:
        labels = _plane(question.labels, question.index)
        place = (question.image_id, question.index)
        if self._live is None or self._live_at != place:
            block = labels.grid.block
            self._live = LiveSpectrum(len(question.names), block, panel_cutoffs(block))
            self._live_at = place
        self._live.follow(labels.values)
        if question.settle:
            self._live.settle()
        return self._live.result()

    def _kept(self, name: str, index: Index, labels: BlockLabels, n_classes: int) -> LabelSpectrum:
        values = labels.values[index]
        known = self._planes.get((name, index))
        if known is not None and np.array_equal(known[0], values):
            return known[1]
        block = labels.grid.block
        spectrum = label_spectrum(values, n_classes, block, panel_cutoffs(block))
        self._planes[name, index] = (values, spectrum)
        return spectrum


class ScopeAdvice:
    """Judges one scope after another; images that did not change are not counted again.

    Lives on one thread.
    """

    def __init__(self) -> None:
        self._token = -1
        self._counts: dict[str, tuple[BlockLabels, PairCounts]] = {}

    def judge(self, question: Question) -> Judgement | None:
        """Return the estimated ceilings and the advice; None with too little paint."""
        if question.token != self._token:
            self._token = question.token
            self._counts.clear()
        if question.missing():
            return None
        ceilings = estimate_from_counts(PairCounts.sum(self._all_counts(question)))
        advice = recommend(ceilings, question.names)
        wanted = advice.recommended_block
        changed = None if wanted is None else changed_share(question.painted(), wanted)
        return Judgement(ceilings, advice, changed)

    def _all_counts(self, question: Question) -> list[PairCounts]:
        n_classes = len(question.names)
        if question.scope != "project":
            return [PairCounts.of(labels, n_classes) for labels in question.images()]
        for name, labels in question.others.items():
            if name not in self._counts or self._counts[name][0] is not labels:
                self._counts[name] = (labels, PairCounts.of(labels, n_classes))
        kept = [self._counts[name][1] for name in question.others]
        return [PairCounts.of(question.labels, n_classes), *kept]


def changed_share(planes: Sequence[BlockLabels], block: int) -> float | None:
    """Return the share of painted blocks that change on a grid of another block size.

    Counted on the blocks, not on pixels: the half block at an image's edge counts as a whole.
    None where the block size is no multiple of the present one.
    """
    changed = painted = 0
    for plane in planes:
        factor, rest = divmod(block, plane.grid.block)
        if rest or factor < 1:
            return 0.0 if plane.grid.block % block == 0 else None
        coarse = BlockLabels.from_mask(plane.values, factor, int(plane.values.max(initial=1)))
        changed += int(np.count_nonzero((coarse.to_mask() != plane.values) & (plane.values > 0)))
        painted += plane.n_labelled
    return changed / painted if painted else None
