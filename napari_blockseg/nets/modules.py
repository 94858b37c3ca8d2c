"""The parts that decoders are made of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_blockseg.nets.truncation import StridedConv


class ConvBlock(nn.Sequential):
    """Convolution without bias, batch norm, ReLU; rows and cols are kept.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel : int
        Side of the kernel, odd.
    rate : int
        Dilation.
    groups : int
        Groups of the convolution; `n_in` makes it depthwise.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int = 1, rate: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(
                n_in,
                n_out,
                kernel,
                padding=rate * (kernel // 2),
                dilation=rate,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
        )


class SeparableConv(nn.Sequential):
    """Depthwise 3x3, then 1x1, each with batch norm and ReLU."""

    def __init__(self, n_in: int, n_out: int, rate: int = 1) -> None:
        super().__init__(
            ConvBlock(n_in, n_in, kernel=3, rate=rate, groups=n_in), ConvBlock(n_in, n_out)
        )


class WindowPooling(nn.Module):
    """Image pooling that looks at a fixed window, so that tiles and whole images agree.

    The mean of a square window around each cell (only cells of the image count), then a 1x1
    convolution. Where the input fits into half a window it is the mean of all of it, as in the
    paper.

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    window : int
        Side of the window in cells, odd.
    """

    def __init__(self, n_in: int, n_out: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.project = ConvBlock(n_in, n_out)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, n_out, rows, cols) from (n, n_in, rows, cols)."""
        return self.project(box_mean(features, self.window))  # type: ignore[no-any-return]


def box_mean(features: Tensor, window: int) -> Tensor:
    """Return the mean of a window x window box around each cell, clipped at the edges."""
    half = window // 2
    # A box is separable, and so is the number of cells it covers at an edge.
    rows = F.avg_pool2d(features, (window, 1), 1, (half, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, window), 1, (0, half), count_include_pad=False)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling as in DeepLabV3+: dense 3x3 branches.

    Parameters
    ----------
    n_in, n_out : int
        Channels of the input, and of every branch and the output.
    rates : sequence of int
        Dilations of the 3x3 branches.
    pooling_window : int or None
        Side of the image pooling window in cells; None leaves that branch out.
    """

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[int], pooling_window: int | None
    ) -> None:
        super().__init__()
        branches: list[nn.Module] = [ConvBlock(n_in, n_out)]
        branches += [ConvBlock(n_in, n_out, kernel=3, rate=rate) for rate in rates]
        if pooling_window is not None:
            branches.append(WindowPooling(n_in, n_out, pooling_window))
        self.branches = nn.ModuleList(branches)
        self.project = ConvBlock(n_out * len(branches), n_out)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, n_out, rows, cols) from (n, n_in, rows, cols)."""
        seen = torch.cat([branch(features) for branch in self.branches], dim=1)
        return self.project(seen)  # type: ignore[no-any-return]


class LightASPP(nn.Module):
    """The same idea at a tenth of the cost: channels are reduced first, branches are depthwise."""

    def __init__(
        self, n_in: int, n_out: int, rates: Sequence[int], pooling_window: int | None
    ) -> None:
        super().__init__()
        self.reduce = ConvBlock(n_in, n_out)
        branches: list[nn.Module] = [
            ConvBlock(n_out, n_out, kernel=3, rate=rate, groups=n_out) for rate in rates
        ]
        if pooling_window is not None:
            branches.append(WindowPooling(n_out, n_out, pooling_window))
        self.branches = nn.ModuleList(branches)
        self.project = ConvBlock(n_out * (1 + len(branches)), n_out)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n, n_out, rows, cols) from (n, n_in, rows, cols)."""
        reduced = self.reduce(features)
        seen = torch.cat([reduced, *(branch(reduced) for branch in self.branches)], dim=1)
        return self.project(seen)  # type: ignore[no-any-return]


class ZeroConv(nn.Conv2d):
    """A convolution that starts at zero, without drawing."""

    def reset_parameters(self) -> None:
        """Set the weights to zero."""
        nn.init.zeros_(self.weight)


def initialize(decoder: nn.Module) -> None:
    """Draw convolution weights by He's rule and set the logits' bias to 0."""
    for module in decoder.modules():
        # A way down starts as the block mean, a branch at zero.
        if isinstance(module, nn.Conv2d) and not isinstance(module, StridedConv | ZeroConv):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                # The head: small weights, so that training starts at equal class chances.
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)


@torch.no_grad()
def keep_center_taps(decoder: nn.Module) -> None:
    """Leave atrous convolutions as drawn their central tap; the others begin at zero.

    Notes
    -----
    The other taps lie `dilation` cells off. In crops about as narrow as that they see padding and
    hardly anything else, while prediction shows them the image: drawn ones then answer with noise,
    which batch norm has scaled up to the little that training saw. Zero says nothing, and learns
    where there is something to see.
    """
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            weight = module.weight
            row, col = weight.shape[-2] // 2, weight.shape[-1] // 2
            center = weight[..., row, col].clone()
            nn.init.zeros_(weight)
            weight[..., row, col] = center
