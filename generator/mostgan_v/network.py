"""MoStGAN-V's generator: StyleGAN-V's, and in some layers motion styles that bend the weights.

[w, motion code of a frame] -> n motion styles -> in a layer, a kernel each -> every filter attends
to the kernels that are like it -> their mixture scales it

Source: MoStGAN-V (arXiv 2304.02777), Sec. 3, its motion style attention (MoStAtt);
xiaoqian-shen/MoStGAN-V, src/training/layers.py, `tensor_modulation_word`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pydantic
import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from generator.base import ClipShape
from generator.video_gan.layers import EPSILON, EqualLinear, ModulatedConv
from generator.video_gan.motion import MotionCodes
from generator.video_gan.networks import ClipGenerator, Mapping, Synthesis
from generator.video_gan.settings import GANNetworkSettings


class MoStNetworkSettings(GANNetworkSettings):
    """Sizes of both networks. Defaults: as released (configs/model/stylegan-v.yaml there)."""

    motion_styles: int = pydantic.Field(default=8, ge=1)
    """Of each frame."""
    motion_style_width: int = pydantic.Field(default=128, ge=1)
    """Of each of them."""
    attend_from: int = pydantic.Field(default=16, ge=4)
    """Pixels of the shorter side from which on layers attend to them."""
    attend_to: int = pydantic.Field(default=128, ge=4)
    """And up to which."""


class AttendingConv(ModulatedConv):
    """A modulated convolution whose filters attend to the motion styles of a frame."""

    def __init__(
        self, style: int, inputs: int, outputs: int, *, up: bool, motion_style: int
    ) -> None:
        super().__init__(style, inputs, outputs, up=up)
        rows, columns = self.weight.shape[2:]
        self.parts = [inputs, rows, columns]
        self.kernel = EqualLinear(motion_style, sum(self.parts), bias=1.0)

    def weights(self, style: Tensor, motion: Tensor | None) -> Tensor:
        """(B T, O, C, k, k): see `ModulatedConv.weights`, scaled by 1 + what the filters attend to.

        A motion style's kernel is the outer product of a vector of channels, one of rows and one
        of columns. A filter's scores are its products with the kernels, over the root of their
        length; the mixture's largest entry of a frame is 1.
        """
        assert motion is not None
        weights = super().weights(style, None)
        weights = weights.repeat_interleave(len(motion) // len(weights), 0)
        channels, rows, columns = self.kernel(motion).split(self.parts, -1)
        kernels = torch.einsum("fnc,fny,fnx->fncyx", channels, rows, columns).flatten(2)
        scores = weights.flatten(2) @ kernels.transpose(1, 2) / math.sqrt(kernels.shape[-1])
        mixed = scores.softmax(-1) @ kernels  # (B T, O, C k k)
        mixed = mixed / (mixed.abs().amax((1, 2), keepdim=True) + EPSILON)
        return weights * (1 + F.leaky_relu(mixed, 0.2).view_as(weights))


class MoStGANVGenerator(ClipGenerator):
    """Args: shape, settings: a `ClipShape` and `MoStNetworkSettings`, as names and values."""

    @register_to_config
    def __init__(self, shape: dict[str, Any], settings: dict[str, Any]) -> None:
        super().__init__()
        clip, sizes = ClipShape(**shape), MoStNetworkSettings(**settings)
        self.width, motion = sizes.width, sizes.motion
        self.noise_shape = (motion.noise_length(clip.num_frames), motion.width)
        self.mapping = Mapping(sizes.width, sizes.mapping_layers)
        self.motion = MotionCodes(motion)
        codes, styles = 2 * motion.frequencies, sizes.motion_styles
        self.styles = nn.Sequential(
            EqualLinear(sizes.width + codes, styles * sizes.width, active=True),
            EqualLinear(styles * sizes.width, styles * sizes.motion_style_width),
            nn.Unflatten(-1, (styles, sizes.motion_style_width)),
        )
        self.synthesis = Synthesis(
            clip,
            sizes.width,
            codes,
            sizes.channel_base,
            sizes.channel_limit,
            partial(_layer, sizes),
        )

    def forward(self, z: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """See `ClipGenerator`."""
        style, codes = self.mapping(z), self.motion(times, noise)
        both = torch.cat([style[:, None].expand(-1, codes.shape[1], -1), codes], -1)
        frames: Tensor = self.synthesis(style, codes, self.styles(both.flatten(0, 1)))
        return frames


def _layer(
    sizes: MoStNetworkSettings, style: int, inputs: int, outputs: int, up: bool, side: int
) -> ModulatedConv:
    if sizes.attend_from <= side <= sizes.attend_to:
        width = sizes.motion_style_width
        return AttendingConv(style, inputs, outputs, up=up, motion_style=width)
    return ModulatedConv(style, inputs, outputs, up=up)
