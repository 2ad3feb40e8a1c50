"""Generator and discriminator of clips, of StyleGAN2's blocks.

z -> w; noise -> motion codes; [constant, codes of a frame] -> blocks styled by w -> frame
k frames -> blocks -> side by side as channels -> blocks -> logit, weighed by their time distances

Source: StyleGAN-V (arXiv 2112.14683), Sec. 3; universome/stylegan-v, src/training/networks.py.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import torch
from diffusers import ModelMixin
from diffusers.configuration_utils import ConfigMixin
from torch import Tensor, nn

from generator.base import ClipShape
from generator.video_gan.layers import (
    Deviation,
    EqualConv,
    EqualLinear,
    ModulatedConv,
    doubled,
    normalised,
)

COARSEST = 4  # pixels of the shorter side where a generator begins
SLOW = 0.01  # mapping networks learn at a hundredth of the rate
DISTANCE_WIDTH = 256  # of a learned vector for each whole number of frames between two

# (style, inputs, outputs, up, pixels of the shorter side) -> a layer
MakeLayer = Callable[[int, int, int, bool, int], ModulatedConv]


def resolutions(shape: ClipShape) -> list[tuple[int, int]]:
    """(rows, columns) of the blocks, the coarsest first, each half of the next; the coarsest has at
    least COARSEST of both."""
    found = [(shape.height, shape.width)]
    while all(side % 2 == 0 and side // 2 >= COARSEST for side in found[0]):
        rows, columns = found[0]
        found.insert(0, (rows // 2, columns // 2))
    return found


def widths(sizes: Sequence[tuple[int, int]], base: int, limit: int) -> list[int]:
    """Channels at each size: `base` over the shorter side, at most `limit`."""
    return [min(base // min(size), limit) for size in sizes]


class Mapping(nn.Module):
    """z (B, D), from N(0, I) -> w (B, D)."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EqualLinear(width, width, rate=SLOW, active=True) for _ in range(layers)
        )

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        x = normalised(z)
        for layer in self.layers:
            x = layer(x)
        return x


