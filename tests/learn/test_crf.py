"""The gated CRF term, against plain sums over pairs of pixels."""

from __future__ import annotations

import math

import pytest
import torch

from napari_blockseg.learn.losses import gated_crf


def crf_by_hand(logits, images, inside):
    """The published sum, pair by pair: (batch, classes, rows, cols) with pixels as cells."""
    chances = logits.double().softmax(1)
    n, _, rows, cols = logits.shape
    places = [(i, r, c) for i in range(n) for r in range(rows) for c in range(cols)]
    total = 0.0
    for i, r, c in places:
        for j, s, d in places:
            far = i != j or (r, c) == (s, d) or max(abs(r - s), abs(c - d)) > 5
            if far or not (inside[i, r, c] and inside[j, s, d]):
                continue
            place = (r - s) ** 2 + (c - d) ** 2
            color = float(((images[i, :, r, c] - images[i, :, s, d]).double() ** 2).sum())
            kernel = math.exp(-place / (2 * 6**2) - color / (2 * 0.1**2))
            total += kernel * (1 - float(chances[i, :, r, c] @ chances[j, :, s, d]))
    return total / max(1, int(inside.sum()))


def example(n=1, classes=3, rows=7, cols=8, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, rows, cols, generator=generator, dtype=torch.float64)
    # Contrasts about as large as the kernel is wide, so that colors matter.
    images = 0.5 + 0.1 * torch.randn(n, channels, rows, cols, generator=generator)
    return logits, images.double()


@pytest.mark.parametrize(
    ("classes", "rows", "cols"), [(2, 7, 8), (1, 3, 4), (3, 1, 9), (2, 8, 1), (3, 1, 1)]
)
def test_it_is_the_sum_over_pairs(classes, rows, cols):
    logits, images = example(2, classes, rows, cols)
    inside = torch.ones(2, rows, cols, dtype=torch.bool)
    expected = crf_by_hand(logits, images, inside)
    assert float(gated_crf(logits, images, grid=1)) == pytest.approx(expected, rel=1e-12)


def test_pixels_outside_are_gated_out():
    logits, images = example()
    inside = torch.rand(1, 7, 8, generator=torch.Generator().manual_seed(5)) < 0.6
    expected = crf_by_hand(logits, images, inside)
    assert float(gated_crf(logits, images, inside, grid=1)) == pytest.approx(expected, rel=1e-12)
    changed = torch.where(inside[:, None], logits, -logits)
    assert gated_crf(changed, images, inside, grid=1) == gated_crf(logits, images, inside, grid=1)
    nothing = gated_crf(logits, images, torch.zeros_like(inside), grid=1)
    assert float(nothing) == 0


@pytest.mark.parametrize("grid", [1, 2])
def test_its_gradient(grid):
    logits, images = example(classes=2, rows=4, cols=5)
    inside = torch.ones(1, 4, 5, dtype=torch.bool)
    inside[:, 2:, 4:] = False
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda y: gated_crf(y, images, inside, grid), (logits,))


def test_one_class_with_certainty_costs_nothing():
    _, images = example()
    certain = torch.zeros(1, 3, 7, 8)
    certain[:, 1] = 100.0
    assert float(gated_crf(certain, images)) == pytest.approx(0, abs=1e-5)


def test_what_leaves_it_unchanged():
    logits, images = example(rows=8, cols=8)
    loss = float(gated_crf(logits, images))
    turned = gated_crf(logits.transpose(2, 3), images.transpose(2, 3))
    mirrored = gated_crf(logits.flip(3), images.flip(3))
    other_classes = gated_crf(logits.flip(1), images)
    brighter = gated_crf(logits + 3.0, images + 0.2)
    for same in (turned, mirrored, other_classes, brighter):
        assert float(same) == pytest.approx(loss, rel=1e-12)


def test_a_grey_image_is_its_copy_in_three_channels():
    logits, grey = example(channels=1)
    in_three = gated_crf(logits, grey.expand(1, 3, 7, 8))
    assert float(gated_crf(logits, grey)) == pytest.approx(float(in_three), rel=1e-12)


def test_an_edge_costs_where_colors_do_not_change():
    """Two classes that meet in the middle: cheap on an edge of the image, dear beside it."""
    logits = torch.zeros(1, 2, 16, 32)
    logits[:, 0, :, :16], logits[:, 1, :, 16:] = 20.0, 20.0
    image = torch.zeros(1, 3, 16, 32)
    image[..., 16:] = 1.0
    on_edge, beside = gated_crf(logits, image), gated_crf(logits, image.roll(6, 3))
    assert float(on_edge) < 1e-6
    assert float(beside) > 1.0


def test_coarse_cells_give_nearly_the_same():
    """What changes little within a cell: logits on a grid of four pixels, interpolated."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 4, 16, 16, generator=generator) * 2
    logits = torch.nn.functional.interpolate(logits, scale_factor=4, mode="bilinear")
    images = torch.rand(2, 3, 8, 8, generator=generator)
    images = torch.nn.functional.interpolate(images, scale_factor=8, mode="bilinear")
    fine = float(gated_crf(logits, images, grid=1))
    assert float(gated_crf(logits, images, grid=2)) == pytest.approx(fine, rel=0.2)


def test_descending_along_it_finds_the_edge_of_the_image():
    """Half of the pixels are undecided; they go to the side whose color they have."""
    image = torch.zeros(1, 1, 12, 24)
    image[..., 14:] = 1.0
    start = torch.zeros(1, 2, 12, 24)
    start[:, 0, :, :6], start[:, 1, :, 18:] = 4.0, 4.0
    logits = start.clone().requires_grad_()
    for _ in range(60):
        gated_crf(logits, image, grid=1).backward()
        with torch.no_grad():
            logits -= 30 * logits.grad
            logits[..., :6], logits[..., 18:] = start[..., :6], start[..., 18:]
            logits.grad = None
    found = logits.argmax(1)[0]
    assert (found[:, :14] == 0).all()
    assert (found[:, 14:] == 1).all()
