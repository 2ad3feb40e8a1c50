"""Sections of a configuration that every generator is made of."""

from __future__ import annotations

from typing import Self

import pydantic

from core.optimisation import Optimisation
from core.runtime import Precision
from generator.base import ClipShape
from generator.denoising import DiffusionSettings
from generator.encoding import FrameRule
from generator.preview import Preview
from generator.sampling import Sampling


class Section(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A part of the configuration; refuses unknown keys."""


class DiffusionTrainingSection(Section):
    """One training of a generator."""

    optimisation: Optimisation
    """Steps, batch, learning rate."""
    diffusion: DiffusionSettings = DiffusionSettings()
    """Timesteps, dropped captions, frames."""

    def lasting(self, steps: int | None) -> Self:
        """The same for so many steps; None: as it is."""
        if steps is None:
            return self
        optimisation = self.optimisation.model_copy(update={"steps": steps})
        return self.model_copy(update={"optimisation": optimisation})


class EncodingSection(Section):
    """How training clips become latents; see `generator.encoding.Encoding`.

    The released Ophora code has sample_posterior and scale_latents False, frames "floor_stride".
    """

    precision: Precision = "fp32"
    """Type that the frozen VAE and T5 are loaded in."""
    frames: FrameRule = "uniform"
    """Which are taken: "uniform", over the whole clip; "floor_stride", every n-th from its start
    (see `training_frames`)."""
    sample_posterior: bool = True
    """Latents are a sample of the VAE's posterior, with a seed per clip id; false: its mean."""
    scale_latents: bool = True
    """Multiply by the VAE's scaling factor, which sampling divides by."""


class GeneratorSection(Section):
    """What the configuration says of a generator, whichever it is."""

    weights: str | None = None
    """A trained one (folder or hub id) to use as it is; nothing is trained then."""
    clip: ClipShape | None = None
    """Of the clips that it makes; null: those of the run."""
    sampling: Sampling
    """How its clips are drawn; `preview` has its own."""
    encoding: EncodingSection = EncodingSection()
    """Of the clips that it is trained on."""
    preview: Preview | None = None
    """Sample sheets while it trains; see `generator.preview.Preview`."""


def sampled_plainly(sampling: Sampling) -> Sampling:
    """A validator of `sampling`.  Raises: ValueError: for what only CogVideoX's pipeline knows."""
    for name in ("guidance_mode", "scheduler", "faster"):
        value, default = getattr(sampling, name), Sampling.model_fields[name].default
        if value != default:
            raise ValueError(f"{name} {value!r}: only Ophora knows others than {default!r}")
    return sampling
