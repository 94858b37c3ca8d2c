from __future__ import annotations

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from napari_blockseg.core.config import NetworkConfig
from napari_blockseg.learn.export import LOGITS, write_graph
from napari_blockseg.nets.build import build_network
from napari_blockseg.nets.same_padding import EvenConv2dSame, without_padded_copies


@settings(max_examples=40)
@given(
    kernel=st.sampled_from([1, 2, 3, 4, 5, 7]),
    stride=st.sampled_from([1, 2, 4]),
    dilation=st.sampled_from([1, 2]),
    rows=st.integers(8, 21),
    cols=st.integers(8, 21),
    depthwise=st.booleans(),
)
def test_it_gives_what_timm_gives_and_the_same_gradients(
    kernel, stride, dilation, rows, cols, depthwise
):
    torch.manual_seed(kernel)
    conv = Conv2dSame(
        4, 8, kernel, stride=stride, dilation=dilation, groups=4 if depthwise else 1
    ).double()
    image = torch.rand(2, 4, rows, cols, dtype=torch.float64)
    results = []
    for kind in (Conv2dSame, EvenConv2dSame):
        conv.__class__ = kind
        conv.zero_grad()
        seen = image.clone().requires_grad_()
        found = conv(seen)
        found.square().sum().backward()
        results.append((found, seen.grad, conv.weight.grad.clone(), conv.bias.grad.clone()))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_only_convolutions_with_a_copy_change_and_weights_keep_their_names():
    chain = nn.Sequential(Conv2dSame(3, 4, 3, stride=2), nn.Conv2d(4, 4, 3))
    before = {name: value.clone() for name, value in chain.state_dict().items()}
    without_padded_copies(chain)
    assert [type(part) for part in chain] == [EvenConv2dSame, nn.Conv2d]
    after = chain.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("size", [(97, 97), (64, 96)])
def test_the_graph_pads_the_image_and_nothing_else(tmp_path, size):
    network = build_network(NetworkConfig(weights="none", decoder_stride=8), 3).eval()
    path = tmp_path / "network.onnx"
    write_graph(network, torch.rand(1, 3, *size), path, [LOGITS])
    pads = [node for node in onnx.load(str(path)).graph.node if node.op_type == "Pad"]
    assert len(pads) == (1 if size[0] % 32 else 0)
