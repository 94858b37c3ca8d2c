"""The analysis itself: a generator that looks at one piece of one image at a time."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_blockseg.core.analysis import Analysis, Checkpoint
from napari_blockseg.core.errors import BlockSegError, ImageError, LabelError, ModelError
from napari_blockseg.core.reports import AnalysisProgress, Notice
from napari_blockseg.learn.analysis.labels import LabelSums
from napari_blockseg.learn.analysis.layers import LayerSums
from napari_blockseg.learn.analysis.observe import LossSum, ScoreSum, run_network
from napari_blockseg.learn.analysis.pieces import CROP_SIDE, MAX_CROPS, Pieces, spread
from napari_blockseg.learn.analysis.truncate import (
    LOSS_TOLERANCE,
    MIOU_TOLERANCE,
    Trials,
    recommend_stride,
)
from napari_blockseg.learn.checkpoint import (
    Model,
    ModelSpec,
    load_model,
    load_weights,
    model_folder,
    read_weights,
)
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.learn.devices import is_out_of_memory
from napari_blockseg.learn.kept import kept_checkpoints

MAX_IMAGES = 20
TOLERANCE = 0.05
#: Frequencies are looked at down to one wave in this many working pixels, four to an octave.
_LOWEST, _PER_OCTAVE = 128, 4

Steps = Generator[AnalysisProgress | Notice, None, Any]


def analyse(
    folder: Path | str,
    images: Sequence[TrainingImage],
    truth: str = "",
    *,
    max_images: int | None = MAX_IMAGES,
    tolerance: float = TOLERANCE,
    layers: bool = True,
    device: str = "auto",
) -> Generator[AnalysisProgress | Notice, None, Analysis]:
    """Look at what a network's loss, features and gradients are made of.

    Parameters
    ----------
    folder : Path
        The model's; nothing in it is changed.
    images : sequence of TrainingImage
        Labelled with the model's classes: block labels, or dense masks as blocks of 1. May read
        from disk on access.
    truth : str
        What the labels are, for the reader; found out when empty.
    max_images : int or None
        Look at no more than this many, evenly spread; None means the default.
    tolerance : float
        Share of energy that truncating a layer may lose, 0..1.
    layers : bool
        Whether to look into the layers too: the backward pass takes most of the time.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.

    Yields
    ------
    AnalysisProgress or Notice
        After every piece of an image. Closing the generator ends it; nothing is left behind.

    Returns
    -------
    Analysis
        Of the start and the early part of training too, where the training kept them.

    Raises
    ------
    ModelError
        If the model cannot be read, or memory does not suffice.
    LabelError
        If nothing is labelled.
    ImageError
        If no image fits the model.
    """
    folder = model_folder(folder)
    _check(max_images, tolerance)
    # Building a network draws weights, from everybody's generator.
    with torch.random.fork_rng(devices=[]):
        model = load_model(folder, device)
    model.network.requires_grad_(False)
    work = _Work(model, images, max_images or MAX_IMAGES, tolerance, layers)
    moments = kept_checkpoints(folder)
    yield from work.look_at_images(len(moments) + 1)
    checkpoints = []
    for kept in moments:
        early = Model(model.spec, copy.deepcopy(model.network), model.device)
        load_weights(early.network, read_weights(kept.path), str(kept.path))
        checkpoints.append((yield from work.measure(early, kept.moment, kept.step, None)))
        del early
    trials = Trials(model)
    end = yield from work.measure(model, "end", model.spec.steps, trials)
    if not moments:
        work.notes.append(
            "Only the end of training could be looked at: this model kept no checkpoints of its "
            "start (it was trained without them, or by an older version)."
        )
    return work.result(folder, truth, [*checkpoints, end], trials)


def analysis_cutoffs(scale: float, block: int) -> NDArray[np.float64]:
    """Return the cutoffs that an analysis looks at, in cycles per working pixel, rising.

    Four to an octave, up to 0.5, so that the Nyquist of every stride is among them; and that of
    the blocks.
    """
    octaves = int(np.log2(_LOWEST))
    exponents = np.arange(octaves * _PER_OCTAVE, -1, -1) / _PER_OCTAVE
    cutoffs = 0.5 * 2.0**-exponents
    nyquist = 0.5 / block / scale
    if nyquist < 0.5 and not np.isclose(cutoffs, nyquist).any():
        cutoffs = np.sort(np.append(cutoffs, nyquist))
    return cutoffs


def _check(max_images: int | None, tolerance: float) -> None:
    if max_images is not None and max_images < 1:
        raise BlockSegError(f"Got {max_images} images to analyse; expected 1 or more.")
    if not 0 < tolerance < 1:
        raise BlockSegError(
            f"Got tolerance {tolerance}; expected a share of energy above 0 and below 1, such as "
            f"{TOLERANCE}."
        )


class _Work:
    """One analysis: the pieces it looks at, and what it has found out about their labels."""

    def __init__(
        self,
        model: Model,
        images: Sequence[TrainingImage],
        max_images: int,
        tolerance: float,
        layers: bool,
    ) -> None:
        self.notes: list[str] = []
        self._spec: ModelSpec = model.spec
        self._scale = model.spec.grid.scale
        self._tolerance = tolerance
        self._layers = layers
        chosen = spread(len(images), max_images)
        if len(chosen) < len(images):
            self.notes.append(f"{len(chosen)} of {len(images)} images, evenly spread.")
        self._pieces = Pieces(images, chosen, model.spec)
        self.cutoffs = analysis_cutoffs(self._scale, model.spec.block)
        self._labels = LabelSums(len(model.spec.classes), self.cutoffs * self._scale)
        self._done = self._total = 0

    def look_at_images(self, passes: int) -> Steps:
        """Read every image once: which can be used, and what is labelled."""
        chosen = self._pieces.chosen
        self._total = len(chosen) * (1 + passes)
        usable: list[int] = []
        problem: BlockSegError | None = None
        for index in chosen:
            try:
                pieces = self._pieces.of_image(index)
            except ImageError as error:
                problem = error
                yield self._notice(f"{error} It is left out.")
                pieces = []
            if pieces:
                usable.append(index)
                self._labels.add(pieces)
            yield self._advance("images read")
        self._pieces.chosen = usable
        if not usable:
            raise problem or LabelError(
                "No image has a label that this model knows. Paint some blocks, or give masks of "
                f"its classes: {', '.join(info.name for info in self._spec.classes)}."
            )
        self._total = self._done + self._labels.pieces * passes
        if len(usable) < len(chosen):
            self.notes.append(f"{len(chosen) - len(usable)} images without usable labels left out.")
        if self._labels.crops:
            self.notes.append(
                f"{self._labels.crops} images are larger than a megapixel at working scale: of "
                f"each, up to {MAX_CROPS} crops of {CROP_SIDE} working pixels were looked at."
            )

    def measure(self, model: Model, moment: str, step: int, trials: Trials | None) -> Steps:
        """Look at one state of the network; return its `Checkpoint`."""
        loss = LossSum(self.cutoffs, self._scale)
        score = ScoreSum(len(self._spec.classes), model.network.logits_stride)
        layers = LayerSums(self.cutoffs, self._scale, self._tolerance)
        weights = self._labels.weights(self._spec.train.class_balance)
        for piece in self._pieces:
            with _explained(model):
                seen = run_network(
                    *(model.network, piece, model.device),
                    weights,
                    self._spec.train.loss,
                    self._layers,
                )
                rows, cols = piece.image.shape[-2:]
                layers.add(seen.layers, (rows, cols), seen.padded)
                loss.add(seen.logits, piece)
                if trials is None:
                    score.add(seen.coarse, piece)
                else:
                    trials.add(seen.features, seen.coarse, piece)
            yield self._advance(f"{moment} of training")
        if trials is not None:
            score = trials.scores[model.network.decoder_stride]
            trials.energy_below = layers.share_below
        return Checkpoint(
            moment=moment,
            step=step,
            loss=loss.curve(),
            miou=score.confusion.miou(),
            pixel_accuracy=score.confusion.pixel_accuracy(),
            layers=layers.spectra(),
        )

    def result(
        self, folder: Path, truth: str, checkpoints: list[Checkpoint], trials: Trials
    ) -> Analysis:
        """Put together what was found."""
        spec, labels = self._spec, self._labels
        found = trials.results()
        recommended, reason = recommend_stride(found, spec.network.stride)
        return Analysis(
            model=folder.name,
            network=spec.network.network,
            encoder=spec.network.encoder,
            decoder_stride=spec.network.stride,
            scale=self._scale,
            block=spec.block,
            classes=tuple(info.name for info in spec.classes),
            images=labels.images,
            crops=labels.crops,
            pixels=labels.labelled,
            truth=truth or labels.describe(),
            tolerance=self._tolerance,
            miou_tolerance=MIOU_TOLERANCE,
            cross_entropy_tolerance=LOSS_TOLERANCE,
            label_cutoffs=tuple(float(one) for one in self.cutoffs * self._scale),
            label_energy=labels.energy(),
            checkpoints=tuple(checkpoints),
            trials=found,
            recommended_stride=recommended,
            reason=reason,
            notes=tuple(self.notes),
        )

    # -- reports ---------------------------------------------------------------------------------

    def _advance(self, what: str) -> AnalysisProgress:
        self._done += 1
        return AnalysisProgress(done=self._done, total=self._total, what=what)

    def _notice(self, message: str) -> Notice:
        return Notice(level="warning", message=message)


@contextmanager
def _explained(model: Model) -> Iterator[None]:
    """Say what to do when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"Out of memory on {model.device}. Close other programs, analyse without the layers, "
            "or on another device."
        ) from error
