"""What the configuration of the shipped weights' training says (`configs/_pretrain_nano.yaml`)."""

from __future__ import annotations

from benchmarks.config.sections import CorpusSection, CurationSection
from core.optimisation import Optimisation
from core.runtime import Runtime
from generator.backbone.autoencoder import AutoencoderSettings
from generator.backbone.lessons import TextEncoderSettings
from generator.base import ClipShape
from generator.bora.pipeline import STDiTSettings
from generator.endora.dino import VitSettings
from generator.endora.pipeline import EndoraSettings
from generator.endora.prior import PriorSettings
from generator.ophora.pipeline import TransformerSettings
from generator.preview import Preview
from generator.sections import DiffusionTrainingSection, EncodingSection, Section


class AutoencoderSection(Section):
    """An autoencoder of the generators."""

    given: str | None = None
    """Weights that are taken as they are; null trains it."""
    settings: AutoencoderSettings
    """Its architecture and objective."""
    optimisation: Optimisation
    """Its training on single clips or frames."""
    start: AutoencoderSection | None = None
    """The (image) autoencoder, trained on the same clips, whose weights it begins with; null:
    none."""


class TextSection(Section):
    """The text encoder, a T5."""

    given: str | None = None
    """A folder with a trained `text_encoder/` and its `tokenizer/`; null trains it."""
    start: str | None = None
    """The same, whose training goes on; null begins anew."""
    settings: TextEncoderSettings
    """Its size and objective."""
    optimisation: Optimisation
    """Its training on captions."""


class FewFrames(Section):
    """A training on some frames of each clip; see `generator.denoising.DiffusionSettings`."""

    frames: int
    """Of each clip."""
    optimisation: Optimisation
    """Steps, batch and learning rate of this training."""


class TrainingSection(DiffusionTrainingSection):
    """A training of a generator that others may come before."""

    preview: Preview | None = None
    """Sample sheets in the training's folder; null: none."""
    start: str | None = None
    """Weights whose transformer it goes on from, for a training longer than a machine can be had
    for."""
    earlier: tuple[FewFrames, ...] = ()
    """Trainings on fewer frames of the same clips that come first."""


class BaseSection(TrainingSection):
    """A base generator, trained before it saw an eye."""

    encoding: EncodingSection
    """Of the clips, for it and for all that is trained from it."""
    given: str | None = None
    """Weights that are taken as they are; nothing is trained, no part of them either."""


class OphoraBaseSection(BaseSection):
    """CogVideoX at nano scale."""

    transformer: TransformerSettings
    """Widths and depths of its denoiser."""


class BoraBaseSection(BaseSection):
    """Bora before ophthalmic video."""

    transformer: STDiTSettings
    """Widths and depths of its denoiser."""


class UncuratedSection(Section):
    """CogVideoX on clips before curation, trained as `ophora_tpt` says."""

    max_text_tokens: int
    """Of a caption before curation, which is longer than an instruction."""
    start: str | None = None
    """As in `TrainingSection`."""


class DinoSection(Section):
    """The ViT behind Endora's prior."""

    given: str | None = None
    """Weights that are taken as they are; null trains them."""
    settings: VitSettings
    """Its size."""
    optimisation: Optimisation
    """Its training on single frames."""


class EndoraTrainingSection(TrainingSection):
    """A training of Endora."""

    prior: PriorSettings | None = None
    """DINO's part in the loss; null trains without one."""


class EndoraBaseSection(EndoraTrainingSection):
    """Endora before ophthalmic video."""

    given: str | None = None
    """As in `BaseSection`."""
    transformer: EndoraSettings
    """Widths and depths of its denoiser."""


class PretrainConfig(Section):
    """What the shipped weights are trained on and how."""

    clip: ClipShape
    """Of all generators and autoencoders."""
    natural: CorpusSection
    """Moving shapes (`natural_sim`): what CogVideoX saw before any medicine. `mix` has no part in
    it."""
    biomed: CorpusSection
    """Other anatomy (`biomed_sim`): what Bora and Endora saw before an eye. `mix` has no part in
    it."""
    surgical: CorpusSection
    """Narrated clips for autoencoders and T5."""
    transfer: CorpusSection
    """Narrated clips, curated, that generators are then trained on."""
    encoder_corpus: CorpusSection
    """Narrated clips, curated, for OphCLIP."""
    encoder_cases: dict[str, int | float]
    """Labelled cases for FVD's encoder: fields of `OphSimSection`."""
    curation: CurationSection
    """Of both curated corpora; `privacy` has no part in it."""
    video_autoencoder: AutoencoderSection
    """Ophora's VAE."""
    image_autoencoder: AutoencoderSection
    """Bora's and Endora's VAE."""
    text: TextSection
    """The T5 of Ophora and Bora."""
    ophora_base: OphoraBaseSection
    """CogVideoX, on `natural`."""
    bora_base: BoraBaseSection
    """Bora, on `biomed`."""
    dino_nano: DinoSection
    """What Endora's prior looks through, on `natural` and `biomed`."""
    endora_base: EndoraBaseSection
    """Endora, on `biomed`."""
    ophora_tpt: TrainingSection
    """From `ophora_base`, on `transfer`."""
    cogvideox_ophvl: UncuratedSection
    """From `ophora_base`, on `transfer` before curation."""
    bora_tuned: TrainingSection
    """From `bora_base`, on `transfer`."""
    endora_tuned: EndoraTrainingSection
    """From `endora_base`, on `transfer`."""
    slowfast_nano: Optimisation
    """FVD's encoder, on `encoder_cases`."""
    ophclip_nano: Optimisation
    """FID's and CLIPScore's encoder, on `encoder_corpus`."""
    runtime: Runtime = Runtime()
    """How it runs on this machine."""
