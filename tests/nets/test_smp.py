"""DeepLabV3+ of segmentation_models_pytorch: its weights, our network, the same logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_blockseg.core.config import NetworkConfig, checked
from napari_blockseg.core.errors import BlockSegError, NetworkError
from napari_blockseg.nets.build import build_network

smp = pytest.importorskip("segmentation_models_pytorch")

# Of the largest logit, in single precision; measured are 1e-6 and less.
TOLERANCE = 1e-5


def theirs(encoder, output_stride=16, classes=5, **options):
    torch.manual_seed(0)
    network = smp.DeepLabV3Plus(
        encoder,
        encoder_weights=None,
        encoder_output_stride=output_stride,
        classes=classes,
        **options,
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Fresh statistics would not tell one batch norm from another.
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def ours(path, encoder, output_stride=16, classes=5, **options):
    config = NetworkConfig(
        form="smp", encoder=encoder, weights=str(path), output_stride=output_stride, **options
    )
    return build_network(config, classes).eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("smp") / "resnet18.pth"
    torch.save(theirs("resnet18").state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("encoder", "output_stride"),
    [
        ("resnet18", 16),
        ("resnet18", 8),
        ("tu-resnet18", 16),
        ("tu-resnet18", 8),
        ("tu-tf_efficientnet_lite0", 16),
        ("tu-mobilenetv2_100", 16),
    ],
)
def test_same_weights_give_the_same_logits(tmp_path, encoder, output_stride):
    reference = theirs(encoder, output_stride)
    path = tmp_path / "network.pth"
    torch.save(reference.state_dict(), path)
    network = ours(path, encoder, output_stride)
    images = torch.rand(2, 3, 128, 96)
    with torch.inference_mode():
        expected = reference((images - network.encoder.mean) / network.encoder.std)
        found = network(images)
    assert float(expected.std()) > 0.01
    largest = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * largest)


def test_the_two_encoders_of_one_name_differ(checkpoint):
    """The library's ResNet dilates a whole stage, timm's all but its first convolution."""
    own, timms = ours(checkpoint, "resnet18"), ours(checkpoint, "tu-resnet18")
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(own(image), timms(image), rtol=0.01)


def test_other_number_of_classes_starts_a_new_head(checkpoint):
    five, seven = ours(checkpoint, "resnet18"), ours(checkpoint, "resnet18", classes=7)
    for key, tensor in seven.decoder.state_dict().items():
        assert key.startswith("head.") or torch.equal(tensor, five.decoder.state_dict()[key]), key
    assert seven.decoder.head.weight.shape[0] == 7


def test_other_channels_keep_the_decoder_and_adapt_the_encoder(checkpoint):
    config = NetworkConfig(form="smp", encoder="resnet18", weights=str(checkpoint))
    grey = build_network(config, 5, n_channels=1).eval()
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        assert grey(image).shape == (1, 5, 64, 64)
    color = ours(checkpoint, "resnet18")
    assert torch.equal(grey.decoder.head.weight, color.decoder.head.weight)


@pytest.mark.parametrize("way", ["area", "strided"])
def test_it_can_be_truncated(checkpoint, way):
    network = ours(checkpoint, "resnet18", decoder_stride=16, truncation=way)
    full = ours(checkpoint, "resnet18")
    assert torch.equal(network.decoder.fuse[0][1].weight, full.decoder.fuse[0][1].weight)
    with torch.inference_mode():
        assert network.coarse_logits(torch.rand(1, 3, 64, 64)).shape == (1, 5, 4, 4)


def test_wrapped_names_and_safetensors(tmp_path, checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    path = tmp_path / "lightning.safetensors"
    save_file({f"model.{key}": tensor for key, tensor in state.items()}, path)
    found = ours(path, "resnet18").state_dict()
    expected = ours(checkpoint, "resnet18").state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_its_encoder_serves_our_other_forms(checkpoint):
    config = NetworkConfig(encoder="resnet18", weights=str(checkpoint))
    state = torch.load(checkpoint, weights_only=True)
    network = build_network(config, 2)
    found = network.encoder.backbone.conv1.weight
    assert torch.equal(found, state["encoder.conv1.weight"])


def test_weights_of_an_encoder_alone_leave_the_decoder_new(tmp_path):
    source = build_network(NetworkConfig(encoder="resnet18", weights="none"), 2).encoder.backbone
    path = tmp_path / "encoder.safetensors"
    save_file(source.state_dict(), path)
    network = ours(path, "tu-resnet18")
    assert torch.equal(network.encoder.backbone.conv1.weight, source.conv1.weight)


def test_another_decoder_is_refused(tmp_path):
    path = tmp_path / "wide.pth"
    torch.save(theirs("resnet18", decoder_channels=64).state_dict(), path)
    with pytest.raises(NetworkError, match=r"got shape \(64,.*expected shape \(256,.*default"):
        ours(path, "resnet18")


def test_another_encoder_is_refused(checkpoint):
    with pytest.raises(NetworkError, match=r"does not fit.*got .*expected shape.*encoder and"):
        ours(checkpoint, "tu-mobilenetv2_100")


def test_an_unknown_name_is_refused():
    with pytest.raises(NetworkError, match="timm does not have"):
        build_network(NetworkConfig(form="smp", encoder="tu-resnet5", weights="none"), 2)


def test_dan_has_no_such_form():
    with pytest.raises(BlockSegError, match="'smp' is one of deeplabv3plus"):
        checked(NetworkConfig, {"network": "dan", "form": "smp"})


def test_training_with_one_crop_a_batch():
    """Batch norm behind the pooled mean must not need a second image."""
    network = build_network(NetworkConfig(form="smp", encoder="resnet18", weights="none"), 2)
    network.train()(torch.rand(1, 3, 64, 64)).sum().backward()
    assert np.isfinite(float(network.decoder.head.weight.grad.abs().sum()))
