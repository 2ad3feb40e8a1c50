"""Motion codes: what a frame's time says to a generator, for any time and without repeats.

noise at equal distances -> two convolutions -> u at those times -> waves whose periods and phases
u sets, bent so that they pass through A u at each of them

Source: StyleGAN-V (arXiv 2112.14683), Sec. 3, its acyclic positional encoding;
universome/stylegan-v, src/training/motion.py and configs/model/stylegan-v.yaml.
"""

from __future__ import annotations

import math

import pydantic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generator.video_gan.layers import EqualLinear

SLOW = 0.01  # the convolutions learn at a hundredth of the rate


class MotionSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Sizes of the motion codes. Defaults: as released."""

    width: int = pydantic.Field(default=512, ge=1)
    """Of the noise, and of u."""
    distance: int = pydantic.Field(default=16, ge=1)
    """Frames from one u to the next; the shortest period too."""
    kernel: int = pydantic.Field(default=11, ge=1)
    """Of both convolutions, in vectors of noise."""
    frequencies: int = pydantic.Field(default=256, ge=1)
    """Waves; a code has a sine and a cosine of each."""
    longest_period: int = pydantic.Field(default=1024, ge=2)
    """In frames."""

    def noise_length(self, num_frames: int) -> int:
        """Vectors of noise that a clip of so many frames needs."""
        codes = math.ceil((num_frames - 1) / self.distance) + 2
        return codes + 2 * (self.kernel - 1)


class MotionCodes(nn.Module):
    """The codes of a clip's frames."""

    speeds: Tensor
    reach: Tensor

    def __init__(self, settings: MotionSettings) -> None:
        super().__init__()
        self.settings, width, waves = settings, settings.width, settings.frequencies
        shape = (2, width, width, settings.kernel)
        self.weights = nn.Parameter(torch.randn(shape) / SLOW)
        self.biases = nn.Parameter(torch.zeros(2, width))
        # Without a bias: motion could come from it alone, the same in all clips.
        self.period = EqualLinear(width, waves, bias=None)
        self.phase = EqualLinear(width, waves, bias=None)
        self.through = EqualLinear(width, 2 * waves, bias=None)
        longest = max(settings.longest_period, settings.distance)
        exponents = torch.linspace(math.log2(longest), math.log2(settings.distance), waves)
        self.register_buffer("speeds", 2 * math.pi / 2**exponents, persistent=False)
        self.register_buffer("reach", longest / 2**exponents, persistent=False)

    def forward(self, times: Tensor, noise: Tensor) -> Tensor:
        """The codes v(t) = wave(t) - line(t) + straight(t): `line` joins the wave's values at the
        times of the two u around t, `straight` joins what u asks for there.

        Args: times: (B, T) float, in frames, from 0; noise: (B, `noise_length`, width).
        Returns: (B, T, 2 frequencies).
        """
        codes = self._trajectory(noise)
        apart = self.settings.distance
        index = (times / apart).floor().long()
        share = (times / apart - index)[..., None]
        rows = torch.arange(len(times), device=times.device)[:, None]
        left, right = codes[rows, index], codes[rows, index + 1]
        period, phase = self.period(left).tanh() + 1, self.phase(left) * self.reach

        def wave(time: Tensor) -> Tensor:
            angle = self.speeds * period * time[..., None] + phase
            return torch.cat([angle.sin(), angle.cos()], -1)

        line = torch.lerp(wave(index * float(apart)), wave((index + 1) * float(apart)), share)
        straight = torch.lerp(self.through(left), self.through(right), share)
        return wave(times) - line + straight

    def _trajectory(self, noise: Tensor) -> Tensor:
        """(B, L, width) noise -> u, shorter by what two convolutions without padding take."""
        gain = SLOW / math.sqrt(self.settings.width * self.settings.kernel)
        x = noise.transpose(1, 2)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = F.leaky_relu(F.conv1d(x, weight * gain, bias * SLOW), 0.2)
        return x.transpose(1, 2)
