"""Cut a trained model's decoder to a coarser grid, without training, and see what that costs."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from napari_blockseg.core.config import NetworkConfig, checked
from napari_blockseg.core.errors import ImageError, LabelError, ModelError
from napari_blockseg.core.reports import AnalysisProgress, Notice
from napari_blockseg.learn.analysis.observe import ScoreSum
from napari_blockseg.learn.analysis.pieces import Pieces, spread
from napari_blockseg.learn.checkpoint import Model, load_weights, save_model
from napari_blockseg.learn.data import TrainingImage
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.truncation import fit_ways

MAX_IMAGES = 20


@dataclass(frozen=True)
class Score:
    """How well a model does on labelled images.

    Attributes
    ----------
    decoder_stride : int
        Its own.
    cross_entropy : float
        Mean over the labelled working pixels, in nats.
    miou, pixel_accuracy : float or None
        At the pixels of the images; None where nothing could be scored.
    """

    decoder_stride: int
    cross_entropy: float
    miou: float | None
    pixel_accuracy: float | None


def truncate_model(model: Model, decoder_stride: int, way: str | None = None) -> Model:
    """Return the same weights with the decoder on a coarser grid.

    Parameters
    ----------
    model : Model
        Trained on a finer grid; not changed.
    decoder_stride : int
        Pixels per cell.
    way : {"area", "strided", "lowpass", "polyphase"}, optional
        How features get to the coarser grid; by default as the model does it. What has parameters
        of its own starts as the mean of each cell.

    Returns
    -------
    Model
        Its spec says what it was cut from; the held-out scores, which are those of the finer grid,
        are left out.

    Raises
    ------
    ModelError
        If the stride is not coarser than the model's.
    BlockSegError
        If the network has no such stride or way.
    """
    spec, before = model.spec, model.spec.network.stride
    if decoder_stride <= before:
        raise ModelError(
            f"Got decoder stride {decoder_stride} for a model at {before}; truncation makes it "
            f"coarser. Give a larger one; for a finer grid train again (--init takes over the "
            "weights)."
        )
    changed = {"decoder_stride": decoder_stride, "truncation": way or spec.network.truncation}
    config = checked(NetworkConfig, spec.network.model_dump() | changed)
    # Building draws weights that are not wanted, from everybody's generator.
    with torch.random.fork_rng(devices=[]):
        plain = config.model_copy(update={"weights": "none"})
        network = build_network(plain, len(spec.classes), spec.n_channels)
    load_weights(network, fit_ways(model.network.state_dict(), network), "the model")
    network.to(device=model.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    cut = spec.model_copy(
        update={
            "network": config,
            "val_miou": None,
            "val_iou": {},
            "val_pixel_accuracy": None,
            "stride_choice": None,
            "truncated_from": spec.truncated_from or before,
        }
    )
    return Model(cut, network, model.device)


def save_truncated(folder: Path, model: Model) -> None:
    """Write a model; see :func:`truncate_model`."""
    save_model(folder, model.spec, model.network.state_dict())


def measure_models(
    models: Sequence[Model], images: Sequence[TrainingImage], max_images: int = MAX_IMAGES
) -> Generator[AnalysisProgress | Notice, None, tuple[Score, ...]]:
    """Score models that differ in their decoder only, on the same pieces of the same images.

    Parameters
    ----------
    models : sequence of Model
        With the classes, scale and normalisation of the first.
    images : sequence of TrainingImage
        Labelled with its classes. May read from disk on access.
    max_images : int
        Look at no more than this many, evenly spread.

    Yields
    ------
    AnalysisProgress or Notice
        After every image. Closing the generator ends it.

    Returns
    -------
    tuple of Score
        One a model.

    Raises
    ------
    LabelError
        If nothing is labelled.
    ImageError
        If no image fits the model.
    """
    chosen = spread(len(images), max_images)
    pieces = Pieces(images, chosen, models[0].spec)
    sums = [_score_sum(model) for model in models]
    problem: ImageError | None = None
    seen = 0
    for done, index in enumerate(chosen, start=1):
        try:
            parts = pieces.of_image(index)
        except ImageError as error:
            problem = error
            yield Notice(level="warning", message=f"{error} It is left out.")
            continue
        for piece in parts:
            for model, score in zip(models, sums, strict=True):
                # Closed between two images, a mode entered outside would never be left.
                with torch.inference_mode():
                    image = piece.image[None].to(model.device, torch.float32)
                    score.add(model.network.coarse_logits(image)[0].float().cpu(), piece)
        seen += len(parts)
        yield AnalysisProgress(done=done, total=len(chosen), what="images scored")
    if not seen:
        raise problem or LabelError("No image has a label that this model knows.")
    return tuple(_score(model, score) for model, score in zip(models, sums, strict=True))


def _score_sum(model: Model) -> ScoreSum:
    network = model.network
    return ScoreSum(
        len(model.spec.classes),
        network.decoder_stride,
        network.align_corners,
        network.logits_stride,
    )


def _score(model: Model, score: ScoreSum) -> Score:
    return Score(
        decoder_stride=model.network.decoder_stride,
        cross_entropy=score.cross_entropy,
        miou=score.confusion.miou(),
        pixel_accuracy=score.confusion.pixel_accuracy(),
    )
