"""Pseudo-labels, and the terms that training adds to the loss of labelled cells."""

from __future__ import annotations

import math

import pytest
import torch

from napari_blockseg.core.config import TrainConfig
from napari_blockseg.learn.losses import (
    ExtraTerms,
    Target,
    confident_guesses,
    gated_crf,
    pseudo_loss,
    ramp_up,
)


def chances_of(blocks, side=2):
    """Logits (2, rows, cols) of chances of class 0, one number a block."""
    p = torch.tensor(blocks, dtype=torch.float64)
    p = p.repeat_interleave(side, 0).repeat_interleave(side, 1)
    return torch.stack([p.log(), (1 - p).log()])


SURE = [[0.97, 0.5, 0.02], [0.99, 0.99, 0.94]]
CELLS = torch.tensor([[-1, -1, -1], [1, 0, -1]])


def test_guesses_are_where_the_network_is_sure_and_never_on_labelled_blocks():
    (guess,) = confident_guesses(chances_of(SURE)[None], [Target(CELLS, side=2)])
    assert guess.cells.tolist() == [[0, -1, 1], [-1, -1, -1]]
    assert guess.side == 2
    (guess,) = confident_guesses(chances_of(SURE)[None], [Target(CELLS, side=2)], threshold=0.9)
    assert guess.cells.tolist() == [[0, -1, 1], [-1, -1, 0]]


def test_guesses_stay_inside_the_image():
    valid = torch.ones(4, 6, dtype=torch.bool)
    valid[:, 4:] = False
    target = Target(CELLS, side=2, valid=valid)
    (guess,) = confident_guesses(chances_of(SURE)[None], [target])
    assert guess.cells.tolist() == [[0, -1, -1], [-1, -1, -1]]


def test_a_mean_over_a_block_decides():
    """Three pixels at 0.98 and one at 0.8 are 0.935 together."""
    logits = chances_of([[0.98, 0.98], [0.98, 0.8]], side=1)
    target = Target(torch.tensor([[-1]]), side=2)
    assert confident_guesses(logits[None], [target])[0].cells.tolist() == [[-1]]
    assert confident_guesses(logits[None], [target], 0.93)[0].cells.tolist() == [[0]]


def test_the_loss_is_a_plain_sum_over_all_unlabelled_blocks():
    target = Target(CELLS, side=2)
    guesses = confident_guesses(chances_of(SURE)[None], [target])
    student = chances_of([[0.6, 0.1, 0.3], [0.5, 0.5, 0.5]])[None]
    weights = torch.tensor([2.0, 0.5], dtype=torch.float64)
    loss = pseudo_loss(student, guesses, [target], weights, "block")
    # Two sure guesses of four unlabelled blocks.
    expected = -(2.0 * math.log(0.6) + 0.5 * math.log(0.7)) / 4
    assert float(loss) == pytest.approx(expected, rel=1e-9)
    outside = torch.ones(4, 6, dtype=torch.bool)
    outside[:2, 2:4] = False
    target = Target(CELLS, side=2, valid=outside)
    loss = pseudo_loss(student, guesses, [target], weights, "block")
    assert float(loss) == pytest.approx(expected * 4 / 3, rel=1e-9)


@pytest.mark.parametrize("kind", ["block", "pixel", "logits", "soft"])
def test_its_gradient_reaches_sure_unlabelled_blocks_only(kind):
    target = Target(CELLS, side=2)
    guesses = confident_guesses(chances_of(SURE)[None], [target])
    student = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.ones(2, dtype=torch.float64)

    def loss(logits):
        return pseudo_loss(logits, guesses, [target], weights, kind)

    loss(student).backward()
    blocks = torch.nn.functional.max_pool2d(student.grad.abs().sum(1), 2)[0] > 0
    assert blocks.tolist() == [[True, False, True], [False, False, False]]
    assert torch.autograd.gradcheck(loss, (student,))


def test_nobody_sure_or_nothing_unlabelled_is_zero_and_has_a_gradient():
    for cells in (torch.full((2, 3), -1), torch.ones(2, 3, dtype=torch.long)):
        target = Target(cells, side=2)
        unsure = confident_guesses(chances_of([[0.5] * 3] * 2)[None], [target])
        logits = torch.randn(1, 2, 4, 6, requires_grad=True)
        loss = pseudo_loss(logits, unsure, [target], torch.ones(2), "block")
        loss.backward()
        assert float(loss.detach()) == 0
        assert float(logits.grad.abs().sum()) == 0


def test_ramp():
    assert ramp_up(0) == pytest.approx(math.exp(-5))
    assert ramp_up(0.15) == pytest.approx(math.exp(-1.25))
    assert ramp_up(0.3) == ramp_up(1.0) == 1
    values = [ramp_up(i / 20) for i in range(21)]
    assert values == sorted(values)


def teacher(images):
    """A network that is sure of class 0 left of the middle, of nothing right of it."""
    logits = torch.zeros(len(images), 2, *images.shape[-2:])
    logits[:, 0, :, : images.shape[-1] // 2] = 9.0
    return logits


@pytest.mark.parametrize(("crf", "pseudo"), [(0, 0), (0.1, 0), (0, 0.5), (0.2, 1)])
def test_terms_add_up_as_the_config_says(crf, pseudo):
    config = TrainConfig(gated_crf=crf, pseudo_labels=pseudo, loss="pixel")
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 8, 16, generator=generator)
    logits = torch.randn(2, 2, 8, 16, generator=generator)
    cells = torch.tensor([[-1, 1, -1], [-1, -1, 0]])
    # The cells cover 8 x 12 of 8 x 16 pixels: the gate is closed on the rest.
    targets, weights = [Target(cells, side=4)] * 2, torch.tensor([1.0, 3.0])
    found = ExtraTerms(config, teacher)(logits, images, targets, weights, progress=0.15)
    expected = 0.0
    if crf:
        inside = torch.zeros(2, 8, 16, dtype=torch.bool)
        inside[..., :12] = True
        expected += crf * float(gated_crf(logits, images, inside))
    if pseudo:
        sure = torch.tensor([[0, -1, -1], [0, 0, -1]])
        guesses = [Target(sure, side=4)] * 2
        loss = pseudo_loss(logits, guesses, targets, weights, "pixel")
        expected += pseudo * math.exp(-1.25) * float(loss)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert (expected > 0) == (crf + pseudo > 0)


def test_the_gate_follows_the_geometry_of_the_crop():
    valid = torch.ones(4, 4, dtype=torch.bool)
    valid[3] = False
    assert Target(torch.zeros(2, 2), 2, valid=valid).inside(6, 5).tolist() == [
        *[[True] * 4 + [False]] * 3,
        *[[False] * 5] * 3,
    ]
    # Cells finer than the logits: a pixel is inside when all its cells are.
    valid = torch.ones(4, 6, dtype=torch.bool)
    valid[:, 5] = False
    fine = Target(torch.zeros(4, 6), side=1, split=2, valid=valid)
    assert fine.inside(2, 3).tolist() == [[True, True, False]] * 2