class SynthesisBlock(nn.Module):
    """Doubles a picture's features (but the first block), and adds its share of the colours."""

    def __init__(
        self, style: int, inputs: int, outputs: int, side: int, make: MakeLayer, *, first: bool
    ) -> None:
        super().__init__()
        self.enlarge = None if first else make(style, inputs, outputs, True, side)
        self.refine = make(style, inputs if first else outputs, outputs, False, side)
        self.colours = ModulatedConv(style, outputs, 3, size=1, demodulate=False)

    def forward(
        self, x: Tensor, picture: Tensor | None, style: Tensor, motion: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Features and picture, (B T, C, h, w) and (B T, 3, h, w), of the next size."""
        if self.enlarge is not None:
            x = self.enlarge(x, style, motion)
        x = self.refine(x, style, motion)
        share = self.colours(x, style)
        return x, share if picture is None else doubled(picture) + share


class Synthesis(nn.Module):
    """Styles and motion codes -> frames. make: the convolutions, by where they stand."""

    def __init__(
        self,
        shape: ClipShape,
        style: int,
        codes: int,
        base: int,
        limit: int,
        make: MakeLayer,
    ) -> None:
        super().__init__()
        sizes = resolutions(shape)
        channels = widths(sizes, base, limit)
        self.constant = nn.Parameter(torch.randn(channels[0], *sizes[0]))
        inputs = [channels[0] + codes, *channels[:-1]]
        self.blocks = nn.ModuleList(
            SynthesisBlock(style, before, after, min(size), make, first=size == sizes[0])
            for before, after, size in zip(inputs, channels, sizes, strict=True)
        )

    def forward(self, style: Tensor, codes: Tensor, motion: Tensor | None = None) -> Tensor:
        """Args: style: (B, D); codes: (B, T, V); motion: (B T, n, d), for layers that look at it.
        Returns: (B, T, 3, H, W), about in [-1, 1].
        """
        batch, frames = codes.shape[:2]
        of_frame = codes.flatten(0, 1)[..., None, None].expand(-1, -1, *self.constant.shape[1:])
        x = torch.cat([self.constant.expand(batch * frames, -1, -1, -1), of_frame], 1)
        picture = None
        for block in self.blocks:
            x, picture = block(x, picture, style, motion)
        assert picture is not None
        return picture.unflatten(0, (batch, frames))


class ClipGenerator(ModelMixin, ConfigMixin):
    """Makes the frames of clips at any times; what both families' generators are.

    Their configuration holds `shape`, a `ClipShape` as names and values.
    """

    width: int
    noise_shape: tuple[int, int]

    @property
    def shape(self) -> ClipShape:
        """Of the clips that it is trained to make."""
        return ClipShape(**self.config.shape)

    def starts(self, rngs: Iterable[torch.Generator]) -> tuple[Tensor, Tensor]:
        """What a clip is made from, by a random generator each: z (B, width), and the motion's
        noise (B, *noise_shape)."""
        pairs = [
            (torch.randn(self.width, generator=rng), torch.randn(self.noise_shape, generator=rng))
            for rng in rngs
        ]
        z, noise = zip(*pairs, strict=True)
        return torch.stack(z), torch.stack(noise)

    @abstractmethod
    def forward(self, z: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Args: times: (B, T), in frames; z, noise: see `starts`.
        Returns: (B, T, 3, H, W), about in [-1, 1].
        """


class Distances(nn.Module):
    """How far apart the frames are, as a vector: for each two neighbours a learned vector of the
    rounded distance and its waves."""

    speeds: Tensor

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.learned = nn.Embedding(num_frames, DISTANCE_WIDTH)
        octaves = max(1, math.ceil(math.log2(num_frames)))
        speeds = math.pi * 2.0 ** torch.arange(octaves) / 2**octaves
        self.register_buffer("speeds", speeds, persistent=False)
        self.width = DISTANCE_WIDTH + 2 * octaves

    def forward(self, times: Tensor) -> Tensor:
        """(B, k) rising, in frames -> (B, (k - 1) width)."""
        apart = times.diff(dim=1)
        angle = apart[..., None] * self.speeds
        parts = (self.learned(apart.round().long()), angle.sin(), angle.cos())
        return torch.cat(parts, -1).flatten(1)


class DiscriminatorBlock(nn.Module):
    """Halves a picture's features, residually."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualConv(inputs, inputs, 3)
        self.second = EqualConv(inputs, outputs, 3, down=True)
        self.skip = EqualConv(inputs, outputs, 1, down=True, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / 2, w / 2)."""
        return (self.skip(x) + self.second(self.first(x))) / math.sqrt(2)


class VideoDiscriminator(nn.Module):
    """One logit for k frames of a clip and their times, instead of one network for pictures and one
    for clips.

    meet_at: pixels of the shorter side where the frames' features are put side by side, each of
    half the width. differences: it sees what changes from each frame to the next too.
    Source: StyleGAN-V, Sec. 3; `differences`: MoStGAN-V (xiaoqian-shen/MoStGAN-V, `motion_diff`).
    """

    def __init__(
        self,
        shape: ClipShape,
        frames: int,
        base: int,
        limit: int,
        *,
        meet_at: int = 16,
        differences: bool = False,
    ) -> None:
        super().__init__()
        sizes = resolutions(shape)[::-1]
        channels = widths(sizes, base, limit)
        self.differences = differences
        pictures = frames * 2 if differences else frames
        # The first size of at most `meet_at`; for small clips the coarsest.
        self.meet = next((n for n, s in enumerate(sizes) if min(s) <= meet_at), len(sizes) - 1)
        half = channels[self.meet] // 2
        self.colours = EqualConv(3, half if self.meet == 0 else channels[0], 1)
        blocks = []
        for number, (inputs, outputs) in enumerate(pairwise(channels)):
            inputs = half * pictures if number == self.meet else inputs
            blocks.append(DiscriminatorBlock(inputs, half if number + 1 == self.meet else outputs))
        self.blocks = nn.ModuleList(blocks)
        last = channels[-1]
        inputs = half * pictures if self.meet == len(sizes) - 1 else last
        self.deviation = Deviation()
        self.mix = EqualConv(inputs + 1, last, 3)
        self.hidden = EqualLinear(last * math.prod(sizes[-1]), last, active=True)
        self.out = EqualLinear(last, last)
        self.distances = Distances(shape.num_frames)
        told = self.distances.width * (frames - 1)
        self.told = nn.Sequential(EqualLinear(told, last), Mapping(last, 2)) if told else None

    def forward(self, clips: Tensor, times: Tensor) -> Tensor:
        """Args: clips: (B, k, 3, H, W), about in [-1, 1]; times: (B, k), rising, in frames.
        Returns: (B,), above 0 for what looks real.
        """
        if self.differences:
            clips = torch.cat([clips, clips - clips.roll(-1, 1)], 1)
        x = self.colours(clips.flatten(0, 1))
        for number, block in enumerate(self.blocks):
            x = block(_side_by_side(x, len(clips)) if number == self.meet else x)
        if self.meet == len(self.blocks):
            x = _side_by_side(x, len(clips))
        x = self.hidden(self.mix(self.deviation(x)).flatten(1))
        logits = self.out(x)
        if self.told is not None:
            logits = logits * self.told(self.distances(times))
        return logits.sum(1) / math.sqrt(logits.shape[1])


def _side_by_side(x: Tensor, clips: int) -> Tensor:
    """(B k, C, h, w) -> (B, k C, h, w)."""
    return x.unflatten(0, (clips, -1)).flatten(1, 2)
