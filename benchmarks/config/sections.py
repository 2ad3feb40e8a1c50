"""Parts of a configuration that several configurations are made of: corpora, curation, generators.

`benchmarks/config/schema.py` and `benchmarks/pretraining/config.py` put them together.
"""

from __future__ import annotations

import pydantic

from benchmarks.datasets.ophvl_sim.writer import CorpusMix
from core.optimisation import Optimisation
from core.runtime import Precision
from generator.base import ClipShape, Sampling
from generator.curation.dynamics import DynamicsSettings
from generator.curation.privacy import OcrPrivacy, PrivacySettings
from generator.curation.refine import RefineSettings, RulesRefine
from generator.curation.resolution import ResolutionSettings
from generator.diffusion import DiffusionSettings
from generator.encoding import FrameRule
from generator.endora.pipeline import EndoraSettings
from generator.endora.prior import PriorSettings
from generator.preview import Preview


class Section(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A part of the configuration; refuses unknown keys."""


class CorpusSection(Section):
    """The embedded narrated corpus, used when no --corpus-root is given."""

    seed: int = pydantic.Field(ge=0)
    num_clips: int = pydantic.Field(ge=8)
    mix: CorpusMix = CorpusMix()


class CurationSection(Section):
    """The four filters. Paper: at least 720x480, 2 to 100 keyframes, language models."""

    refine: RefineSettings = RulesRefine()
    dynamics: DynamicsSettings = DynamicsSettings()
    resolution: ResolutionSettings = ResolutionSettings()
    privacy: PrivacySettings = OcrPrivacy()


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


class OphoraSection(Section):
    """base: folder of the base text-to-video pipeline (or a hub id, "org/name").

    weights: a trained Ophora (folder or hub id) to use as it is; nothing is trained then.
    tpt_weights: a folder whose `transformer/` was transfer pre-trained from `base` beforehand; null
    trains it now, as `tpt` says. ophvl_weights: the same on the uncurated narrated clips, for the
    row "CogVideoX-2b (w/ OphVL)" of Table 1. ophvl_text_tokens: of their captions, which are longer
    than instructions; null: as `max_text_tokens`.
    lora_rank: low-rank updates instead of all weights; see `OphoraTraining`.
    preview: sample sheets while it trains; see `generator.preview.Preview`.
    """

    base: str
    weights: str | None = None
    tpt_weights: str | None = None
    ophvl_weights: str | None = None
    max_text_tokens: int = pydantic.Field(default=226, ge=1)
    ophvl_text_tokens: int | None = pydantic.Field(default=None, ge=1)
    tpt: DiffusionTrainingSection
    p2ft: DiffusionTrainingSection
    sampling: Sampling
    gradient_checkpointing: bool = False
    lora_rank: int | None = pydantic.Field(default=None, ge=1)
    encoding: EncodingSection = EncodingSection()
    preview: Preview | None = None


def _guided_constantly(sampling: Sampling) -> Sampling:
    if sampling.guidance_mode != "constant":
        raise ValueError(
            f"guidance_mode {sampling.guidance_mode!r}: only Ophora knows others than 'constant'"
        )
    return sampling


class BoraSection(Section):
    """base: folder of Bora's own weights (or a hub id, "org/name"); the released ones need
    `autoencoder`, the VAE that they were trained with, and `text`, a folder (or hub id) with
    `text_encoder` and `tokenizer`.

    weights: a fine-tuned Bora (folder or hub id) to use as it is; nothing is trained then.
    start: a folder whose `transformer/` was fine-tuned from `base` beforehand, to go on from; null
    starts from `base`. clip: of the clips that it makes, null: those of the run.
    """

    base: str
    autoencoder: str | None = None
    text: str | None = None
    weights: str | None = None
    start: str | None = None
    clip: ClipShape | None = None
    max_text_tokens: int = pydantic.Field(default=120, ge=1)
    fine_tuning: DiffusionTrainingSection
    sampling: Sampling
    guided_channels: int | None = 3
    encoding: EncodingSection = EncodingSection()
    preview: Preview | None = None

    _constant_guidance = pydantic.field_validator("sampling")(_guided_constantly)

    @pydantic.model_validator(mode="after")
    def _released_weights_have_their_parts(self) -> BoraSection:
        if (self.autoencoder is None) != (self.text is None):
            raise ValueError("autoencoder, text: released weights need both, others neither")
        return self


class EndoraVariant(Section):
    """Which of Endora's parts a training from nothing has; the paper's Table 3 takes them away.

    modified_diffusion: improved DDPM (learned variance) instead of DDPM. spatiotemporal: every
    second block attends along time, with positions in time, instead of within frames. prior: DINO.
    Source: Endora, Table 3; which part of its code a column stands for is our reading.
    """

    modified_diffusion: bool
    spatiotemporal: bool
    prior: bool


class EndoraSection(Section):
    """base: folder of Endora's own weights (or a hub id), or the released checkpoint (.pt), which
    needs `autoencoder`, the folder or hub id of the VAE that it was trained with.

    weights: an Endora fine-tuned on the curated clips, to use as it is. start: a folder whose
    `transformer/` was fine-tuned from `base` beforehand, to go on from. clip: of the clips that it
    makes, null: those of the run. classes: from there on, with the run's labelled training clips
    and their classes: the Endora that makes clips of a class. prior, dino: the DINO prior of both
    trainings and the folder of the frozen ViT that it looks through. variants: trained from nothing
    as `fine_tuning` says, rows "endora/NAME" of Table 1; they need `autoencoder` and `transformer`.
    """

    base: str
    autoencoder: str | None = None
    weights: str | None = None
    start: str | None = None
    transformer: EndoraSettings | None = None
    variants: dict[str, EndoraVariant] = {}
    clip: ClipShape | None = None
    fine_tuning: DiffusionTrainingSection
    classes: DiffusionTrainingSection
    prior: PriorSettings | None = None
    dino: str | None = None
    sampling: Sampling
    encoding: EncodingSection = EncodingSection()
    preview: Preview | None = None

    _constant_guidance = pydantic.field_validator("sampling")(_guided_constantly)

    @pydantic.model_validator(mode="after")
    def _prior_sees_through_a_vit(self) -> EndoraSection:
        if self.prior is not None and self.dino is None:
            raise ValueError(
                "prior: it needs a trained ViT: name its folder as `dino`, or set prior to null"
            )
        if self.variants and (self.autoencoder is None or self.transformer is None):
            raise ValueError("variants: name the VAE as `autoencoder`, the sizes as `transformer`")
        return self
