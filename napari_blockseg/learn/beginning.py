"""How a training begins: the shortcut fitted to labelled points, before the first step."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.learn.devices import free_memory, is_out_of_memory, mixed_precision
from napari_blockseg.learn.interactive.features import Features, FrozenEncoder
from napari_blockseg.learn.interactive.head import (
    MAX_POINTS,
    Head,
    Sample,
    fitting,
    gather,
    label_points,
    measure_scaling,
    put_head,
    thinned,
)
from napari_blockseg.learn.sampling import CropSampler
from napari_blockseg.nets.encoders import Encoder
from napari_blockseg.nets.network import Network, pad_to_multiple

#: Crops that it looks at, and no more than this share of those of the run.
_MAX_CROPS, _LEAST_CROPS, _SHARE = 96, 8, 0.1
#: A minute of a run that is given in minutes; looking takes some seconds.
_CROPS_A_MINUTE = 24
_SCALING_CROPS = 16
#: Batches whose statistics the norms get.
_SETTLING_BATCHES = 4
#: Points of a crop that are kept, at least.
_LEAST_POINTS = 64


def beginning_with_shortcut(
    network: Network, frozen: FrozenEncoder, sampler: CropSampler, n_crops: int
) -> Iterator[None]:
    """Fit a network's shortcut to labels, with the encoder as it is; its decoder adds nothing yet.

    A crop, or some iterations of the fit, between two yields; changes come with the end.

    Parameters
    ----------
    network : Network
        With a shortcut; changed in place.
    frozen : FrozenEncoder
        A copy of its encoder.
    sampler : CropSampler
        Draws crops of what there is to learn from.
    n_crops : int
        Crops to look at.

    Notes
    -----
    A linear map of frozen features is a convex problem: seconds find what hundreds of steps of
    gradient descent have to look for when they begin at random. Where the crops that were drawn
    hold fewer than two classes, nothing is changed.
    """
    head = yield from _fitting(frozen, sampler, n_crops)
    if head is not None:
        put_head(network, head)


@torch.no_grad()
def settling_norms(encoder: Encoder, sampler: CropSampler, batch_size: int) -> Iterator[None]:
    """Give an encoder's batch norms the mean and variance of crops, as the steps will see them.

    A batch of crops between two yields. Broken off, it can be begun anew.

    Parameters
    ----------
    encoder : Encoder
        Changed in place; its weights stay.
    sampler : CropSampler
        Draws crops of what there is to learn from.
    batch_size : int
        Crops of a step.

    Notes
    -----
    A head is fitted to features in eval mode, which goes by the norms' running statistics: those of
    ImageNet, or none where weights are drawn. Steps go by those of their batch. What was fitted to
    the first is wrong for the second by as much as they differ: on dark images, or with drawn
    weights, worse than knowing nothing.
    """
    norms = [one for one in encoder.modules() if isinstance(one, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    device = encoder.mean.device
    encoder.eval()  # nothing but the norms is to differ from eval mode
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # of all batches, weighing alike
        norm.train()
    try:
        for _ in range(_SETTLING_BATCHES):
            images = pad_to_multiple(sampler.draw(batch_size).images.float(), 32)
            _look(encoder, images.to(device=device, memory_format=torch.channels_last))
            yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def _look(encoder: Encoder, images: Tensor) -> None:
    """Run an encoder, in parts where memory is short, as the steps will do."""
    try:
        with mixed_precision(images.device):
            encoder(images)
    except (RuntimeError, MemoryError) as error:
        if len(images) == 1 or not is_out_of_memory(error):
            raise
        free_memory(images.device)
        for part in images.chunk(2):
            _look(encoder, part)


def crops_to_look_at(config: TrainConfig) -> int:
    """Return how many crops a run of this length can spare."""
    steps = config.total_steps
    if steps is None:
        spare = _CROPS_A_MINUTE * (config.minutes or 1)
    else:
        spare = _SHARE * steps * config.batch_size
    return min(_MAX_CROPS, max(_LEAST_CROPS, int(spare)))


def _fitting(
    frozen: FrozenEncoder, sampler: CropSampler, n_crops: int
) -> Generator[None, None, Head | None]:
    points: list[Tensor] = []
    classes: list[Tensor] = []
    seen: list[Features] = []
    most = max(_LEAST_POINTS, MAX_POINTS // n_crops)
    for number in range(n_crops):
        batch = sampler.draw(1)
        target = batch.targets[0]
        images = pad_to_multiple(batch.images.float(), 32)
        stages = tuple(stage[0].float().cpu() for stage in frozen.stages(images))
        features = Features(stages, frozen.strides, (0, 0))
        if number < _SCALING_CROPS:
            seen.append(features)
        cells = torch.where(target.has_image(), target.cells, -1).numpy()
        places, found = label_points(cells, target.side / target.split)
        kept = thinned(found, most)
        # Rare classes whole in every crop would be too many: features of 100,000 points are large.
        kept = kept[:: -(-len(kept) // most) or 1]
        points.append(gather(features, places[kept]))
        classes.append(torch.from_numpy(found[kept]))
        yield
    chosen = thinned(torch.cat(classes).numpy(), MAX_POINTS)
    which = torch.from_numpy(chosen)
    y = torch.cat(classes)[which]
    # Weights go by what is painted; classes that no crop showed are left to the decoder.
    counts = sampler.counts * (np.bincount(y.numpy(), minlength=len(sampler.counts)) > 0)
    if (counts > 0).sum() < 2:
        return None
    sample = Sample(torch.cat(points)[which], y, torch.from_numpy(counts))
    steps = fitting(sample, measure_scaling(seen))
    while True:
        with _one_thread():
            try:
                next(steps)
            except StopIteration as end:
                return cast(Head, end.value)
        yield


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: sums of many points depend on how many share them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
