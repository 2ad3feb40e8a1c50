"""Sections of a configuration that both video GANs have."""

from __future__ import annotations

from typing import Literal

import pydantic

from core.optimisation import Optimisation
from generator.sampling import Sampling
from generator.sections import EncodingSection, GeneratorSection, Section
from generator.video_gan.motion import MotionSettings

ONE_PASS = Sampling(steps=1, guidance_scale=1.0)


class GANNetworkSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Sizes of both networks. Defaults: as released, for clips of less than 512 pixels.

    Source: universome/stylegan-v, configs/model/stylegan-v.yaml; StyleGAN2-ADA's `auto`.
    """

    width: int = pydantic.Field(default=512, ge=1)
    """Of z and w."""
    mapping_layers: int = pydantic.Field(default=2, ge=1)
    """From z to w."""
    channel_base: int = pydantic.Field(default=16384, ge=16)
    """A block has this over the pixels of its shorter side as channels."""
    channel_limit: int = pydantic.Field(default=512, ge=2)
    """And at most so many."""
    motion: MotionSettings = MotionSettings()
    """What a frame's time says to the generator."""


class GANSettings(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The losses of both networks."""

    frames: int = pydantic.Field(default=3, ge=1)
    """Of a clip that the discriminator sees, and that are made for it. Both papers have 3."""
    r1_weight: float = pydantic.Field(default=1.0, ge=0)
    """Of the squared slope of the discriminator at real clips."""
    r1_every: int = pydantic.Field(default=16, ge=1)
    """Steps from one such penalty to the next; it counts as many times."""
    augmentation_target: float | None = pydantic.Field(default=0.6, ge=-1, le=1)
    """Mean sign of the real clips' logits that augmentation holds; null: nothing is augmented."""
    augmentation_clips: int = pydantic.Field(default=500_000, ge=1)
    """Clips in which the share that is augmented goes from none to all at the fastest."""


class GANOptimisation(Optimisation):
    """How both networks are fitted, each by Adam. Defaults: StyleGAN2-ADA's (arXiv 2006.06676)."""

    lr_schedule: Literal["constant_with_warmup", "cosine", "cosine_with_restarts"] = (
        "constant_with_warmup"
    )
    betas: tuple[float, float] = (0.0, 0.99)
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    grad_clip: float = pydantic.Field(default=10.0, gt=0)
    optimiser: Literal["adamw"] = "adamw"


class GANTrainingSection(Section):
    """The training of both networks."""

    optimisation: GANOptimisation
    """Steps, batch, learning rate."""
    gan: GANSettings = GANSettings()
    """Losses and augmentation."""


class GANSection(GeneratorSection):
    """A video GAN in the configuration."""

    sampling: Sampling = ONE_PASS
    network: GANNetworkSettings = GANNetworkSettings()
    """Sizes of both networks."""
    training: GANTrainingSection
    """From nothing, on the pixels of the curated clips."""

    @pydantic.model_validator(mode="after")
    def _it_has_no_steps_and_no_latents(self) -> GANSection:
        if self.sampling.steps != 1 or self.sampling.guidance_scale != 1:
            raise ValueError("sampling: a GAN draws in one pass: steps 1, guidance_scale 1")
        # Written down with all other values, as in a run's record, the default is no wish.
        if self.encoding != EncodingSection():
            raise ValueError("encoding: a GAN is trained on pixels: leave it out")
        return self
