from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_blockseg.learn.losses import Target, batch_loss, class_weights, crop_losses

KINDS = ("block", "pixel", "logits", "soft")


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


def test_loss_of_mean_logits_by_hand():
    """Logits of class 0 over class 1 of 2, 0, 1 and 1: their mean is 1."""
    logits = torch.tensor([[[2.0, 0.0], [1.0, 1.0]], [[0.0] * 2] * 2])
    losses, _ = crop_losses(logits, Target(torch.tensor([[0]]), side=2), "logits")
    assert losses.tolist() == pytest.approx([math.log(1 + math.exp(-1))], rel=1e-6)


def test_all_agree_for_blocks_of_one_pixel():
    logits = torch.randn(3, 4, 5)
    target = Target(torch.randint(-1, 3, (4, 5)), side=1)
    block, pixel, mean = (crop_losses(logits, target, kind)[0] for kind in KINDS[:3])
    assert torch.equal(block, pixel)
    assert torch.equal(mean, pixel)
    labelled = target.cells >= 0
    expected = torch.nn.functional.cross_entropy(
        logits.permute(1, 2, 0)[labelled], target.cells[labelled], reduction="none"
    )
    torch.testing.assert_close(block, expected)


def test_pixels_outside_the_image_do_not_count():
    """A ragged block: its second row lies outside."""
    logits = logits_of([[0.9, 0.7], [0.001, 0.001]])
    valid = torch.tensor([[True, True], [False, False]])
    mean_logit = (math.log(9) + math.log(7 / 3)) / 2
    for kind, expected in (
        ("block", math.log(0.8)),
        ("pixel", math.log(0.9 * 0.7) / 2),
        ("logits", -math.log(1 + math.exp(-mean_logit))),
        ("soft", math.log(0.8)),
    ):
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


def random_crop(kind_seed=0, side=4):
    """Logits (3, 12, 16) in double, a few blocks labelled, some rows beside the image."""
    generator = torch.Generator().manual_seed(kind_seed)
    logits = torch.randn(3, 12, 16, generator=generator, dtype=torch.float64)
    cells = torch.tensor([[0, -1, 2, 1], [-1, 1, -1, 0], [2, 2, -1, 1]])
    valid = torch.ones(12, 16, dtype=torch.bool)
    valid[10:] = False
    return logits, Target(cells, side=side, valid=valid)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind):
    logits, target = random_crop()
    weights = torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    logits = logits[None].requires_grad_()
    assert torch.autograd.gradcheck(lambda y: batch_loss(y, [target], weights, kind), (logits,))


@pytest.mark.parametrize("kind", KINDS)
def test_what_leaves_a_loss_unchanged(kind):
    """A constant at each pixel, the order of pixels in a block, and what has no label."""
    logits, target = random_crop()
    target = Target(target.cells, target.side)
    losses, _ = crop_losses(logits, target, kind)
    generator = torch.Generator().manual_seed(9)
    shifted = logits + torch.randn(1, 12, 16, generator=generator, dtype=torch.float64)
    blocks = logits.reshape(3, 3, 4, 4, 4).transpose(2, 3).flatten(3)
    shuffled = blocks[..., torch.randperm(16, generator=generator)]
    shuffled = shuffled.unflatten(3, (4, 4)).transpose(2, 3).reshape(3, 12, 16)
    labelled = (target.cells >= 0).repeat_interleave(4, 0).repeat_interleave(4, 1)
    elsewhere = torch.where(labelled, logits, logits * -3)
    for same in (shifted, shuffled, elsewhere):
        torch.testing.assert_close(crop_losses(same, target, kind)[0], losses)


def test_averaging_never_costs_more_than_pixels():
    """Jensen's inequality, and equality where logits are constant over a block."""
    logits, target = random_crop()
    pixel, block, mean = (crop_losses(logits, target, k)[0] for k in ("pixel", "block", "logits"))
    assert (block < pixel).all()
    assert (mean < pixel).all()
    assert not torch.allclose(block, mean)
    flat = torch.randn(3, 3, 4, dtype=torch.float64)
    flat = flat.repeat_interleave(4, 1).repeat_interleave(4, 2)
    pixel, block, mean = (crop_losses(flat, target, k)[0] for k in ("pixel", "block", "logits"))
    torch.testing.assert_close(block, pixel)
    torch.testing.assert_close(mean, pixel)


@pytest.mark.parametrize("kind", KINDS)
def test_a_labelled_cell_without_a_pixel_in_the_image_is_passed_over(kind):
    logits = torch.randn(2, 4, 4)
    valid = torch.ones(4, 4, dtype=torch.bool)
    valid[2:] = False
    target = Target(torch.tensor([[0, 1], [1, 1]]), side=2, valid=valid)
    losses, classes = crop_losses(logits, target, kind)
    assert classes.tolist() == [0, 1]
    above = Target(torch.tensor([[0, 1]]), side=2)
    torch.testing.assert_close(losses, crop_losses(logits, above, kind)[0])


def test_a_class_of_one_block_has_a_finite_bounded_weight():
    """One block beside a hundred thousand: it counts 16 times as much, and no more."""
    counts = torch.tensor([100_000, 30_000, 1, 0])
    weights = class_weights(counts, 1.0)
    assert weights.isfinite().all()
    assert float(weights[2] / weights[0]) == pytest.approx(16, rel=0.01)
    # However wrong the network is about that block, neither loss nor gradient blows up.
    logits = torch.zeros(1, 4, 8, 8)
    logits[:, 0] = 60.0
    logits.requires_grad_()
    cells = torch.zeros(2, 2, dtype=torch.long)
    cells[1, 1] = 2
    loss = batch_loss(logits, [Target(cells, side=4)], weights, "block")
    loss.backward()
    assert 0 < float(loss) < -math.log(1e-6)
    assert logits.grad.isfinite().all()
