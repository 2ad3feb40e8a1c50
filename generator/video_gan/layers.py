"""Layers of StyleGAN2: equalised learning rates, modulated convolutions, smooth resampling.

Weights are drawn from N(0, 1) and scaled where they are used, so that Adam moves all of them alike.
Source: StyleGAN2 (arXiv 1912.04958), Sec. 2 and appendix B; equalised learning rate: ProGAN (arXiv
1710.10196), Sec. 4.1.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-8


def activate(x: Tensor) -> Tensor:
    """Leaky ReLU (0.2) that keeps the second moment."""
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def normalised(x: Tensor) -> Tensor:
    """(B, D) with a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + EPSILON).rsqrt()


class EqualLinear(nn.Module):
    """A linear layer. rate: of its learning, relative to the others'; bias: None for none."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        rate: float = 1.0,
        bias: float | None = 0.0,
        active: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = None if bias is None else nn.Parameter(torch.full((outputs,), bias))
        self.gain, self.rate, self.active = rate / math.sqrt(inputs), rate, active

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        bias = None if self.bias is None else self.bias * self.rate
        x = F.linear(x, self.weight * self.gain, bias)
        return activate(x) if self.active else x


class EqualConv(nn.Module):
    """A convolution of pictures that keeps their size, or halves it without aliasing."""

    def __init__(
        self, inputs: int, outputs: int, size: int, *, down: bool = False, active: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if active else None
        self.gain, self.down, self.active = 1 / math.sqrt(inputs * size**2), down, active

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w), or half of both."""
        size = self.weight.shape[-1]
        if self.down:
            # A tap of the filter more on each side where the kernel has three.
            x = smoothed(x, padding=(size + 1) // 2)
        weight, padding = self.weight * self.gain, 0 if self.down else size // 2
        x = F.conv2d(x, weight, self.bias, stride=2 if self.down else 1, padding=padding)
        return activate(x) if self.active else x


def smoothed(x: Tensor, *, padding: int, gain: float = 1.0) -> Tensor:
    """(B, C, h, w) -> the same but for the border, filtered by [1, 3, 3, 1] in both directions."""
    return F.conv2d(x, _kernels(x) * gain, padding=padding, groups=x.shape[1])


def doubled(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, 2h, 2w), smooth."""
    return F.conv_transpose2d(x, _kernels(x) * 4, stride=2, padding=1, groups=x.shape[1])


def _kernels(like: Tensor) -> Tensor:
    """The filter once for each channel, (C, 1, 4, 4): CPUs have a fast way for it in this form."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype, device=like.device) / 8
    return torch.outer(taps, taps).expand(like.shape[1], 1, -1, -1)


class ModulatedConv(nn.Module):
    """A convolution whose weights each clip's style scales; up: it doubles the picture."""

    def __init__(
        self,
        style: int,
        inputs: int,
        outputs: int,
        *,
        size: int = 3,
        up: bool = False,
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.affine = EqualLinear(style, inputs, bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.up, self.demodulate = up, demodulate

    def weights(self, style: Tensor, motion: Tensor | None) -> Tensor:
        """(M, outputs, inputs, size, size): the weights, scaled for each style.

        Args: style: (B, D), one a clip; motion: (B T, n, d), what moves in each frame, which only a
        subclass looks at. M: B or B T.
        Source: StyleGAN2, Eq. 1.
        """
        return self.weight * self.affine(style)[:, None, :, None, None]

    def forward(self, x: Tensor, style: Tensor, motion: Tensor | None = None) -> Tensor:
        """x: (B T, inputs, h, w), the frames of a clip in a row; style, motion: see `weights`."""
        weights = self.weights(style, motion)
        if self.demodulate:
            # Source: StyleGAN2, Eq. 3.
            weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + EPSILON).rsqrt()
            return activate(convolved(x, weights, up=self.up) + self.bias[:, None, None])
        inputs = self.weight[0].numel()
        return convolved(x, weights / math.sqrt(inputs)) + self.bias[:, None, None]


def convolved(x: Tensor, weights: Tensor, *, up: bool = False) -> Tensor:
    """Convolve each run of pictures with weights of its own, as groups of one convolution.

    Args: x: (M n, C, h, w), n pictures for each of the weights, (M, O, C, k, k).
    Returns: (M n, O, h, w), or twice the height and width.
    """
    groups, outputs, _, size = weights.shape[:4]
    together = x.unflatten(0, (groups, -1)).transpose(0, 1).flatten(1, 2)  # (n, M C, h, w)
    if up:
        kernels = weights.transpose(1, 2).flatten(0, 1)  # (M C, O, k, k)
        made = F.conv_transpose2d(together, kernels, stride=2, groups=groups)
        made = smoothed(made, padding=1, gain=4.0)
    else:
        made = F.conv2d(together, weights.flatten(0, 1), padding=size // 2, groups=groups)
    return made.unflatten(1, (groups, outputs)).transpose(0, 1).flatten(0, 1)


class Deviation(nn.Module):
    """One more channel: how much the clips of a small group differ, which shows a generator that
    makes always the same.  Source: ProGAN (arXiv 1710.10196), Sec. 3."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C + 1, h, w)."""
        groups = x.unflatten(0, (math.gcd(len(x), 4), -1))
        spread = (groups.var(0, unbiased=False) + EPSILON).sqrt().mean((1, 2, 3))
        channel = spread.repeat(len(groups))[:, None, None, None]
        return torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], 1)
