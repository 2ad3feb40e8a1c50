"""StyleGAN-V's generator: a StyleGAN2 whose constant input is joined by a frame's motion code.

Source: StyleGAN-V (arXiv 2112.14683), Sec. 3; universome/stylegan-v, src/training/networks.py. As
there: no noise of pixels, no mixing of styles, no penalty of path lengths.
"""

from __future__ import annotations

from typing import Any

from diffusers.configuration_utils import register_to_config
from torch import Tensor

from generator.base import ClipShape
from generator.video_gan.layers import ModulatedConv
from generator.video_gan.motion import MotionCodes
from generator.video_gan.networks import ClipGenerator, Mapping, Synthesis
from generator.video_gan.settings import GANNetworkSettings


class StyleGANVGenerator(ClipGenerator):
    """Args: shape, settings: a `ClipShape` and `GANNetworkSettings`, as names and values."""

    @register_to_config
    def __init__(self, shape: dict[str, Any], settings: dict[str, Any]) -> None:
        super().__init__()
        clip, sizes = ClipShape(**shape), GANNetworkSettings(**settings)
        self.width, motion = sizes.width, sizes.motion
        self.noise_shape = (motion.noise_length(clip.num_frames), motion.width)
        self.mapping = Mapping(sizes.width, sizes.mapping_layers)
        self.motion = MotionCodes(motion)
        self.synthesis = Synthesis(
            clip,
            sizes.width,
            2 * motion.frequencies,
            sizes.channel_base,
            sizes.channel_limit,
            _layer,
        )

    def forward(self, z: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """See `ClipGenerator`."""
        frames: Tensor = self.synthesis(self.mapping(z), self.motion(times, noise))
        return frames


def _layer(style: int, inputs: int, outputs: int, up: bool, side: int) -> ModulatedConv:
    return ModulatedConv(style, inputs, outputs, up=up)
