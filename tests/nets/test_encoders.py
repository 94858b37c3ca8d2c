from __future__ import annotations

import pytest
import torch

from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets.encoders import GOOD_ENCODERS, build_encoder


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("name", GOOD_ENCODERS)
def test_encoder_contract(name, output_stride):
    encoder = build_encoder(name, "none", 3, output_stride).eval()
    with torch.inference_mode():
        features = encoder(torch.rand(1, 3, 64, 96))
    assert 4 in encoder.strides
    assert encoder.strides[-1] == output_stride
    for feature, channels, stride in zip(features, encoder.channels, encoder.strides, strict=True):
        assert feature.shape == (1, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "vit_small_patch16_224"])
def test_encoder_without_dilated_form_is_refused(name):
    with pytest.raises(NetworkError, match=r"no form with output stride 16.*resnet18"):
        build_encoder(name, "none", 3, 16)


def test_unknown_encoder_lists_near_names():
    with pytest.raises(NetworkError, match=r"timm does not have.*Near it:.*resnet50"):
        build_encoder("resnet5", "none", 3, 16)


def test_unknown_weights_name_says_what_is_allowed():
    with pytest.raises(NetworkError, match="'imagenet', 'none', or a file"):
        build_encoder("resnet18", "imagnet", 3, 16)


def test_no_network_and_no_weights_says_how_to_go_on(monkeypatch):
    import timm

    original = timm.create_model

    def offline(name, *args, pretrained=False, **kwargs):
        if pretrained:
            raise OSError("no route to host")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(NetworkError, match=r"could not be had.*--weights none"):
        build_encoder("resnet18", "imagenet", 3, 16)


def test_pretrained_weights_are_timms(monkeypatch):
    import timm

    full = timm.create_model("resnet18")
    original = timm.create_model

    def online(name, *args, pretrained=False, **kwargs):
        return full if pretrained else original(name, *args, **kwargs)

    monkeypatch.setattr(timm, "create_model", online)
    encoder = build_encoder("resnet18", "imagenet", 3, 16)
    expected = full.state_dict()
    for key, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_one_channel_equals_grey_in_three(name, tmp_path):
    """The adapted first convolution gives what the original gives for (g, g, g)."""
    colored = build_encoder(name, "none", 3, 16).eval()
    path = tmp_path / "weights.safetensors"
    from safetensors.torch import save_file

    save_file(colored.backbone.state_dict(), path)
    # The same weights, through a file, once for three channels and once for one.
    three = build_encoder(name, str(path), 3, 16).eval()
    one = build_encoder(name, str(path), 1, 16).eval()
    grey = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        expected = _stem(three)((grey.expand(-1, 3, -1, -1) - three.mean) / three.std)
        found = _stem(one)((grey - one.mean) / one.std)
    inside = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-5, rtol=1e-4)


def _stem(encoder):
    return next(m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d))


@pytest.mark.parametrize("channels", [2, 5])
def test_other_channels_keep_the_size_of_activations(channels):
    encoder = build_encoder("resnet18", "none", channels, 16).eval()
    reference = build_encoder("resnet18", "none", 3, 16).eval()
    flat = torch.full((1, 1, 64, 64), 0.9)
    with torch.inference_mode():
        found = encoder(flat.expand(-1, channels, -1, -1))[0]
        expected = reference(flat.expand(-1, 3, -1, -1))[0]
    assert encoder.n_channels == channels
    assert 0.2 < float(found.std() / expected.std()) < 5
