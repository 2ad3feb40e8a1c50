"""What each step of a GAN's training goes downhill on.

z, noise, times -> generator -> k frames --.
clips -> k frames at times of their own ---+-> augmented -> discriminator -> a loss for each
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from core.batch import Batch
from core.distributed import mean_over_ranks, world_size
from generator.backbone.autoencoder import to_network
from generator.video_gan.augment import augmented
from generator.video_gan.networks import ClipGenerator
from generator.video_gan.settings import GANSettings

FARTHEST = 32  # frames between the first and the last that are seen of a clip


class Seen(NamedTuple):
    """Frames as the discriminator sees them: (B, k, 3, H, W) and their times (B, k)."""

    clips: Tensor
    times: Tensor


class Duel:
    """A generator and a discriminator, and their losses.

    clips: (N, T, H, W, 3) uint8; rows: of those to learn from; device: where the networks are.
    augmentation: the share of clips that is augmented now. seen: numbers of the last step, to log.
    """

    def __init__(
        self,
        generator: ClipGenerator,
        discriminator: nn.Module,
        settings: GANSettings,
        clips: NDArray[np.uint8],
        rows: list[int],
        device: torch.device,
        augmentation: float = 0.0,
    ) -> None:
        self.generator, self.discriminator, self.settings = generator, discriminator, settings
        self.clips, self.rows, self.device = clips, rows, device
        self.augmentation = augmentation
        self.seen: dict[str, float] = {}

    def losses(self, batch: Batch, *, regular: bool) -> list[Callable[[], Tensor]]:
        """The generator's loss and the discriminator's, to be asked for in this order.

        Args: regular: whether the discriminator's has R1.
        """
        made: list[Seen] = []
        return [
            partial(self._of_generator, batch, made),
            partial(self._of_discriminator, batch, made, regular=regular),
        ]

    def _of_generator(self, batch: Batch, made: list[Seen]) -> Tensor:
        """Its clips should look real; they are handed on in `made`.

        Source: the loss that does not saturate, arXiv 1406.2661, Sec. 3.
        """
        times = draw_times(batch, self.clips.shape[1], self.settings.frames, whole=False)
        z, noise = (start.to(self.device) for start in self.generator.starts(batch.rngs("start")))
        times = times.to(self.device)
        clips = self.generator(z, times, noise)
        made.append(Seen(clips.detach(), times))
        self.discriminator.requires_grad_(False)
        loss = F.softplus(-self._look(Seen(clips, times))).mean()
        self.discriminator.requires_grad_(True)
        self.seen["generator"] = float(loss.detach())
        return loss

    def _of_discriminator(self, batch: Batch, made: list[Seen], *, regular: bool) -> Tensor:
        """Clips should look real, those just made should not; now and then R1."""
        settings, real = self.settings, self._read(batch)
        real.clips.requires_grad_(regular)
        logits = self._look(real)
        loss = F.softplus(-logits).mean() + F.softplus(self._look(made[0])).mean()
        self.seen["discriminator"] = float(loss.detach())
        self._adapt(logits.detach())
        if regular and settings.r1_weight:
            steepness = self._steepness(logits, real.clips)
            loss = loss + settings.r1_every * settings.r1_weight / 2 * steepness
        return loss

    def _steepness(self, logits: Tensor, real: Tensor) -> Tensor:
        """The mean squared slope at real clips, for each of their frames: R1.

        Source: arXiv 1801.04406, Eq. 9; only now and then, and so much more: StyleGAN2 (arXiv
        1912.04958), appendix B.
        """
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        steepness = slope.float().square().sum((1, 2, 3, 4)).mean() / real.shape[1]
        self.seen["r1"] = float(steepness.detach())
        return steepness

    def _read(self, batch: Batch) -> Seen:
        times = draw_times(batch, self.clips.shape[1], self.settings.frames, whole=True)
        rows = [self.rows[index] for index in batch.index]
        chosen = [self.clips[row][at] for row, at in zip(rows, times.long().numpy(), strict=True)]
        clips = to_network(np.stack(chosen)).transpose(1, 2).to(self.device)
        return Seen(clips.contiguous(), times.to(self.device))

    def _look(self, seen: Seen) -> Tensor:
        logits: Tensor = self.discriminator(augmented(seen.clips, self.augmentation), seen.times)
        return logits.float()

    def _adapt(self, logits: Tensor) -> None:
        """Augment more where too many real clips look real, else less."""
        settings = self.settings
        if settings.augmentation_target is None:
            return
        sign = float(mean_over_ranks(logits.sign().mean()))
        clips = len(logits) * world_size()
        step = math.copysign(
            clips / settings.augmentation_clips, sign - settings.augmentation_target
        )
        self.augmentation = min(max(self.augmentation + step, 0.0), 1.0)
        self.seen["real_sign"] = sign


def draw_times(batch: Batch, num_frames: int, count: int, *, whole: bool) -> Tensor:
    """(B, count) rising times in frames, float, all in [0, num_frames - 1]: the span a power of two
    where it can be, the start anywhere, the frames between at whole distances from it.

    whole: starts at a whole frame, as a real clip's do.
    Source: universome/stylegan-v, src/training/layers.py, `random_frame_sampling`.
    """
    powers = [2**n for n in range(int(math.log2(FARTHEST)) + 1)]
    spans = [span for span in powers if count - 1 <= span < num_frames] or [count - 1]
    found = []
    for rng in batch.rngs("times of clips" if whole else "times of samples"):
        span = spans[int(torch.randint(len(spans), (), generator=rng))] if count > 1 else 0
        room = num_frames - 1 - span
        start = torch.randint(room + 1, (), generator=rng).float()
        if not whole:
            start = torch.rand((), generator=rng) * room
        between = torch.randperm(max(span - 1, 0), generator=rng)[: max(count - 2, 0)] + 1
        places = torch.cat([torch.tensor([0, span])[:count], between])
        found.append(start + places.sort().values)
    return torch.stack(found)
