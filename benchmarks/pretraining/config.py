"""What the configuration of the shipped weights' training says (`configs/_pretrain_nano.yaml`)."""

from __future__ import annotations

from benchmarks.config.sections import CorpusSection, CurationSection
from core.runtime import Runtime
from generator.backbone.autoencoder import AutoencoderSettings
from generator.backbone.text import TextEncoderSettings
from generator.base import ClipShape
from generator.bora.pipeline import STDiTSettings
from generator.endora.dino import VitSettings
from generator.endora.pipeline import EndoraSettings
from generator.endora.prior import PriorSettings
from generator.ophora.pipeline import TransformerSettings
from generator.optimisation import Optimisation
from generator.preview import Preview
from generator.sections import DiffusionTrainingSection, EncodingSection, Section


class AutoencoderSection(Section):
    """start: the (image) autoencoder, trained on the same clips, whose weights it begins with.
    given: weights that are taken as they are; null trains it."""

    given: str | None = None
    settings: AutoencoderSettings
    optimisation: Optimisation
    start: AutoencoderSection | None = None


class TextSection(Section):
    """given: a folder with a trained `text_encoder/` and its `tokenizer/`; null trains it."""

    given: str | None = None
    settings: TextEncoderSettings
    optimisation: Optimisation


class TrainingSection(DiffusionTrainingSection):
    """preview: sample sheets in the training's folder. start: weights whose transformer it goes on
    from, for a training longer than a machine can be had for. stills: a training on single frames
    of the same clips that comes first."""

    preview: Preview | None = None
    start: str | None = None
    stills: Optimisation | None = None


class BaseSection(TrainingSection):
    """given: weights that are taken as they are; nothing is trained, no part of them either."""

    encoding: EncodingSection
    given: str | None = None


class OphoraBaseSection(BaseSection):
    transformer: TransformerSettings


class BoraBaseSection(BaseSection):
    transformer: STDiTSettings


class UncuratedSection(Section):
    """max_text_tokens: of a caption before curation, which is longer than an instruction."""

    max_text_tokens: int


class DinoSection(Section):
    """given: weights that are taken as they are; null trains them."""

    given: str | None = None
    settings: VitSettings
    optimisation: Optimisation


class EndoraTrainingSection(TrainingSection):
    """prior: null trains without one."""

    prior: PriorSettings | None = None


class EndoraBaseSection(EndoraTrainingSection):
    transformer: EndoraSettings


class PretrainConfig(Section):
    """What the shipped weights are trained on and how."""

    clip: ClipShape
    natural: CorpusSection
    biomed: CorpusSection
    surgical: CorpusSection
    transfer: CorpusSection
    encoder_corpus: CorpusSection
    encoder_cases: dict[str, int]
    curation: CurationSection
    video_autoencoder: AutoencoderSection
    image_autoencoder: AutoencoderSection
    text: TextSection
    ophora_base: OphoraBaseSection
    bora_base: BoraBaseSection
    dino_nano: DinoSection
    endora_base: EndoraBaseSection
    ophora_tpt: TrainingSection
    cogvideox_ophvl: UncuratedSection
    bora_tuned: TrainingSection
    endora_tuned: EndoraTrainingSection
    slowfast_nano: Optimisation
    ophclip_nano: Optimisation
    runtime: Runtime = Runtime()
