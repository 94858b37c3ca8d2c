from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from napari_blockseg.learn.augment import RandomIntensity, RandomQuarterTurn, crop_transform


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_intensity_works_for_any_channels_and_leaves_masks(channels):
    torch.manual_seed(0)
    image = torch.rand(channels, 8, 8)
    mask = torch.randint(0, 9, (8, 8))
    changed, kept = RandomIntensity()(tv_tensors.Image(image), tv_tensors.Mask(mask))
    assert not torch.equal(changed, image)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(kept, mask)


def test_no_strength_changes_nothing():
    image = tv_tensors.Image(torch.rand(3, 8, 8))
    torch.testing.assert_close(RandomIntensity(0.0)(image), image)


def test_quarter_turns_take_image_and_mask_along():
    torch.manual_seed(0)
    seen = set()
    cells = torch.arange(9).reshape(3, 3)
    image = cells.repeat_interleave(4, 0).repeat_interleave(4, 1)[None].float()
    for _ in range(30):
        turned, mask = RandomQuarterTurn()([tv_tensors.Image(image), tv_tensors.Mask(cells)])
        assert torch.equal(turned[0, ::4, ::4], mask.float())
        seen.add(tuple(mask.flatten().tolist()))
    assert len(seen) == 4


def test_upright_never_turns_upside_down():
    torch.manual_seed(0)
    image = tv_tensors.Image(torch.linspace(0.3, 0.6, 16).repeat_interleave(16).reshape(1, 16, 16))

    def upside_down(orientation):
        turned = [crop_transform(orientation)([image])[0] for _ in range(40)]
        return sum(float(x[0, 0].mean()) > float(x[0, -1].mean()) for x in turned)

    assert upside_down("upright") == 0
    assert 5 < upside_down("any") < 35
