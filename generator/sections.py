"""Sections of a configuration that every generator is made of."""

from __future__ import annotations

import pydantic

from core.runtime import Precision
from generator.base import ClipShape, Sampling
from generator.diffusion import DiffusionSettings
from generator.encoding import FrameRule
from generator.optimisation import Optimisation
from generator.preview import Preview


class Section(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A part of the configuration; refuses unknown keys."""


class DiffusionTrainingSection(Section):
    """One training of a generator."""

    optimisation: Optimisation
    diffusion: DiffusionSettings = DiffusionSettings()


class EncodingSection(Section):
    """How training clips become latents; see `generator.encoding.Encoding`."""

    precision: Precision = "fp32"
    frames: FrameRule = "uniform"
    sample_posterior: bool = True
    scale_latents: bool = True


class GeneratorSection(Section):
    """What the configuration says of a generator, whichever it is."""

    weights: str | None = None
    """A trained one (folder or hub id) to use as it is; nothing is trained then."""
    clip: ClipShape | None = None
    """Of the clips that it makes; null: those of the run."""
    sampling: Sampling
    encoding: EncodingSection = EncodingSection()
    preview: Preview | None = None
    """Sample sheets while it trains; see `generator.preview.Preview`."""


def guided_constantly(sampling: Sampling) -> Sampling:
    """A validator of `sampling`.  Raises: ValueError: for CogVideoX's dynamic guidance."""
    if sampling.guidance_mode != "constant":
        raise ValueError(
            f"guidance_mode {sampling.guidance_mode!r}: only Ophora knows others than 'constant'"
        )
    return sampling
