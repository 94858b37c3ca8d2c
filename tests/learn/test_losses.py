from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_blockseg.learn.losses import Target, batch_loss, class_weights, crop_losses


def logits_of(chances):
    """Logits (classes, rows, cols) of the chances of class 0 among two classes."""
    p = torch.tensor(chances)
    return torch.stack([p.log(), (1 - p).log()])


def test_block_loss_by_hand():
    """Two blocks of 2 x 2 with chances of class 0 (.9 .7 .5 .3) and (.2 .2 .4 .4)."""
    logits = logits_of([[0.9, 0.7, 0.2, 0.2], [0.5, 0.3, 0.4, 0.4]])
    losses, classes = crop_losses(logits, Target(torch.tensor([[0, 1]]), side=2), "block")
    assert classes.tolist() == [0, 1]
    assert losses.tolist() == pytest.approx([-math.log(0.6), -math.log(0.7)], rel=1e-5)


def test_pixel_loss_by_hand():
    logits = logits_of([[0.9, 0.7, 0.2, 0.2], [0.5, 0.3, 0.4, 0.4]])
    losses, _ = crop_losses(logits, Target(torch.tensor([[0, -1]]), side=2), "pixel")
    expected = -sum(math.log(p) for p in (0.9, 0.7, 0.5, 0.3)) / 4
    assert losses.tolist() == pytest.approx([expected], rel=1e-5)


def test_both_agree_for_blocks_of_one_pixel():
    logits = torch.randn(3, 4, 5)
    target = Target(torch.randint(-1, 3, (4, 5)), side=1)
    block, pixel = (crop_losses(logits, target, kind)[0] for kind in ("block", "pixel"))
    assert torch.equal(block, pixel)
    labelled = target.cells >= 0
    expected = torch.nn.functional.cross_entropy(
        logits.permute(1, 2, 0)[labelled], target.cells[labelled], reduction="none"
    )
    torch.testing.assert_close(block, expected)


def test_pixels_outside_the_image_do_not_count():
    """A ragged block: its second row lies outside."""
    logits = logits_of([[0.9, 0.7], [0.001, 0.001]])
    valid = torch.tensor([[True, True], [False, False]])
    for kind, expected in (("block", math.log(0.8)), ("pixel", math.log(0.9 * 0.7) / 2)):
        losses, _ = crop_losses(logits, Target(torch.tensor([[0]]), 2, valid=valid), kind)
        assert losses.tolist() == pytest.approx([-expected], rel=1e-4)


def test_labels_finer_than_the_logits():
    logits = torch.randn(2, 3, 3)
    target = Target(torch.ones(6, 6, dtype=torch.long), side=1, split=2)
    losses, _ = crop_losses(logits, target, "block")
    assert losses.shape == (36,)


def test_unlabelled_cells_get_no_gradient():
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    cells = torch.full((4, 4), -1)
    cells[1, 2] = 2
    batch_loss(logits, [Target(cells, side=2)], torch.ones(3), "block").backward()
    touched = logits.grad[0].abs().sum(0) > 0
    assert touched.nonzero().tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_no_label_at_all_is_zero_and_has_a_gradient():
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    loss = batch_loss(logits, [Target(torch.full((4, 4), -1), 2)], torch.ones(3), "block")
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_weighted_mean():
    logits = logits_of([[0.5, 0.2]])[None]
    loss = batch_loss(
        logits, [Target(torch.tensor([[0, 1]]), 1)], torch.tensor([3.0, 1.0]), "block"
    )
    assert float(loss) == pytest.approx(-(3 * math.log(0.5) + math.log(0.8)) / 4, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 10**7), min_size=2, max_size=12).filter(any),
    st.floats(0, 1),
)
def test_class_weights_are_bounded_and_have_mean_one(counts, balance):
    counts = torch.tensor(counts)
    weights = class_weights(counts, balance)
    assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1, rel=1e-4)
    present = weights[counts > 0]
    assert float(present.max() / present.min()) <= 16.01


def test_class_weights_favor_the_rare():
    assert class_weights(torch.tensor([900, 100]), 0.0).tolist() == pytest.approx([1, 1])
    common, rare = class_weights(torch.tensor([900, 100]), 1.0).tolist()
    assert rare / common == pytest.approx(3)


def soft_by_hand(logits, target):
    """The cross-entropy of each group's class fractions, times its labelled cells; their sum."""
    chances = torch.nn.functional.avg_pool2d(logits.softmax(0)[None], target.side)[0].double()
    total = 0.0
    for row in range(0, target.cells.shape[0], 2):
        for col in range(0, target.cells.shape[1], 2):
            cells = target.cells[row : row + 2, col : col + 2]
            labelled = cells >= 0
            if not labelled.any():
                continue
            fractions = torch.bincount(cells[labelled], minlength=len(logits)) / labelled.sum()
            mean = chances[:, row : row + 2, col : col + 2][:, labelled].mean(1)
            total -= float(labelled.sum() * (fractions * mean.log()).sum())
    return total


@pytest.mark.parametrize("side", [1, 4])
@pytest.mark.parametrize(("rows", "cols"), [(4, 6), (3, 5), (1, 1)])
def test_soft_loss_is_the_cross_entropy_of_class_fractions(rows, cols, side):
    generator = torch.Generator().manual_seed(rows)
    cells = torch.randint(-1, 3, (rows, cols), generator=generator)
    cells[0, 0] = 2
    logits = torch.randn(3, rows * side, cols * side, generator=generator)
    target = Target(cells, side=side)
    losses, classes = crop_losses(logits, target, "soft")
    assert classes.tolist() == cells[cells >= 0].tolist()
    assert float(losses.sum()) == pytest.approx(soft_by_hand(logits, target), rel=1e-5)


def test_soft_loss_differs_from_block_and_forgives_what_is_within_a_group():
    """Two classes swapped within a group: the fractions are right, the places are not."""
    logits = logits_of([[0.99, 0.01], [0.99, 0.01]])
    target = Target(torch.tensor([[1, 0], [1, 0]]), side=1)
    block, _ = crop_losses(logits, target, "block")
    soft, _ = crop_losses(logits, target, "soft")
    assert soft.tolist() == pytest.approx([-math.log(0.5)] * 4, rel=1e-5)
    assert float(block.mean()) > 4


def test_soft_loss_ignores_what_lies_beside_the_labels():
    logits = torch.randn(2, 4, 4, requires_grad=True)
    cells = torch.tensor([[0, -1], [-1, -1]])
    weights = torch.ones(2)
    batch_loss(logits[None], [Target(cells, side=2)], weights, "soft").backward()
    seen = logits.grad.abs().sum(0) > 0
    assert seen[:2, :2].all()
    assert seen.sum() == 4
