"""What is special to a form or a part; what holds for all networks is in ``test_contract``."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.modules import box_mean, keep_center_taps
from napari_blockseg.nets.network import pad_to_multiple
from napari_blockseg.nets.truncation import to_stride, upsample


def test_paper_form_is_the_papers():
    network = build_network(NetworkConfig(form="paper", weights="none", encoder="resnet50"), 21)
    decoder = network.decoder
    branches = decoder.aspp.branches
    assert [b[0].dilation[0] for b in branches[1:4]] == [6, 12, 18]
    assert len(branches) == 5  # 1x1, three rates, image pooling
    assert decoder.aspp.project[0].weight.shape == (256, 5 * 256, 1, 1)
    assert decoder.low_level[0].weight.shape == (48, 256, 1, 1)
    assert [b[0].weight.shape for b in decoder.fuse] == [(256, 304, 3, 3), (256, 256, 3, 3)]
    assert decoder.head.weight.shape == (21, 256, 1, 1)
    eight = build_network(NetworkConfig(form="paper", weights="none", output_stride=8), 21)
    assert [b[0].dilation[0] for b in eight.decoder.aspp.branches[1:4]] == [12, 24, 36]


def test_image_pooling_is_off_in_light_and_on_in_paper():
    def windows(**options):
        network = build_network(NetworkConfig(weights="none", **options), 2)
        return [m.window for m in network.modules() if hasattr(m, "window")]

    assert windows(form="light") == []
    assert windows(form="paper") == [33]
    assert windows(form="paper", image_pooling=False) == []
    assert windows(form="light", image_pooling=True) == [33]
    assert windows(form="paper", output_stride=8) == [65]


def test_pooling_sees_a_fixed_window():
    features = torch.rand(1, 2, 40, 50)
    found = box_mean(features, 33)
    expected = features[:, :, 20 - 16 : 20 + 17, 25 - 16 : 25 + 17].mean((2, 3))
    torch.testing.assert_close(found[:, :, 20, 25], expected)
    # At an edge only cells of the image count.
    torch.testing.assert_close(found[:, :, 0, 0], features[:, :, :17, :17].mean((2, 3)))
    far = features.clone()
    far[:, :, 0, 0] = 99
    assert torch.equal(box_mean(far, 33)[:, :, 17:, 17:], found[:, :, 17:, 17:])


@pytest.mark.parametrize("form", ["light", "paper"])
def test_taps_that_no_crop_reaches_say_nothing(form):
    """In crops of 4 x 4 cells taps 6 cells off see padding alone, however long one trains."""
    network = build_network(NetworkConfig(form=form, weights="none", shortcut=False), 2)
    keep_center_taps(network.decoder)
    aspp = [m for m in network.decoder.aspp.modules() if isinstance(m, nn.Conv2d)]
    atrous = [conv for conv in aspp if max(conv.dilation) > 1]
    assert len(atrous) == 3

    def around(conv):
        taps = conv.weight.detach().clone()
        taps[..., 1, 1] = 0
        return taps.abs().max()

    assert all(around(conv) == 0 and conv.weight.abs().max() > 0 for conv in atrous)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for _ in range(2):  # the logits begin small: what lies before them learns from the second on
        network(images)[:, 0].square().mean().backward()
        optimizer.step()
    for conv in atrous:
        assert (around(conv) > 0) == (max(conv.dilation) < 4)


def test_truncation_is_block_mean_and_bilinear():
    ramp = torch.arange(16.0).repeat(8, 1)[None, None]
    coarse = to_stride(ramp, 4, 8)
    torch.testing.assert_close(coarse[0, 0, 0], torch.arange(8) * 2 + 0.5)
    fine = to_stride(coarse, 8, 4)
    torch.testing.assert_close(fine[..., 1:-1], ramp[..., 1:-1])
    assert to_stride(ramp, 4, 4) is ramp
    constant = torch.full((1, 1, 4, 4), 3.0)
    torch.testing.assert_close(upsample(constant, 4), torch.full((1, 1, 16, 16), 3.0))


def test_truncation_removes_what_the_grid_cannot_hold():
    """The highest frequency of the fine grid is gone on the coarse one: gain 0, and 1 at DC."""
    checker = torch.tensor([1.0, -1.0]).repeat(8)[None, None, None].expand(1, 1, 16, 16)
    assert to_stride(checker, 4, 8).abs().max() == 0
    assert to_stride(checker + 2, 4, 8).unique().tolist() == [2.0]


def test_padding_continues_the_edge():
    image = torch.rand(1, 1, 30, 33)
    padded = pad_to_multiple(image, 32)
    assert padded.shape == (1, 1, 32, 64)
    assert torch.equal(padded[..., :30, :33], image)
    assert torch.equal(padded[..., 31, :33], image[..., -1, :])
    assert pad_to_multiple(padded, 32) is padded


def test_padding_does_not_shift_the_logits():
    """A size that is no multiple of 32 gives the logits of the same picture at the same places."""
    network = build_network(NetworkConfig(), 3).eval()
    image = torch.rand(1, 3, 128, 128)
    with torch.inference_mode():
        whole = network(pad_to_multiple(image[..., :100, :100], 32))
        cropped = network(image[..., :100, :100])
    torch.testing.assert_close(whole[..., :100, :100], cropped)


def test_impossible_networks_are_refused():
    with pytest.raises(NetworkError, match="0 classes"):
        build_network(NetworkConfig(weights="none"), 0)
